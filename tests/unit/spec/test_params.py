import pytest

from stoker.errors import UserError
from stoker.model.pipeline import Param, ParamType
from stoker.spec.params import Places, check_params


def check(param, value):
    return check_params((param,), {param.name: value}, where="row 1")[param.name]


def param(kind, **rules):
    return Param(name="x", type=ParamType(kind), **rules)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("integer", "-5", -5),
        ("integer", "+5", 5),
        ("integer", 5, 5),
        ("integer", 5.0, 5),
        ("integer", "9223372036854775807", 2**63 - 1),
        ("integer", "-9223372036854775808", -(2**63)),
        ("number", "1e-10", 1e-10),
        ("number", "-5", -5.0),
        ("number", 2, 2.0),
        ("boolean", "yes", True),
        ("boolean", "No", False),
        ("boolean", "1", True),
        ("boolean", "false", False),
        ("boolean", True, True),
        ("string", "", ""),
        ("string", "$(x)", "$(x)"),
        ("string", 5, "5"),
        ("path", "a/b", "a/b"),
        ("list", "a, b,c", ["a", "b", "c"]),
        ("list", "", []),
        ("list", '["a,b", "c"]', ["a,b", "c"]),
        ("list", ["a", "b"], ["a", "b"]),
        ("list", "[a", ["[a"]),
    ],
)
def test_values_are_converted(kind, given, value):
    made = check(param(kind), given)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("integer", "5.5"),
        ("integer", "five"),
        ("integer", True),
        ("integer", "1_000"),
        ("integer", "٣"),
        ("integer", "9223372036854775808"),
        ("integer", -(2**63) - 1),
        ("integer", "9" * 5000),
        ("number", "1e999"),
        ("number", 10**400),
        ("number", "nan"),
        ("number", "inf"),
        ("number", "1_0"),
        ("number", "x"),
        ("number", True),
        ("boolean", "maybe"),
        ("boolean", 2),
        ("string", ["a"]),
        ("string", True),
        ("string", "a\0b"),
        ("path", ""),
        ("path", 5),
    ],
)
def test_values_of_another_type_are_refused(kind, given):
    with pytest.raises(UserError, match="row 1: parameter `x`"):
        check(param(kind), given)


def test_lists_of_numbers_are_converted_and_checked_one_by_one():
    numbers = param("list", items=ParamType.INTEGER, minimum=0)
    assert check(numbers, "1,2") == [1, 2]
    with pytest.raises(UserError, match="at least 0"):
        check(numbers, "1,-2")


@pytest.mark.parametrize(
    ("rules", "given", "message"),
    [
        ({"pattern": "Pen.*"}, "xPen1", "does not match as a whole"),
        ({"pattern": "a|b"}, "ab", "does not match as a whole"),
        ({"type": "number", "minimum": 0}, "-1e-10", "at least 0"),
        ({"type": "integer", "maximum": 3}, "4", "at most 3"),
        ({"type": "choice", "choices": ("fast", "slow")}, "fsat", "did you mean `fast`"),
        ({"choices": ("fast", "slow")}, "other", "none of its choices"),
    ],
)
def test_rules_are_held(rules, given, message):
    kind = rules.pop("type", "string")
    with pytest.raises(UserError, match=message):
        check(param(kind, **rules), given)


def test_rules_let_good_values_through():
    assert check(param("string", pattern="Pen.*"), "Pen12") == "Pen12"
    assert check(param("number", minimum=0, maximum=1), "1") == 1.0
    assert check(param("choice", choices=("a", "b")), "b") == "b"


def test_defaults_fill_in_and_missing_ones_are_told_with_all_else():
    declared = (
        Param(name="block", required=True),
        Param(name="gain", type=ParamType.NUMBER, default=1.0),
        Param(name="n", type=ParamType.INTEGER),
    )
    assert check_params(declared, {"block": "b"}, where="x") == {
        "block": "b",
        "gain": 1.0,
        "n": None,
    }
    with pytest.raises(UserError) as caught:
        check_params(declared, {"blok": "b", "gain": "z", "n": "q"}, where="row 7")
    message = str(caught.value)
    assert message.startswith("row 7: ")
    assert "no parameter `blok`; did you mean `block`?" in message
    assert "parameter `block` is required" in message
    assert "parameter `gain` must be a number" in message
    assert "parameter `n` must be a whole number" in message


def test_paths_are_absolute_against_the_place_where_they_are_written_and_must_exist(tmp_path):
    declared = (
        Param(name="a", type=ParamType.PATH, default="d/e"),
        Param(name="b", type=ParamType.PATH),
        Param(name="c", type=ParamType.LIST, items=ParamType.PATH),
        Param(name="d"),
        Param(name="e", type=ParamType.PATH),
    )
    for name in ("file/d/e", "table/y", "z", "table/-rf $(x)"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    places = Places(given=f"{tmp_path}/table", defaults=f"{tmp_path}/file")
    given = {"b": f"{tmp_path}/z", "c": ["y", "../z", "-rf $(x)"], "d": "plain"}
    assert check_params(declared, given, where="x", places=places) == {
        "a": f"{tmp_path}/file/d/e",
        "b": f"{tmp_path}/z",
        "c": [f"{tmp_path}/table/y", f"{tmp_path}/z", f"{tmp_path}/table/-rf $(x)"],
        "d": "plain",
        "e": None,
    }
    (tmp_path / "file/d/e").unlink()
    (tmp_path / "table/y").unlink()
    (tmp_path / "table/y").symlink_to("nothing")
    with pytest.raises(UserError) as caught:
        check_params(declared, given, where="row 7", places=places)
    assert str(caught.value) == (
        f"row 7: parameter `a` is by default `{tmp_path}/file/d/e`, where there is no file or folder; "
        f"parameter `c` is `{tmp_path}/table/y`, where there is no file or folder"
    )
