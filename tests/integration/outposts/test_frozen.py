"""Frozen processes: what was given up and wakes later records nothing, publishes nothing, leaves nothing."""

import os
import signal
from contextlib import closing, contextmanager, suppress

import psutil
import pytest

from integration.outposts.rig import STEPS, Forked, arm
from integration.outposts.test_pilots import begin, uids, visit
from integration.work.rig import ME, is_stopped, wait_until
from stoker.errors import Unavailable
from stoker.model.selection import Selection
from stoker.outpost import running, sealed
from stoker.store.database.connect import open_store
from stoker.store.orders import verbs

ONCE = STEPS.replace(
    "mkdir {out.tree}",
    'test -e "$RUNS/began" || { touch "$RUNS/began"; sleep 60; }; mkdir {out.tree}',
)


def is_over(process):
    """Whether it has ended, be it that nobody has asked how."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def frozen(act, armed):
    """A fork that stops itself at this failpoint, and is gone in the end."""

    def go():
        arm(armed)
        act()

    process = Forked(go)
    try:
        yield process
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


@pytest.mark.parametrize(
    "point", ["outpost.taken", "", "outpost.result_written", "outpost.result_linked"]
)
def test_a_pilot_that_freezes_is_given_up_and_harms_nothing_when_it_wakes(rig, farm, point):
    """Its job is gone as far as the batch system knows, as after a pause of its node."""
    begin(rig, "a", steps=STEPS if point else ONCE)
    (pilot,) = uids(rig)

    def work():
        running.run(str(rig.spool), slots=2, pilot=pilot, idle_timeout_s=0.2)

    with frozen(work, f"{point}=stop" if point else "") as process:
        if not point:
            wait_until((rig.runs / "began").exists, "the task runs there")
            os.kill(process.pid, signal.SIGSTOP)
        wait_until(lambda: is_stopped(process.pid), "it is frozen")
        (start,) = (rig.spool / "starts").glob("*.json")
        sealed.write(str(start), sealed.read(str(start)) | {"host": "n17"})
        farm.forget(*farm.ids())
        done = [visit(rig) for _ in range(3)]
        ended = sum(one.lost for one in done), sum(one.recorded for one in done)
        assert ended == ((0, 1) if point == "outpost.result_linked" else (1, 0))
        while (others := uids(rig)) and rig.is_open():
            assert rig.work_there(pilot=others[0], idle_timeout_s=0.2) == 0
            visit(rig)
            rig.work()
        rig.work()
        published = (rig.far / "root" / "a.root").read_text()
        os.kill(process.pid, signal.SIGCONT)
        process.wait(60)
    assert visit(rig).recorded == 0
    assert (rig.far / "root" / "a.root").read_text() == published
    rig.check("a")


@pytest.mark.parametrize("point", ["outpost.before_reserve", "reserved", "published"])
def test_a_far_end_that_freezes_while_it_publishes_replaces_nothing_when_it_wakes(rig, point):
    """Its lock is broken, as between hosts of a file system on which locks do not hold."""
    rig.write()
    rig.push("a")
    rig.work()
    rig.visit()
    assert rig.work_there() == 0

    near = os.fork()
    if not near:
        with suppress(BaseException), closing(open_store(rig.settings.store_url)) as store:
            rig.visit(far=f"{point}=stop", store=store)
        os._exit(0)
    (far,) = wait_until(psutil.Process(near).children, "the far end is there")
    try:
        wait_until(lambda: is_stopped(far.pid), "it is frozen")
        os.kill(near, signal.SIGKILL)
        os.waitpid(near, 0)
        with pytest.raises(Unavailable, match="another visit"):
            rig.visit()
        (rig.spool / "visit.lock").unlink()
        assert rig.visit().recorded == 1
        verbs.rerun(rig.store, Selection(steps=("make",)), ME)
        rig.settle()
        far.resume()
        wait_until(lambda: is_over(far), "it has ended")
    finally:
        with suppress(psutil.NoSuchProcess):
            far.kill()
    rig.check_last("a")
