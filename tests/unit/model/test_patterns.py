"""No pattern that a person writes holds anything up, whatever it meets."""

import ast
import string
import time
from pathlib import Path

import pytest

import stoker
from stoker.intake.fields import Fields
from stoker.intake.names import Names
from stoker.model import mango
from stoker.model.globs import matches
from stoker.model.patterns import BadPattern, compiled, fault
from stoker.model.pipeline import Cause, Param, ParamType, Step
from stoker.model.source import Source
from stoker.spec.condition import Condition
from stoker.spec.params import check_value
from stoker.work.capture import Captured
from stoker.work.checks import classify, find_marker
from stoker.work.exit import Exit

SLOW = ("(a|aa)+c", "(a+)+c", "(a*)*c", "(.*a){20}c", "a*a*a*a*a*a*a*c", "((a{1,9}){1,9}){1,9}c")
TEXT = "a" * 200
LONG = ("a" * 250).join("_" for _ in range(16))


def seen(*, stdout=b"", stderr=b"", **more) -> Exit:
    """An exit with these streams."""
    streams = (Captured(size_bytes=len(text), head=text) for text in (stdout, stderr))
    return Exit(**dict(zip(("stdout", "stderr"), streams, strict=True)), **more)


def step_with(pattern, *, markers=False):
    causes = () if markers else (Cause(match=pattern, say="said"),)
    return Step(name="s", action=None, error_markers=(pattern,) if markers else (), causes=causes)


def source_with(**more):
    return Source(name="x", folder="/d", **more)


DOORS = {
    "error marker": lambda pattern: find_marker(
        (pattern,), seen(stdout=(TEXT + "\n").encode() * 5_000)
    ),
    "cause": lambda pattern: classify(
        step_with(pattern), seen(exit_code=1, stderr=TEXT.encode() * 5_000)
    ),
    "parameter": lambda pattern: refused(
        check_value, Param(name="x", type=ParamType.STRING, pattern=pattern), TEXT
    ),
    "selector of a feed": lambda pattern: mango.fits({"x": {"$regex": pattern}}, {"x": TEXT}),
    "matches of CEL": lambda pattern: Condition(f'key.matches("{pattern}")').holds(
        params={}, meta={}, values={}, key=TEXT, item=None
    ),
}


def refused(check, *given):
    with pytest.raises(ValueError, match="does not match"):
        check(*given)


@pytest.mark.parametrize("pattern", SLOW)
@pytest.mark.parametrize("door", DOORS)
def test_a_slow_pattern_is_quick_at_every_door(door, pattern):
    began_s = time.thread_time()
    DOORS[door](pattern)
    assert time.thread_time() - began_s < 1.0


def test_a_slow_glob_or_template_of_names_is_quick():
    began_s = time.thread_time()
    deep = "a/" * 200 + "b"
    assert not matches(deep, "**/a/" * 20 + "c")
    assert not matches(LONG, "*a*" * 20 + "c")
    fields = "_".join("{" + name + "}" for name in string.ascii_lowercase[:12]) + ".x"
    assert Fields(source_with(fields=fields)).of(LONG + "_" * 200) is None
    names = Names(
        source_with(complete_when="{name}" * 12 + ".x", exclude=("*a" * 20 + "b",)),
        checksum=None,
        project_folder="/p",
    )
    assert not names.belongs(LONG)
    assert names.chooser("")(LONG)
    assert time.thread_time() - began_s < 1.0


def test_markers_are_looked_for_line_by_line():
    facts = seen(stdout=b"fine\r 10 %\rERROR: lamp\nerr", stderr=b"\xff\xfe then FATAL: \xff x\n")
    assert find_marker(("(?i)^error:",), facts) == "ERROR: lamp"
    assert find_marker((r"then.*x$",), facts) == "�� then FATAL: � x"
    assert find_marker((r"\Aerr\z",), facts) == "err"
    assert find_marker((r"fine\s+10",), facts) is None, "two lines"
    assert find_marker((r"(?-m)^ERROR",), facts) == "ERROR: lamp"
    assert find_marker(("é+$",), seen(stdout="x é\n".encode())) == "x é"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("error(?! 0)", r"look-around `\(\?!` is not supported \(at character 6\)"),
        ("(?<=x)y", r"look-around `\(\?<=` is not supported \(at character 1\)"),
        (r"(a)\1", r"`\\1`, a reference to a group, is not supported \(at character 4\)"),
        ("(abc", r"missing \)"),
        ("abc)", r"unexpected \)"),
        ("a[b", r"missing \]: `\[b` \(at character 2\)"),
        ("**", "no argument for repetition"),
        ("a++", r"`\+\+` is not supported"),
        ("(?>a)", "atomic groups"),
        ("x{1001}", "invalid repetition size"),
        ("((x{100}){100}){100}", "invalid repetition size"),
        (r"end\Z", r"write `\\z`"),
        ("\\", "trailing"),
        ("(?P=x)", "references"),
    ],
)
def test_what_the_engine_refuses_is_said_with_its_place(pattern, says):
    with pytest.raises(BadPattern, match=says):
        compiled(pattern)
    assert fault(pattern)


def test_names_that_are_not_utf8_are_matched_like_others():
    assert compiled("a.b").fits("a\udcffb")
    assert compiled("(?P<x>.+)_b", keeps_groups=True).fields("a\udcff_b") == {"x": "a\udcff"}
    assert matches("x/a\udcff.dat", "**/*.dat")


def test_fields_come_in_the_order_of_the_pattern():
    found = compiled("(?P<z>.)(?P<a>.)(?P<m>.)", keeps_groups=True).fields("123")
    assert list(found.items()) == [("z", "1"), ("a", "2"), ("m", "3")]


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("**.dat", "a/b.dat", "adat"),
        ("a/**", "a/b/c", "b/c"),
        ("[!-~]x", "ax", "/x"),
        ("[^a]x", "bx", "/x"),
        ("[!a]", "b", "a"),
        ("[a-]", "-", "b"),
        ("[]a]", "]", "b"),
        ("[z-a]", None, "a"),
        ("[/]", None, "/"),
        ("[\\]", "\\", "a"),
        ("[é-ü]", "ö", "a"),
    ],
)
def test_globs_take_what_is_meant_and_no_more(pattern, fits, fits_not):
    assert fits is None or matches(fits, pattern)
    assert not matches(fits_not, pattern)


def is_ours(pattern):
    """Whether a pattern is written down in the source, or stands for a text as it is."""
    if isinstance(pattern, ast.BinOp):
        return is_ours(pattern.left) and is_ours(pattern.right)
    if isinstance(pattern, ast.Call):
        return isinstance(pattern.func, ast.Attribute) and pattern.func.attr == "escape"
    is_constant = isinstance(pattern, ast.Name) and pattern.id.isupper()
    return is_constant or isinstance(pattern, ast.Constant | ast.JoinedStr)


def test_nobody_else_compiles_what_a_person_wrote():
    """The patterns of `re` are all written down in the source."""
    tables_of_ours = {"evaluation.py"}  # compiled in a loop
    foreign = []
    for path in Path(stoker.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_re = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr != "escape"
            )
            if is_re and path.name not in tables_of_ours and not is_ours(node.args[0]):
                foreign.append(f"{path}:{node.lineno}")
    assert foreign == []
