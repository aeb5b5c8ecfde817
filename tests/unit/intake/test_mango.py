"""Selectors: which documents of a feed are items."""

import pytest

from stoker.model.mango import MISSING, field_of, fits

DOCUMENT = {"status": "closed", "n": 7, "ok": True, "run": {"type": "calib", "tags": ["a"]}}


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"status": "closed"},
        {"run.type": "calib"},
        {"run": {"type": "calib"}},
        {"n": {"$gte": 7, "$lt": 8}},
        {"n": 7.0},
        {"status": {"$in": ["closed", "done"]}},
        {"status": {"$nin": ["open"]}},
        {"status": {"$ne": "open"}},
        {"status": {"$regex": "^clo"}},
        {"lost": {"$exists": False}},
        {"run.type": {"$exists": True}},
        {"run.tags": ["a"]},
        {"$or": [{"n": 1}, {"n": 7}]},
        {"$and": [{"ok": True}, {"status": "closed"}]},
        {"$nor": [{"n": 1}]},
        {"n": {"$not": {"$gt": 8}}},
    ],
    ids=str,
)
def test_a_document_that_fits(selector):
    assert fits(selector, DOCUMENT)


@pytest.mark.parametrize(
    "selector",
    [
        {"status": "closed", "n": 8},
        {"lost": None},
        {"lost": {"$ne": 1}},
        {"ok": 1},
        {"n": "7"},
        {"n": {"$gt": "1"}},
        {"n": {"$gt": True}},
        {"run.type.deep": "x"},
        {"status.deep": "x"},
        {"n": {"$regex": "7"}},
        {"lost": {"$exists": True}},
        {"$or": []},
        {"$not": {"status": "closed"}},
    ],
    ids=str,
)
def test_a_document_that_does_not_fit(selector):
    assert not fits(selector, DOCUMENT)


def test_an_unknown_operator_is_no_silent_mismatch():
    with pytest.raises(ValueError, match=r"\$near"):
        fits({"n": {"$near": 7}}, DOCUMENT)


def test_a_field_with_a_dot_in_its_name_is_found_too():
    assert field_of({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert field_of({"a": {"b": 2}}, "a.b") == 2
    assert field_of({"a": 3}, "a.b") is MISSING
