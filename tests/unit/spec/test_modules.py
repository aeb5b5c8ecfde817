import sys

import pytest

from stoker.model.pipeline import Pipeline, Python, Run, Step
from stoker.spec.modules import check_python


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plots.py").write_text(
        "raise SystemExit('imported')\ndef draw(task): ...\nother = draw\nfrom x import far\n"
    )
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "pack/inner.py").write_text("async def run(task): ...\n")
    (tmp_path / "broken.py").write_text("def (\n")
    return tmp_path


def check(folder, function, interpreter=None):
    step = Step(name="s", action=Python(function=function, interpreter=interpreter))
    shell = Step(name="t", action=Run(text=":"))
    return check_python(Pipeline(name="p", folder=str(folder), steps=(step, shell)))


@pytest.mark.parametrize(
    "function",
    [
        "plots:draw",
        "plots:other",
        "plots:far",
        "pack.inner:run",
        "json:dumps",
        "sys:exit",
        "pytest:main",
    ],
)
def test_what_is_there(folder, function):
    assert check(folder, function) == ()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("plots:drwa", "has no function `drwa`; did you mean `draw`?"),
        ("plot:draw", "there is no module `plot`"),
        ("pack.outer:run", "there is no module `pack.outer`"),
        ("plots.inner:run", "there is no module `plots.inner`"),
        ("broken:f", "cannot be read as Python"),
    ],
)
def test_what_is_missing(folder, function, message):
    messages = check(folder, function)
    assert len(messages) == 1
    assert message in messages[0]
    assert messages[0].startswith("step `s`: ")


def test_other_interpreters_have_modules_of_their_own(folder):
    assert check(folder, "nowhere:f", "/opt/x/python") == ()
    assert len(check(folder, "plots:nope", "/opt/x/python")) == 1


def test_nothing_is_imported(folder):
    check(folder, "plots:draw")
    check(folder, "pack.inner:run")
    assert not {"plots", "pack", "pack.inner"} & set(sys.modules)
