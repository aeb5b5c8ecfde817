"""Selectors: which documents of a feed are items."""

import pytest

from stoker.model.mango import MISSING, OPERATORS, field_of, fits

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


# For each operator: what it wants of the field `n`, and whether a smaller value, 7, a larger value, a
# value of another kind and a missing field fit. The table has a row for every operator there is.
FOUND = [6, 7, 8, "7", MISSING]
FITS = {
    "$eq": (7, [False, True, False, False, False]),
    "$ne": (7, [True, False, True, True, False]),
    "$gt": (7, [False, False, True, False, False]),
    "$gte": (7, [False, True, True, False, False]),
    "$lt": (7, [True, False, False, False, False]),
    "$lte": (7, [True, True, False, False, False]),
    "$in": ([7, 9], [False, True, False, False, False]),
    "$nin": ([7, 9], [True, False, True, True, False]),
    "$regex": ("^7$", [False, False, False, True, False]),
    "$exists": (True, [True, True, True, True, False]),
    "$and": ([{"n": {"$gt": 6}}, {"n": {"$lt": 8}}], [False, True, False, False, False]),
    "$or": ([{"n": 6}, {"n": "7"}], [True, False, False, True, False]),
    "$nor": ([{"n": 6}, {"n": "7"}], [False, True, True, False, True]),
    "$not": ({"n": 7}, [True, False, True, True, True]),
}
TOP = ("$and", "$or", "$nor", "$not")


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_at_its_boundary(operator):
    wanted, fit = FITS[operator]
    selector = {operator: wanted} if operator in TOP else {"n": {operator: wanted}}
    documents = [{} if value is MISSING else {"n": value} for value in FOUND]
    assert [fits(selector, document) for document in documents] == fit


@pytest.mark.parametrize("operator", ["$gt", "$gte", "$lt", "$lte"])
@pytest.mark.parametrize(
    ("found", "wanted"), [("a", "b"), ("b", "b"), ("c", "b"), (True, False), ([2], [1])]
)
def test_texts_are_in_an_order_and_other_kinds_are_not(operator, found, wanted):
    compare = {
        "$gt": found > wanted,
        "$gte": found >= wanted,
        "$lt": found < wanted,
        "$lte": found <= wanted,
    }
    assert fits({"n": {operator: wanted}}, {"n": found}) == (
        isinstance(found, str) and compare[operator]
    )
