"""Functions of other languages: their keys, and whether their files are there."""

import pytest

from stoker.model.pipeline import Call, Language, Persistent
from stoker.spec.canon import body_hash, dump_pipeline, load_pipeline
from stoker.spec.functions import check_functions
from stoker.spec.load import load_project

SAYS = {
    'octave = "flag_day.m"': 'is `"flag_day.m"`; write the function',
    'matlab = "a.b"': "write the function's name alone",
    'r = "draw"': "write it as `file.R:function`",
    'octave = "f"\nr = "a.R:f"': "has `octave` and `r`; keep one of them",
    'run = "true"\npersistent = true': "`persistent` is for `argv`; a shell text ends with its task",
    'python = "m:f"\npersistent = true': "its process stays anyway; take it out",
    'run = "true"\ninterpreter = "x"': "`interpreter` says nothing about a step with `run`",
    'argv = ["a"]\ninterpreter = "x"': "says nothing about a step with `argv`",
    'argv = ["a", "{item}"]\npersistent = true': "it is started once for many items",
    'argv = ["a", "{params.x}"]\npersistent = true': "`{params.x}` has no value in",
    'argv = ["a", ["-b"]]\npersistent = true': "write its words without the inner brackets",
    'argv = [""]\npersistent = true': "the program's name is empty",
    "persistent = true": "has no command; write one of `run`, `argv`, `python`, `octave`",
}


@pytest.fixture
def project(tmp_path):
    """Write a project of one step; return its pipeline."""

    def write(step, more=""):
        file = tmp_path / "stoker.toml"
        file.write_text(f"[pipelines.p]\n{more}\n[pipelines.p.steps.s]\n{step}\n")
        return load_project(file).pipelines["p"]

    write.folder = tmp_path
    return write


@pytest.mark.parametrize("step", SAYS)
def test_what_is_wrong_with_a_step_is_said(project, step):
    with pytest.raises(Exception, match="problem") as caught:
        project(step)
    assert any(SAYS[step] in str(problem) for problem in caught.value.problems), [
        str(problem) for problem in caught.value.problems
    ]


def test_a_version_comes_back_from_the_store_as_it_was(project):
    made = {
        'octave = "f"': Call(language=Language.OCTAVE, function="f"),
        'matlab = "f"\ninterpreter = "/opt/m"': Call(
            language=Language.MATLAB, function="f", interpreter="/opt/m"
        ),
        'r = "a.R:f"': Call(language=Language.R, function="a.R:f"),
        'argv = ["./a", "-n", "{cpus}"]\npersistent = true': Persistent(
            program=(f"{project.folder}/a", "-n", "{cpus}")
        ),
        'argv = ["{project}/a"]\npersistent = true': Persistent(program=("{project}/a",)),
    }
    hashes = set()
    for step, action in made.items():
        pipeline = project(step)
        assert pipeline.step("s").action == action
        assert load_pipeline(dump_pipeline(pipeline)) == pipeline
        hashes.add(body_hash(pipeline.step("s")))
    assert len(hashes) == len(made)


def test_one_interpreter_for_two_languages_is_refused(project):
    other = '[pipelines.p.defaults]\ninterpreter = "x"\n[pipelines.p.steps.t]\npython = "m:f"\n'
    with pytest.raises(Exception, match="problem") as caught:
        project('octave = "f"', other)
    assert "holds for `t` (python) and `s` (octave)" in str(caught.value.problems[0])
    assert project('octave = "f"\ninterpreter = "octave-cli"', other).step("s").action.interpreter


FILES = {
    "good": "% a comment\n\n%{\nmore\n%}\nfunction v = good(task)\nend\n",
    "script": "x = 1;\nfunction f()\nend\n",
    "a_class": "classdef a_class\nend\n",
    "two": "function two(item, out)\nend\n",
    "none": "function [a, b] = none\nx = f(1, 2);\nend\n",
    "any": "function varargout = any(varargin)\nend\n",
    "more": "function v = more(task, ...\n  varargin)\nend\n",
}
R_FILE = (
    'draw <- function(task) 1\n`plot me` = 2\nother = \\(task) 1\n"third" <<- function(task) 1\n'
)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ('octave = "good"', None),
        ('matlab = "a_class"', None),
        ('octave = "script"', "is a script, and a step calls a function; let it begin with"),
        ('octave = "two"', "two.m` takes 2 arguments, and a step gives it one, the task: begin it"),
        ('matlab = "none"', "none.m` takes no argument"),
        ('octave = "any"', None),
        ('octave = "more"', None),
        ('octave = "god"', "there is no `god.m` in `{}`; did you mean `good`?"),
        ('octave = "god"\nprepare = "module load x"', None),
        ('octave = "god"\nenv = { OCTAVE_PATH = "/x" }', None),
        ('octave = "folder"', "there is no `folder.m`"),
        ('r = "a.R:draw"', None),
        ('r = "a.R:other"', None),
        ('r = "a.R:third"', None),
        ('r = "a.R:drw"', "`{}/a.R` has no function `drw`; did you mean `draw`?"),
        ('r = "b.R:draw"', "there is no `b.R` in `{}`"),
        ('r = "more.R:draw"', None),
        ('r = "lib/c.R:draw"', "there is no `c.R` in `{}/lib`"),
    ],
)
def test_a_missing_function_is_a_warning(project, step, says, monkeypatch):
    monkeypatch.delenv("OCTAVE_PATH", raising=False)
    for name, text in FILES.items():
        (project.folder / f"{name}.m").write_text(text)
    (project.folder / "folder.m").mkdir()
    (project.folder / "a.R").write_text(R_FILE)
    (project.folder / "more.R").write_text('source("elsewhere.R")\n')
    found = check_functions(project(step))
    if says is None:
        assert found == ()
    else:
        assert says.replace("{}", str(project.folder)) in found[0]
