"""Outputs that got another name while items are under way: successors wait, and say for what."""

import pytest

from stoker.model.pipeline import Output, Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.task import Published
from stoker.store.holdings import pools
from stoker.store.orders import verbs
from stoker.store.reports import overview, why_waiting
from store.rig import ME, pairs, set_pools


def line(name, *, reads=None, **more):
    """Step `a` writes the output of this name, which `b` reads; `c` reads nothing of `a`."""
    out = Output(name=name, to=f"/out/{{key}}.{name}")
    text = f"plot {{in.a.{reads or name}}}"
    return Pipeline(
        name="line",
        folder="/project",
        steps=(
            Step(name="a", action=Run(text="make"), outputs=(out,), **more),
            Step(name="b", action=Run(text=text), after=("a",), pools={"one": 1}),
            Step(name="c", action=Run(text="say {in.a.values.n}"), after=("a",)),
        ),
    )


@pytest.fixture
def moved(rig):
    """`k` is done in `a` and `m` runs there, when `a`'s output gets another name."""
    set_pools(rig.store, [Pool(name="one", slots=("0",))])
    rig.apply(line("x"))
    rig.push("k", "m")
    worker = rig.worker(slots=8)
    done, running = rig.claim(worker, 2)
    finish(rig, done, "x")
    rig.apply(line("y"))
    finish(rig, running, "x")
    return rig, worker


def finish(rig, task, name):
    out = Published(name=name, path=f"/out/{task.key}.{name}", size_bytes=1, checksum="x")
    assert rig.end(task, outputs=(out,))


def work(rig, worker):
    """Claim and finish all; return what was done."""
    found = []
    while tasks := rig.claim(worker, 8, cpus=8):
        for task in tasks:
            finish(rig, task, "y") if task.step == "a" else rig.end(task)
        found += pairs(tasks)
    return sorted(found)


def test_successors_wait_until_the_predecessor_is_done_again(moved):
    rig, worker = moved
    assert work(rig, worker) == [("k", "c"), ("m", "c")]
    states = {key: state for key, state in rig.states().items() if key[1] == "b"}
    assert set(states.values()) == {"blocked"}
    why = why_waiting.why(rig.store, "k", step="b")
    assert why.kind == "lacks_output"
    assert why.text == "step `a` was done by an older version, without its output `y`"
    assert "rerun --outdated" in why.do
    assert not pools.slots(rig.store)[0].item, "its slot is free"
    rig.check()
    verbs.rerun(rig.store, rig.select(), ME, outdated=True)
    assert work(rig, worker) == [(key, step) for key in "km" for step in "abc"]
    assert set(rig.states().values()) == {"done"}
    rig.check()


def test_another_version_that_reads_what_is_there_lets_them_go(moved):
    rig, worker = moved
    work(rig, worker)
    rig.apply(line("x"))
    assert rig.states()["k", "b"] == "ready"
    assert work(rig, worker) == [("k", "b"), ("m", "b")]
    rig.check()


def test_a_person_may_hold_and_release_them(moved):
    rig, worker = moved
    work(rig, worker)
    verbs.hold(rig.store, rig.select(keys=("k",), steps=("b",)), ME)
    rig.check()
    verbs.release(rig.store, rig.select(keys=("k",), steps=("b",)), ME)
    assert rig.states()["k", "b"] == "ready"
    assert rig.claim(worker, 8, cpus=8) == []
    assert rig.states()["k", "b"] == "blocked"
    rig.check()


def test_an_optional_output_that_was_not_written_is_not_lacking(rig):
    set_pools(rig.store, [Pool(name="one", slots=("0",))])
    rig.apply(line("x"))
    rig.push("k")
    worker = rig.worker(slots=8)
    rig.end(rig.claim(worker)[0])
    rig.apply(line("x", retries=3))
    assert work(rig, worker) == [("k", "b"), ("k", "c")]


def test_a_renamed_step_has_the_outputs_that_it_had(rig):
    set_pools(rig.store, [Pool(name="one", slots=("0",))])
    rig.apply(line("x"))
    rig.push("k")
    worker = rig.worker(slots=8)
    finish(rig, rig.claim(worker)[0], "x")
    first, second, _ = line("x").steps
    renamed = Step(name="z", action=first.action, outputs=first.outputs, renamed_from="a")
    reads = Step(name="b", action=Run(text="plot {in.z.x}"), after=("z",), pools=second.pools)
    rig.apply(Pipeline(name="line", folder="/project", steps=(renamed, reads)))
    assert work(rig, worker) == [("k", "b")]
    assert overview.status(rig.store).pipelines["line"].outdated == 0
