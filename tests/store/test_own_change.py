"""Content that an item's own step changed, on every database."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from stoker.model.item import NewItem
from stoker.model.pipeline import OnChange, Verdict
from stoker.model.saying import NOTHING, Saying, mark_of
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals.register import register
from stoker.store.arrivals.repaired_files import failed_items, take_repaired

ME = Actor("tester")

S = 1_000_000  # microseconds


@pytest.fixture
def task(rig, pipeline):
    """The claimed task of an item; the attempt has not ended."""
    rig.apply(pipeline(a=(), b=("a",)))
    register(rig.store, "line", [item(0, size=1)], ME)
    (claimed,) = rig.claim(rig.worker())
    return claimed


def item(mtime_us, *, size=2, gain=1, by_person=False, reason=None):
    mark = mark_of({"gain": 1})
    saying = Saying(settings={"gain": 1}) if by_person else NOTHING
    return NewItem(
        key="x", path="/data/x", size_bytes=size, mtime_us=mtime_us, params={"gain": gain},
        fingerprint=f"{size}:{mtime_us}{mark}", mark=mark, saying=saying, reason=reason,
    )  # fmt: skip


def end(rig, task, state=AttemptState.SUCCEEDED):
    """The attempt ran from one second after its claim to three seconds after it."""
    times = {"started_us": task.claimed_us + S, "ended_us": task.claimed_us + 3 * S}
    rig.link.finish([rig.result(task, state, **times)])


def known(rig):
    with rig.store.reading() as unit:
        return unit.execute(select(tables.item)).one()


DONE, FAILED = AttemptState.SUCCEEDED, AttemptState.FAILED


@pytest.mark.parametrize(
    ("after_claim_s", "is_own", "state"),
    [(0.5, False, DONE), (1, True, DONE), (3, True, FAILED), (3.5, False, FAILED)],
)
def test_a_change_within_an_attempt_is_known_and_reported_once(
    rig, task, after_claim_s, is_own, state
):
    end(rig, task, state)
    before = known(rig)
    now = item(task.claimed_us + int(after_claim_s * S))
    done = register(rig.store, "line", [now], ME)
    assert (done.noted, done.changed) == ((1, 0) if is_own else (0, 1))
    assert known(rig).generation == before.generation + (not is_own)
    assert (known(rig).size_bytes, known(rig).mtime_us) == (2, now.mtime_us)
    rig.check()
    if is_own:
        assert "its step `a` ran" in done.messages[0]
    again = register(rig.store, "line", [now], ME)
    assert (again.known, again.noted, again.messages) == (1, 0, [])


@pytest.mark.parametrize("after_start_us", [2 * S - 1, -1_000])
def test_the_step_that_changed_it_is_named_and_not_one_that_began_just_after(
    rig, task, after_start_us
):
    """Also where the time of the file, which moves in ticks, is before the start of the attempt."""
    started_us = task.claimed_us + S
    changed_us = started_us + after_start_us
    ended_us = changed_us + 2_000
    ends = {"started_us": started_us, "ended_us": ended_us}
    rig.link.finish([rig.result(task, AttemptState.SUCCEEDED, **ends)])
    (after,) = rig.claim(rig.worker())
    times = {"started_us": ended_us + 1_000, "ended_us": ended_us + S}
    rig.link.finish([rig.result(after, AttemptState.SUCCEEDED, **times)])
    done = register(rig.store, "line", [item(changed_us)], ME)
    assert "its step `a` ran" in done.messages[0]


def test_a_change_while_the_attempt_runs_leaves_it_alone(rig, task):
    for size in (2, 3):
        assert (
            register(rig.store, "line", [item(task.claimed_us + S * size, size=size)], ME).noted
            == 1
        )
    assert rig.states()["x", "a"] == "running"
    end(rig, task)
    assert rig.states() == {("x", "a"): "done", ("x", "b"): "ready"}
    rig.check()


@pytest.mark.parametrize("is_done", [False, True])
def test_the_new_content_of_an_item_is_recorded_where_nothing_of_it_is_done(rig, task, is_done):
    end(rig, task, DONE if is_done else FAILED)
    if is_done:
        (second,) = rig.claim(rig.worker())
        rig.link.finish([rig.result(second, FAILED, verdict=Verdict.FAIL)])
    pages = list(failed_items(rig.store, Selection()))
    assert [one.item.key for page in pages for one in page] == ([] if is_done else ["x"])
    for page in pages:
        now = [one.now(size_bytes=9, mtime_us=8, content="9:8") for one in page]
        take_repaired(rig.store, now)
        assert (known(rig).size_bytes, known(rig).mtime_us) == (9, 8)
        assert register(rig.store, "line", [item(8, size=9)], ME).known == 1
    rig.check()


def test_a_checksum_of_what_was_there_before_is_forgotten(rig, task):
    with rig.store.writing() as unit:
        unit.execute(tables.item.update().values(checksum="xxh3:1"))
    register(rig.store, "line", [item(task.claimed_us + S)], ME)
    assert known(rig).checksum is None


def test_new_parameters_are_no_doing_of_a_step(rig, task):
    now = item(task.claimed_us + S, gain=2, by_person=True)
    assert register(rig.store, "line", [now], ME).changed == 1
    assert json.loads(known(rig).params) == {"gain": 2}


@pytest.mark.parametrize("on_change", ["fail", "ignore"])
def test_what_a_step_changed_contradicts_nothing(rig, pipeline, task, on_change):
    rig.apply(replace(pipeline(a=(), b=("a",)), on_change=OnChange(on_change)))
    done = register(rig.store, "line", [item(task.claimed_us + S)], ME)
    assert (done.known, done.conflicts, done.changed) == (1, 0, 0)


def test_what_a_step_changed_needs_not_pass_the_rules_for_new_files(rig, task):
    done = register(
        rig.store, "line", [item(task.claimed_us + S, reason="its checksum is another")], ME
    )
    assert (done.noted, done.refused) == (1, 0)
    rig.check()
