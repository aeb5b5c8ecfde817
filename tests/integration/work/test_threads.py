"""What a worker's thread cannot handle ends the worker in order, and is never lost."""

import pytest

from stoker.errors import Bug
from stoker.project.services.janitor import Janitor
from stoker.project.services.service import Services
from stoker.store import journal_fold
from stoker.store.claims import workers
from stoker.work import disk, lease, slot, stopping
from stoker.work import room as rooms

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Odd(Exception):
    """Nobody expects this one."""


def odd(*_args, **_more):
    raise Odd("as never before")


BROKEN = {
    "the disk's": (disk, "taken_bytes"),
    "the room's": (rooms, "shortage"),
    "the lease's": (workers, "renew"),
    "the janitor's": (journal_fold, "fold"),
    "one that concludes": (slot.Seat, "clean"),
}


@pytest.mark.parametrize("which", BROKEN)
def test_a_thread_that_fails_ends_the_worker_in_order(rig, monkeypatch, which):
    concludes = which == "one that concludes"
    monkeypatch.setattr(stopping, "PATIENCE_S", 0.3 if concludes else 10.0)
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    monkeypatch.setattr(disk, "LOOK_S", 0.05)
    monkeypatch.setattr(rooms, "LOOK_S", 0.05)
    run = "touch {out.o}" if concludes else "sleep 60"
    rig.write(f'[pipelines.p.steps.s]\nrun = "{run}"\ndisk = "1M"\noutputs.o = "o"')
    rig.push("k")
    broken = []

    def break_it(_event):
        if not broken and rig.task_states() == {"k/s": "running"}:
            broken.append(True)
            monkeypatch.setattr(*BROKEN[which], odd)

    if concludes:
        monkeypatch.setattr(*BROKEN[which], odd)
    worker = rig.worker(on_event=None if concludes else break_it)
    janitor = Janitor(rig.store, scratch_root="/nowhere", tick_s=0.05)
    with pytest.raises(Bug, match="as never before"):
        Services([janitor], worker).run()
    monkeypatch.undo()
    assert rig.task_states() == {"k/s": "ready"}
    assert {one.state for one in rig.all_attempts()} <= {"cancelled", "lost"}
    if not concludes:
        assert rig.leftovers() == []
