import dataclasses

import pytest

from stoker.model.pipeline import Argv, Run, Verdict
from stoker.spec.absent import find_absences
from unit.spec.shell_cases import pipeline_of


def absences(action, *, own_when=None, **before):
    pipeline = pipeline_of("")
    earlier = dataclasses.replace(pipeline.step("before"), **before)
    step = dataclasses.replace(pipeline.step("main"), action=action, when=own_when)
    pipeline = dataclasses.replace(pipeline, steps=(earlier, step))
    return find_absences(pipeline, step)


USES = Run(text="cat {in.before.one}")


@pytest.mark.parametrize("before", [{"when": "params.n > 1"}, {"exits": {3: Verdict.SKIP}}])
def test_use_of_what_may_be_skipped_is_warned_of(before):
    (said,) = absences(USES, **before)
    assert said.startswith("`{in.before.one}` is empty where step `before` was skipped; test it")
    (said,) = absences(Argv(words=("t", "{in.before.values.n}")), **before)
    assert "`{in.before.values.n}`" in said
    assert "nested list" in said


@pytest.mark.parametrize(
    "before", [{}, {"exits": {3: Verdict.STOP, 4: Verdict.DONE, 5: Verdict.LATER}}]
)
def test_a_step_that_is_never_skipped_is_not_warned_of(before):
    assert absences(USES, **before) == []


@pytest.mark.parametrize(
    "text",
    [
        "if [ -n {in.before.one} ]; then cat {in.before.one}; fi",
        '[[ -z "{in.before.one}" ]] || cat {in.before.one}',
        "test -e {in.before.one} && cat {in.before.one}",
        "[ {in.before.one} ] && cat {in.before.one}",
        "cat {item}",
    ],
)
def test_a_text_that_tests_first_is_not_warned_of(text):
    assert absences(Run(text=text), exits={3: Verdict.SKIP}) == []


def test_a_nested_list_or_a_condition_asks_first():
    words = ("t", ("--in", "{in.before.one}"))
    assert absences(Argv(words=words), exits={3: Verdict.SKIP}) == []
    asked = "has(values.before.n) && values.before.n > 1"
    assert absences(USES, own_when=asked, exits={3: Verdict.SKIP}) == []
    same = "params.n > 1"
    assert absences(USES, own_when=same, when=same) == []
    assert len(absences(USES, own_when="params.n > 2", when=same)) == 1
