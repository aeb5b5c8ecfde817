"""Workers at an outpost that its batch system brings, from nodes that reach neither store nor laboratory."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from integration.outposts.rig import STEPS
from integration.work.rig import ME, wait_until
from stoker.model.selection import Selection
from stoker.outpost import pilots, sealed
from stoker.store.database.invariants import check_journal
from stoker.store.outposts import entries
from stoker.store.reports.attempts import attempts
from stoker.store.reports.why_waiting import why

BATCH = """
[batch.farm]
site = "far"
system = "slurm"
time_limit = "1h"
max_pilots = 3
"""


def visit(rig, **more):
    return rig.visit(brings_worker=True, **more)


def begin(rig, *keys, steps=STEPS):
    rig.write(steps, extra=BATCH)
    rig.push(*keys)
    rig.work()
    visit(rig)


def made(rig):
    """State, node and batch job of the attempts of step `make`."""
    chosen = attempts(rig.store, Selection(steps=("make",)))
    return [(one.state, one.node, one.batch_id) for one in chosen]


def uids(rig):
    return sorted(path.stem for path in (rig.spool / "pilots").glob("*.json"))


def test_as_many_pilots_come_as_there_is_work_for(rig, farm):
    begin(rig, *"abcdefgh")
    assert farm.ids("PENDING") == ["101", "102"]
    visit(rig)
    assert len(farm.jobs) == 2  # they wait still
    farm.set("101", state="RUNNING")
    visit(rig)
    assert len(farm.jobs) == 3
    farm.set("102", state="RUNNING")
    farm.set("103", state="RUNNING")
    visit(rig)
    assert len(farm.jobs) == 3  # of three at most
    assert rig.work_there(pilot=uids(rig)[0], idle_timeout_s=0.2, time_limit_s=60) == 0
    assert visit(rig).recorded == 8
    rig.work()
    farm.forget("101", "102", "103")
    visit(rig)
    visit(rig)
    assert uids(rig) == []
    assert rig.work_there(pilot="0123456789") == 0  # not wanted any more
    rig.check(*"abcdefgh")


def test_pilots_that_wait_for_nothing_are_ended(rig, farm, monkeypatch):
    begin(rig, "a")
    assert rig.work_there() == 0  # somebody else was faster
    visit(rig)
    assert farm.ids("PENDING") == ["101"]
    monkeypatch.setattr(pilots, "SURPLUS_US", 0)
    visit(rig)
    assert farm.ids("PENDING") == []
    rig.work()
    rig.check("a")


def test_the_script_of_a_pilot_brings_a_worker(rig, farm):
    begin(rig, "a")
    script = Path(farm.jobs[0]["words"][-1])
    text = script.read_text()
    assert f"--pilot {uids(rig)[0]} --time-limit 3600s --idle-timeout 300s" in text
    script.write_text(text.replace("300s", "1s"))
    ended = subprocess.run([script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert visit(rig).recorded == 1
    rig.work()
    rig.check("a")


def test_an_attempt_on_a_node_is_lost_only_when_its_job_was_missing_twice(rig, farm):
    steps = STEPS.replace(
        "mkdir {out.tree}",
        'test -e "$RUNS/began" || { touch "$RUNS/began"; sleep 60; }; mkdir {out.tree}',
    )
    begin(rig, "a", steps=steps)
    farm.set("101", state="RUNNING")
    (pilot,) = uids(rig)
    with rig.worker_there(pilot=pilot, idle_timeout_s=5, slots=None) as worker:
        wait_until((rig.runs / "began").exists, "the task runs there")
        (start,) = (rig.spool / "starts").glob("*.json")
        facts = sealed.read(str(start))
        assert facts["slots"] == 1  # as many as its pilot asked for, whatever the node has
        sealed.write(str(start), facts | {"host": "n17"})  # which is not the host that is visited
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
    (owner,) = (rig.spool / "scratch").glob("*/owner")
    owner.write_text(json.dumps(json.loads(owner.read_text()) | {"host": "n17", "boot_id": "b"}))
    assert visit(rig).lost == 0  # its job is there, as far as anybody knows
    assert made(rig) == [("running", "n17", None)]
    entries.note_visit(rig.store, "far", trouble=None, told={})
    assert "runs there on n17" in why(rig.store, "a", "make").text
    assert check_journal(rig.store).violations == ()
    (farm.folder / "squeue.say").write_text('{"status": 1, "error": "timed out"}\n' * 3)
    visit(rig)
    assert "timed out" in rig.last.system_trouble
    (farm.folder / "squeue.say").unlink()
    farm.forget("101")
    farm.add(name="of-somebody-else", id="101", state="RUNNING")  # numbers begin again some day
    assert [visit(rig).lost for _ in range(2)] == [0, 0]
    assert owner.exists()  # of a worker that may live
    assert visit(rig).lost == 1
    assert made(rig)[0] == ("lost", "n17", facts["batch_id"])
    for _ in range(6):
        if not rig.is_open():
            break
        pilot = uids(rig)
        if pilot:
            assert rig.work_there(pilot=pilot[0], idle_timeout_s=0.2) == 0
        visit(rig)
        rig.work()
    rig.check("a")


@pytest.mark.parametrize("point", ["outpost.pilot_intended", "outpost.pilot_submitted"])
def test_a_visit_that_dies_while_it_submits_is_made_up_for(rig, farm, point):
    rig.write(extra=BATCH)
    rig.push("a")
    rig.work()
    assert rig.visit_apart(far=f"{point}=kill", brings_worker=True)
    for _ in range(3):
        visit(rig)
    assert len(farm.jobs) == 1  # never two for the one task
    assert rig.work_there(pilot=uids(rig)[0], idle_timeout_s=0.2) == 0
    assert visit(rig).recorded == 1
    rig.work()
    rig.check("a")


def test_a_batch_system_that_refuses_is_named(rig, farm):
    (farm.folder / "sbatch.say").write_text(
        '{"status": 1, "does": false, "error": "sbatch: error: invalid account"}\n' * 2
    )
    begin(rig, "a")
    assert "invalid account" in rig.last.system_trouble
    assert uids(rig) == []


def test_after_three_pilots_that_never_worked_no_more_come_until_somebody_says_so(rig, farm):
    begin(rig, "a")
    for number in range(3):
        assert len(farm.ids("PENDING")) == 1, number
        (uid,) = uids(rig)
        (rig.spool / "logs" / f"pilot-{uid}.log").write_text("starting\nno such module `lab`\n")
        farm.forget(*farm.ids("PENDING"))
        visit(rig)
        visit(rig)
    trouble = rig.last.system_trouble
    assert "3 pilots in a row never worked (no such module `lab`)" in trouble
    farm.forget(*farm.ids("PENDING"))  # the one that came while the third was missing once
    visit(rig)
    visit(rig)
    assert (farm.ids("PENDING"), uids(rig)) == ([], [])
    assert "never worked" in rig.last.system_trouble
    entries.note_visit(rig.store, "far", trouble=None, told={"system_trouble": trouble})
    assert entries.release(rig.store, "far", ME)
    visit(rig, resumes=rig.entry().told["resumes"])
    assert len(farm.ids("PENDING")) == 1
    (uid,) = uids(rig)
    assert rig.work_there(pilot=uid, idle_timeout_s=0.2) == 0
    farm.forget(*farm.ids("PENDING"))
    visit(rig)
    visit(rig)
    assert uids(rig) == []
    assert sealed.read(str(rig.spool / "luck.json"))["failed"] == 0
    rig.work()
    rig.check("a")


def test_a_batch_system_that_refuses_ten_times_is_not_asked_again(rig, farm):
    farm.say("sbatch", *([{"status": 1, "does": False, "error": "sbatch: error: no"}] * 12))
    begin(rig, "a")
    for _ in range(10):
        visit(rig)
    assert "10 pilots in a row were refused" in rig.last.system_trouble
    assert farm.ids("PENDING") == []
