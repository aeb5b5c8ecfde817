"""What is checked of a request before it is accepted: all of it, and every mistake is reported."""

import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.model.pipeline import ItemKind, Param, ParamType, Pipeline, Run, Step
from stoker.model.source import Rules
from stoker.model.web import PipelineWeb
from stoker.project.jobs.validation import (
    Budget,
    GivenFile,
    InvalidRequest,
    check_request,
    validator_environment,
)
from stoker.spec.params import BadValue

STEP = Step(name="s", action=Run(text="true"))


def pipeline(*params, items=ItemKind.RECORDS, **more):
    return Pipeline(name="p", folder="/", steps=(STEP,), items=items, params=params, **more)


def param(kind, name="x", **rules):
    return Param(name=name, type=ParamType(kind), **rules)


def errors(of, inputs, **more):
    with pytest.raises(InvalidRequest) as caught:
        check_request(of, inputs, **more)
    return caught.value.errors


def rules(of, inputs, **more):
    return [(one.input, one.rule) for one in errors(of, inputs, **more)]


@pytest.mark.parametrize(
    ("kind", "value", "made"),
    [
        ("integer", 5, 5),
        ("integer", 5.0, 5),
        ("integer", -5, -5),
        ("number", 1e-10, 1e-10),
        ("number", 3, 3.0),
        ("number", -5, -5.0),
        ("boolean", False, False),
        ("string", "a,b", "a,b"),
        ("string", "$(touch x) `y` \"'\\", "$(touch x) `y` \"'\\"),
        ("string", "-5", "-5"),
        ("string", "", ""),
        ("list", [], []),
        ("list", ["a,b", ""], ["a,b", ""]),
    ],
)
def test_values_are_taken_as_they_are(kind, value, made):
    found = check_request(pipeline(param(kind)), {"x": value}).params["x"]
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "5"),
        ("integer", False),
        ("integer", 5.5),
        ("integer", 2**63),
        ("integer", 1e300),
        ("integer", None),
        ("integer", [5]),
        ("integer", {"value": 5}),
        ("number", "1e-10"),
        ("number", True),
        ("number", 10**400),
        ("number", float("inf")),
        ("number", float("nan")),
        ("boolean", "true"),
        ("boolean", 1),
        ("string", 5),
        ("string", None),
        ("string", "a\0b"),
        ("string", "\ud800"),
        ("list", "a,b"),
        ("list", [1]),
        ("list", [["a"]]),
        ("path", "/etc/passwd"),
        ("path", {"href": "file:///etc/passwd"}),
    ],
)
def test_other_types_are_refused(kind, value):
    (error,) = errors(pipeline(param(kind)), {"x": value})
    assert error.rule == "type"
    assert error.input.startswith("x")
    json.dumps(error.as_json(), allow_nan=False).encode()


def test_all_mistakes_come_at_once_each_with_input_rule_limit_and_value():
    of = pipeline(
        param("integer", "n", minimum=1, maximum=9),
        param("string", "word", pattern="[a-z]+", max_length=3),
        param("choice", "mode", choices=("fast", "slow")),
        param("list", "tags", items=ParamType.STRING, max_items=2, pattern="t.*"),
        param("number", "need", required=True),
        param("list", "few", min_items=1),
    )
    found = errors(
        of,
        {"n": 0, "word": "LONG", "mode": "fats", "tags": ["t", "x"], "few": [], "mod": 1},
    )
    told = {(one.input, one.rule, json.dumps(one.limit), json.dumps(one.value)) for one in found}
    assert told == {
        ("mod", "unknown", "null", "null"),
        ("need", "required", "null", "null"),
        ("n", "minimum", "1", "0"),
        ("word", "max_length", "3", '"LONG"'),
        ("mode", "choices", '["fast", "slow"]', '"fats"'),
        ("tags[1]", "pattern", '"t.*"', '"x"'),
        ("few", "min_items", "1", "0"),
    }
    details = " ".join(one.detail for one in found)
    assert "did you mean `mode`?" in details
    assert "did you mean `fast`?" in details


def test_defaults_are_filled_in():
    of = pipeline(param("number", "a", default=1.0), param("string", "b"))
    assert check_request(of, {}).params == {"a": 1.0, "b": None}


def test_an_error_is_short_whatever_was_sent():
    of = pipeline(param("integer"), param("string", "y", pattern="a"))
    found = errors(of, {"x": "9" * 5_000_000, "y": "b" * 5_000_000, "z" * 5_000_000: 1})
    assert len(json.dumps([one.as_json() for one in found])) < 4000


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text() | st.sampled_from(["x", "l", "f", "item"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_any_json_is_taken_or_refused(inputs):
    of = pipeline(
        param("integer"),
        param("list", "l", items=ParamType.NUMBER),
        param("path", "f"),
        items=ItemKind.FILES,
    )
    for one in errors(of, inputs):
        json.dumps(one.as_json(), allow_nan=False).encode()


# ------------------------------------------------------------------------------------------ files


def keeping(folder, **contents):
    """A finder of files by the name of an upload."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)

    def find(_place, value):
        path = folder / str(value)
        if value not in contents:
            raise BadValue("is no upload", rule="upload")
        return GivenFile(path=str(path), name=str(value), size_bytes=path.stat().st_size)

    return find


def of_files(**more):
    return pipeline(items=ItemKind.FILES, **more)


def test_an_item_is_required_and_found(tmp_path):
    find = keeping(tmp_path, good=b"x")
    assert rules(of_files(), {}) == [("item", "required")]
    assert rules(of_files(), {"item": "bad"}, find_file=find) == [("item", "upload")]
    found = check_request(of_files(), {"item": "good"}, find_file=find)
    assert found.item == GivenFile(path=f"{tmp_path}/good", name="good", size_bytes=1)
    assert rules(pipeline(), {"item": "good"}, find_file=find) == [("item", "unknown")]


def test_rules_of_the_item_and_of_parameters(tmp_path):
    find = keeping(tmp_path, tiny=b"x", png=b"\x89PNG\r\n\x1a\n....", text=b"hello")
    of = of_files(
        rules=Rules(min_bytes=2, magic=b"he".hex()),
    )
    assert rules(of, {"item": "tiny"}, find_file=find) == [("item", "min_size"), ("item", "magic")]
    check_request(of, {"item": "text"}, find_file=find)
    of = pipeline(
        param("path", "a", rules=Rules(max_bytes=3)),
        param("list", "b", items=ParamType.PATH, media=("image/*",)),
    )
    found = rules(of, {"a": "text", "b": ["png", "tiny", "no"]}, find_file=find)
    assert found == [("b[2]", "upload"), ("a", "max_size")]


def test_no_file_is_larger_than_a_client_may_upload(tmp_path):
    find = keeping(tmp_path, f=b"12345")
    of = of_files(web=PipelineWeb(max_upload_bytes=4))
    (error,) = errors(of, {"item": "f"}, find_file=find)
    assert (error.rule, error.limit) == ("max_upload", 4)


@pytest.mark.parametrize(
    ("accepted", "content", "is_good"),
    [
        (("image/png",), b"\x89PNG\r\n\x1a\n", True),
        (("image/png",), b"\xff\xd8\xff", False),
        (("image/png",), b"<script>", False),
        (("image/png",), b"", False),
        (("image/*",), b"\xff\xd8\xff", True),
        (("image/*",), b"%PDF-1.7", False),
        (("image/*",), b"P5 2 2 255 ....", True),
        (("image/png", "text/plain"), b"hello", True),
        (("text/x-fasta",), b">a\nACGT\n", True),
        (("text/x-fasta",), b"PK\x03\x04", False),
        (("text/x-fasta",), b">a\0", False),
        (("application/json",), b"{}", True),
        (("application/vnd.lab+json",), b"\0", False),
        (("application/vnd.lab",), b"\0\1", True),
        (("application/zip",), b"PK\x03\x04", True),
        (("application/octet-stream",), b"\x1f\x8b", True),
    ],
)
def test_content_that_contradicts_its_media_type(tmp_path, accepted, content, is_good):
    of, find = pipeline(param("path", media=accepted)), keeping(tmp_path, f=content)
    if is_good:
        check_request(of, {"x": "f"}, find_file=find)
    else:
        assert rules(of, {"x": "f"}, find_file=find) == [("x", "media")]


def test_media_type_that_the_client_says(tmp_path):
    keeping(tmp_path, f=b"x")

    def find(_place, value):
        return GivenFile(path=f"{tmp_path}/f", name="f", size_bytes=1, media=value)

    of = pipeline(param("path", media=("text/plain",)))
    check_request(of, {"x": "Text/Plain; charset=utf-8"}, find_file=find)
    assert rules(of, {"x": "text/html"}, find_file=find) == [("x", "media")]


# --------------------------------------------------------------------------------------- commands


def judging(command, **more):
    return of_files(rules=Rules(command=("sh", "-c", command, "sh", "{item}", "{key}")), **more)


def test_a_command_s_last_line_is_the_message(tmp_path):
    find = keeping(tmp_path, **{"a b'c": b"x"})
    check_request(judging('test -e "$1"'), {"item": "a b'c"}, find_file=find)
    (error,) = errors(
        judging('echo "no residues in $2" >&2; exit 1'),
        {"item": "a b'c"},
        key="k",
        find_file=find,
    )
    assert (error.rule, error.detail) == ("command", "input `item`: no residues in k")
    (error,) = errors(judging("exit 3"), {"item": "a b'c"}, find_file=find)
    assert "exited with status 3" in error.detail


def test_a_command_is_not_asked_about_a_file_that_is_bad_already(tmp_path):
    find = keeping(tmp_path, f=b"x")
    command = ("sh", "-c", f"touch {tmp_path}/asked")
    of = of_files(rules=Rules(min_bytes=2, command=command))
    assert rules(of, {"item": "f"}, find_file=find) == [("item", "min_size")]
    assert not (tmp_path / "asked").exists()


def test_commands_have_a_limit_each_and_all_together(tmp_path):
    find = keeping(tmp_path, f=b"x")
    budget = Budget(left_s=0.5, command_s=0.3)
    began = time.monotonic()
    (error,) = errors(judging("sleep 60"), {"item": "f"}, find_file=find, budget=budget)
    assert "no answer within 0.3 s" in error.detail
    errors(judging("sleep 60"), {"item": "f"}, find_file=find, budget=budget)
    (error,) = errors(judging("true"), {"item": "f"}, find_file=find, budget=budget)
    assert "send fewer" in error.detail
    assert time.monotonic() - began < 5


def test_a_validator_gets_no_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("TOKEN", "x")
    monkeypatch.setenv("STOKER_STORE_PASSWORD", "y")
    made = validator_environment(("TOKEN",))
    assert "PATH" in made
    assert not {"TOKEN", "STOKER_STORE_PASSWORD"} & made.keys()
    find = keeping(tmp_path, f=b"x")
    budget = Budget(environment=made)
    of = judging('test -z "$TOKEN"')
    check_request(of, {"item": "f"}, find_file=find, budget=budget)
    assert os.environ["TOKEN"] == "x"


def test_a_file_that_is_gone(tmp_path):
    def find(_place, _value):
        return GivenFile(path=f"{tmp_path}/gone", name="gone", size_bytes=1)

    (error,) = errors(of_files(), {"item": 1}, find_file=find)
    assert (error.rule, "No such file" in error.detail) == ("file", True)
