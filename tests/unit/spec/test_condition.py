import os
import subprocess
import sys

import pytest

from stoker.errors import UserError
from stoker.spec.condition import Condition, find_faults


def holds(text, **given):
    given = {"params": {}, "meta": {}} | given
    return Condition(text).holds(**given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('meta.run_type == "calib" && params.gain > 1.0', True),
        ("params.gain > 2", False),
        ("params.whole == 3.0", True),
        ("params.gain == 2", False),
        ("params.whole < 3.5", True),
        ("values.a.n == 7", True),
        ("has(meta.gone) && meta.gone == 1", False),
        ("meta.list.exists(i, i == 2)", True),
        ("size(meta.list) == 3 && key.startsWith('x/')", True),
        ("params.flag", True),
        ("item == '/data/x'", True),
        ("meta.nothing == null", True),
        ("'a' in meta", False),
    ],
)
def test_holds(text, expected):
    given = {
        "params": {"gain": 1.5, "whole": 3, "flag": True},
        "meta": {"run_type": "calib", "list": [1, 2, 3], "nothing": None},
        "values": {"a": {"n": 7}},
        "key": "x/y",
        "item": "/data/x",
    }
    assert holds(text, **given) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("meta.gone == 1", r"`meta\.gone`, which `k` does not have.*has\(meta\.gone\)"),
        ("meta.a.b == 1", r"`meta\.a\.b`"),
        ("values.s.n > 1", r"`values\.s`"),
        ("params.n + 1.0 > 1.0", "cannot be decided"),
        ("params.n", "neither true nor false"),
        ("nonsense == 1", "nonsense"),
        ("params.n / 0 > 1", "cannot be decided"),
    ],
)
def test_what_cannot_be_decided_is_said(text, message):
    with pytest.raises(UserError, match=message):
        holds(text, params={"n": 1}, meta={"a": {}}, key="k")


@pytest.mark.parametrize("text", ["meta.", "a ==", "meta.x = 1", "(", "", "__import__('os')."])
def test_what_is_no_condition(text):
    with pytest.raises(ValueError, match=r"\S"):
        Condition(text)


def test_more_variables_may_be_given():
    assert Condition("state == 'done' && size > 3").holds(params={}, meta={}, state="done", size=4)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("params.gain > 1.0", []),
        ("meta.l.exists(i, i == params.gain) && values.before.x == 1 && key == item", []),
        ("parms.gain > 1", ["`when` has no name `parms`"]),
        ("params.gian > 1", ["`params.gian`: there is no parameter `gian`"]),
        ("values.befor.x > 1", ["`values.befor`: there is no other step `befor`"]),
        ("meta.x == 'params.nothing'", []),
        ("state == 'done'", ["`when` has no name `state`"]),
        ("params.gain >", ["`when` is not a condition"]),
    ],
)
def test_faults_of_a_step_s_condition(text, messages):
    faults = list(find_faults(text, params=["gain"], steps=["before"]))
    assert len(faults) == len(messages)
    assert all(fault[0].startswith(said) for fault, said in zip(faults, messages, strict=True))


def test_loading_it_is_quick_and_leaves_the_library_usable():
    program = (
        "import sys; from stoker.spec.condition import Condition; Condition('key == key');"
        "assert not {'rich', 'typer', 'prompt_toolkit'} & set(sys.modules);"
        "import cel; assert cel.evaluate('1 + 1') == 2; Condition('key != key')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, env=_environment())


def _environment():
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}


def test_nearest_name_is_offered():
    assert (
        next(find_faults("params.gian > 1", params=["gain"], steps=[]))[1] == "did you mean `gain`?"
    )


@pytest.mark.parametrize(
    "text",
    [
        "key == 'a\N{REPLACEMENT CHARACTER}'",
        "'a\udcff' == key",
        "item.endsWith('\N{REPLACEMENT CHARACTER}b')",
        "params.name == 'ü\N{REPLACEMENT CHARACTER}'",
        "meta.list[0].x == '\N{REPLACEMENT CHARACTER}'",
        "values.a.n == '\N{REPLACEMENT CHARACTER}'",
    ],
)
def test_what_is_no_utf_8_comes_with_replacement_characters(text):
    given = {
        "params": {"name": "ü\udcff"},
        "meta": {"list": [{"x": "\udcfe"}]},
        "values": {"a": {"n": "\ud800"}},
        "key": "a\udcff",
        "item": "/data/\udcffb",
    }
    assert holds(text, **given)
    assert not holds(f"!({text})", **given)
