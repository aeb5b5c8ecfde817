"""What the record of pilots promises, on each database; the batch systems are elsewhere."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from stoker.model.batch import BatchSystem, Manners
from stoker.model.pipeline import Run, Step
from stoker.model.states import PilotState
from stoker.model.worker import NewWorker
from stoker.store.actor import Actor
from stoker.store.claims import workers
from stoker.store.pilots import entries, looks, starts, submissions
from stoker.store.pilots.demand import demand
from stoker.store.pilots.listed import batch_status, pilot_rows
from stoker.store.pilots.submissions import Decision

ME = Actor("me", "enough")
MAIN = BatchSystem(name="main", system="slurm", time_limit_s=3600.0, max_pilots=3)
MANNERS = Manners(back_off_s=(0.0,))


@pytest.fixture
def known(store):
    """A store that knows the batch system `main`."""
    entries.set_entries(store, [MAIN], file="/project/stoker.toml")
    return store


def intend(store, n=1):
    """As many as there is room for, of so many."""

    def decide(_entry, live, _now_us):
        return Decision(submit=min(n, MAIN.max_pilots - len(live)), wanted=n)

    return submissions.intend(
        store, MAIN, decide, project="lab", folder="/project", manners=MANNERS
    )


def begin(store, pilot, **more):
    """The pilot's job begins."""
    given = {"host": "n1", "batch_id": "rig:7.0", "began_s_ago": 2.0, "found": {"cpus": 1}}
    return starts.start(store, pilot.uid, **given | more)


def states(store):
    return [row.state for row in pilot_rows(store, "main", everything=True)]


def status(store):
    with store.reading() as unit:
        return batch_status(unit)["main"]


def test_a_pilot_from_its_intention_to_its_end(known):
    (pilot,) = intend(known)
    submissions.note_submitted(known, pilot.id, "7", "rig:7.0")
    submissions.note_submitted(known, pilot.id, "8", "rig:8.0")  # another was quicker
    assert begin(known, pilot, batch_id=None).state is PilotState.RUNNING
    assert starts.report(known, pilot.uid, done=4)
    starts.end(known, pilot.uid, done=5, was_stopped=False, reason="no work was left for it")
    (row,) = pilot_rows(known, "main")
    assert (row.state, row.done, row.batch_id, row.host) == ("ended", 5, "rig:7.0", "n1")
    assert not looks.conclude(known, pilot.id, PilotState.LOST, "too late", manners=MANNERS)
    assert states(known) == ["ended"]


def test_never_more_than_the_most_whoever_asks_at_once(known):
    with ThreadPoolExecutor(4) as several:
        made = [one for found in several.map(lambda n: intend(known, n), [2] * 8) for one in found]
    assert len(made) == 3
    assert states(known) == ["waiting"] * 3


def test_where_a_pilot_ran_may_be_learned_at_its_end(known):
    unseen, seen = intend(known, 2)
    begin(known, seen)
    for pilot in (unseen, seen):
        assert looks.conclude(
            known, pilot.id, PilotState.FAILED, "exit status 1", manners=MANNERS, host="n7"
        )
    assert [row.host for row in pilot_rows(known, "main")] == ["n7", "n1"]


def test_what_was_seen_is_noted_and_what_was_missed(known):
    seen, missed = intend(known, 2)
    sighting = looks.Sighting(
        pilot_id=seen.id, state=PilotState.RUNNING, job="9", batch_id="rig:9.0",
        said="é \x00 ✓" * 50, host="n2",
    )  # fmt: skip
    with known.reading() as unit:
        began_us = unit.now_us
    looks.note_sightings(known, [sighting], [missed.id], began_us=began_us)
    rows = pilot_rows(known, "main")
    assert [(row.state, row.host, row.batch_id) for row in rows] == [
        ("running", "n2", "rig:9.0"), ("waiting", None, None),
    ]  # fmt: skip


def test_three_that_never_worked_hold_it_and_a_person_releases_it(known):
    for _ in range(3):
        (pilot,) = intend(known)
        assert looks.conclude(known, pilot.id, PilotState.FAILED, "no module", manners=MANNERS)
    assert status(known).held
    assert "no module" in status(known).reason
    assert entries.release(known, "main", ME)
    assert not status(known).held
    assert entries.hold(known, "main", ME)
    assert status(known).held_by == "me"


def test_a_pilot_that_is_to_end_begins_no_more(known):
    first, second = intend(known, 2)
    begin(known, first)
    assert {one.uid for one in submissions.order_end(known, "main", [], ME)} == {
        first.uid, second.uid,
    }  # fmt: skip
    assert begin(known, second) is None
    assert not starts.report(known, first.uid, done=1)
    starts.end(known, first.uid, done=1, was_stopped=True, reason="-")
    assert states(known) == ["cancelled", "waiting"]


def test_a_pilot_given_up_begins_only_where_its_place_is_free(known):
    (late,) = intend(known)
    looks.conclude(known, late.id, PilotState.LOST, "not seen", manners=MANNERS)
    others = intend(known, 3)
    assert begin(known, late) is None
    looks.conclude(known, others[0].id, PilotState.LOST, "not seen", manners=MANNERS)
    assert begin(known, late).state is PilotState.RUNNING


def test_what_pilots_could_do_is_what_is_ready_and_bound_to_no_host(known, rig, pipeline):
    big = Step(
        name="big", cpus=4, memory_bytes=(1 << 33,), needs=("fast",), action=Run(text="true")
    )
    here = Step(name="here", together="disk", action=Run(text="true"))
    there = Step(name="there", after=("here",), together="disk", action=Run(text="true"))
    rig.apply(pipeline(big, here, there))
    rig.push("a", "b")
    found = {one.cpus: one for one in demand(known).loads}
    assert (found[4].n, found[4].memory_bytes, found[4].needs) == (2, 1 << 33, {"fast"})
    assert found[1].n == 2
    rig.end(next(task for task in rig.claim(rig.worker(host="n7"), 2) if task.step == "here"))
    assert sum(one.n for one in demand(known).loads if one.cpus == 1) < 2, "`there` stays on n7"


def test_workers_that_no_pilot_brought_take_part(known, rig):
    (pilot,) = intend(known)
    begin(known, pilot)
    own = {"boot_id": "b", "lease_s": 20.0, "scratch": "/x", "memory_bytes": 1 << 30, "cpus": 2}
    workers.enlist(known, NewWorker(host="n1", name="p", pid=1, slots=2, pilot=pilot.uid, **own))
    assert demand(known).crews == ()
    workers.enlist(known, NewWorker(host="n2", name="w", pid=2, slots=8, **own))
    assert [one.slots for one in demand(known).crews] == [8]
