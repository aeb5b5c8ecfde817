"""Attempts go to an outpost as files, run there, and their ends come back: once, whatever is killed."""

import pytest

NEAR = (
    "visit.greeted", "visit.listed", "visit.reserved", "visit.published", "visit.recorded",
    "visit.settled", "visit.claimed", "visit.sent", "visit.before_bye",
)  # fmt: skip
FAR = (
    "outpost.guarded", "outpost.listed", "outpost.written", "outpost.put", "outpost.before_reserve",
    "outpost.published", "outpost.forgetting",
)  # fmt: skip
WORKER = (
    "outpost.enlisted", "outpost.moved", "outpost.taken", "outpost.result_written",
    "outpost.result_linked",
)  # fmt: skip

TWICE = ("outpost.written", "outpost.put", "outpost.forgetting", "outpost.taken", "outpost.moved")


def test_a_task_runs_at_an_outpost_and_its_end_comes_back(rig):
    rig.write()
    rig.push("a", "b")
    rig.work()
    assert rig.task_states()["a/make"] == "ready"
    done = rig.visit()
    assert (done.sent, done.out, done.waiting) == (2, 2, 2)
    assert rig.work_there() == 0
    done = rig.visit()
    assert (done.recorded, done.failed, done.out) == (2, 0, 0)
    rig.work()
    rig.check("a", "b")


@pytest.mark.parametrize("point", [*NEAR, *FAR, *WORKER])
def test_killed_anywhere_nothing_is_lost_and_nothing_is_doubled(rig, point):
    """Killed at the first passing of one round, and at the second, where there is one, of the next."""
    rig.write()
    rig.push("a", "b")
    rig.work()
    ends = []
    for number in range(2):
        armed = f"{point}=kill@{2 if number and point in TWICE else 1}"
        near, far, work = (armed if point in side else "" for side in (NEAR, FAR, WORKER))
        ends += [rig.visit_apart(near, far=far), rig.work_there(work)]
        if not number:
            rig.push("c", "d")
            rig.work()
    assert any(ends), "the failpoint was not reached"
    rig.settle()
    rig.check("a", "b", "c", "d")
