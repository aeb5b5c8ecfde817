"""What a store says while attempts are out: another order, an older state of it; and what comes home."""

import json
import os
import socket
import time
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from integration.work.rig import ME
from stoker.cli.main import cli
from stoker.errors import NotFound, StokerError, Unavailable
from stoker.intake.feed_record import step_record
from stoker.model.access import Role
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.outpost import sealed, visit
from stoker.outpost.sending import Sending
from stoker.project.services.janitor import tidy_once
from stoker.store import journal_fold, tables
from stoker.store.database.invariants import check_journal
from stoker.store.ends import reap
from stoker.store.orders import verbs
from stoker.store.orders.priorities import set_priority
from stoker.store.outposts import entries
from stoker.store.reports import story
from stoker.store.reports.attempts import attempts, maker_of
from stoker.store.reports.recent_changes import StepProgress
from stoker.store.retention import prune
from stoker.web.caller import Caller
from stoker.web.panel.templates import environment


def begin(rig, *keys):
    rig.write()
    rig.push(*keys)
    rig.work()
    rig.visit()


def waiting(rig):
    """The keys of what waits there, in the order in which they begin."""
    names = sorted(path.name for path in (rig.spool / "todo").iterdir())
    return [sealed.read(str(rig.spool / "todo" / name))["claimed"]["key"] for name in names]


def test_what_waits_there_follows_the_order_of_the_store(rig):
    begin(rig, *"abcd")
    before = waiting(rig)
    last = before[-1]
    set_priority(rig.store, Selection(keys=(last,)), ME, priority=5)
    assert waiting(rig) == before
    rig.visit()
    assert waiting(rig) == [last, *before[:-1]]
    assert rig.work_there() == 0
    rig.settle()
    rig.check(*"abcd")


@pytest.mark.parametrize("point", ["", "outpost.orphan_kept"])
def test_results_that_a_restored_store_does_not_know_are_kept_aside(rig, point):
    """As after `stoker store restore`: the attempt is unknown, and the epoch is the next one."""
    begin(rig, "a")
    assert rig.work_there() == 0
    (done,) = (rig.spool / "done").iterdir()
    (path,) = done.parent.parent.glob("runs/*/*/out/0/a.root")
    text = path.read_text()
    attempt = done.stem
    with rig.store.writing() as unit:
        is_it = tables.attempt.c.id == bytes.fromhex(attempt)
        unit.execute(update(tables.attempt).where(is_it).values(worker_id=None))
    rig.store.epoch += 1
    if point:
        with pytest.raises(Unavailable):
            rig.visit(far=f"{point}=kill@1")
    assert rig.visit().forgotten == 1
    kept = rig.spool / "orphans" / attempt
    (output,) = kept.glob("*/out/0/a.root")
    assert output.read_text() == text
    assert sealed.read(str(kept / "result.json"))["result"]["state"]
    assert not (rig.far / "root").exists()
    assert rig.left_there() == []


def test_a_batch_job_there_is_recorded_with_the_attempt(rig, monkeypatch):
    job = {"SLURM_JOB_ID": "8813402", "SLURM_CLUSTER_NAME": "lyon", "SLURMD_NODENAME": "n17"}
    for name, value in (job | {"SLURM_CONF": "/nowhere"}).items():
        monkeypatch.setenv(name, value)
    begin(rig, "a")
    assert rig.work_there() == 0
    rig.settle()
    rig.check("a")
    (seen,) = [one for one in rig.all_attempts() if one.step == "make"]
    assert seen.row.batch_id == "lyon:8813402.0"


def test_what_ran_there_is_shown_with_its_node(rig, monkeypatch):
    """Of a step that ran here the host is where it ran."""
    begin(rig, "a")
    with monkeypatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: "n17\x1b[31m")  # as a far end may call itself
        assert rig.work_there() == 0  # a fork of this process
    rig.settle()
    rig.check("a")
    rows = {one.step: one for one in attempts(rig.store, Selection())}
    assert {step: row.node for step, row in rows.items()} == {
        "here": None, "make": r"n17\x1b[31m", "last": None,
    }  # fmt: skip
    assert rows["here"].ran_on == rows["here"].host
    where = r"n17\x1b[31m (outpost:far)"
    for words in (["show", "a"], ["which", f"far:{rig.far}/root/a.root"]):
        scope = ["--project", str(rig.folder), *words]
        assert f" on {where}" in CliRunner().invoke(cli, scope, catch_exceptions=False).stdout
    assert f" on {where}" in item_page(story.story(rig.store, "a"))
    step = StepProgress(step="make", state="done", reason=None, attempt=rows["make"])
    assert step_record(step, None)["node"] == r"n17\x1b[31m"
    assert check_journal(rig.store).violations == ()


def item_page(of):
    """What the item's page says, for somebody who may only read."""
    caller = Caller(user="ada", role=Role.VIEWER)
    return environment().get_template("panel/item.html").render(
        base="", static=str, project="rig", caller=caller, may_repair=False, may_cancel=False,
        ago=str, now=of.item.registered_at, is_report=False, rail=(), may_manage=False,
        active="", counters=(), counted_at=None, away=None, here="", item=of.item, tasks=of.tasks,
        why=None, attempts=of.attempts, n_attempts=len(of.attempts), happenings=(), n_happenings=0,
        eta_s=None, bars=(), words=None, verbs=(), query={}, command="", form_token=str,
    )  # fmt: skip


def test_a_path_at_a_site_that_nobody_made_is_named_as_such(rig):
    begin(rig, "a")
    rig.work_there()
    rig.settle()
    assert maker_of(rig.store, f"far:{rig.far}/root/a.root").item == "a"
    assert maker_of(rig.store, "far:root/a.root").item == "a"
    with pytest.raises(NotFound, match=f"`far:{rig.far}/root/b.root`"):
        maker_of(rig.store, "far:root/b.root")


@pytest.mark.parametrize("day", [86_400, -86_400])
def test_a_clock_there_that_is_a_day_off_decides_nothing(rig, day, monkeypatch):
    begin(rig, "a", "b")
    ns = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: ns() / 1e9 + day)
        patch.setattr(time, "time_ns", lambda: ns() + day * 1_000_000_000)
        assert rig.work_there() == 0  # a fork of this process
    assert rig.visit().recorded == 2
    rig.work()
    rig.check("a", "b")
    (seen, _) = [one for one in rig.all_attempts() if one.step == "make"]
    assert 0 <= seen.row.ended_us - seen.row.started_us < 60_000_000


def test_a_spool_that_cannot_be_written_stops_claims_for_that_outpost_alone(rig):
    begin(rig, "a")
    held = rig.spool / "todo"
    held.rename(rig.spool / "todo.away")
    held.write_text("")  # nothing can be written there, whoever the account is
    rig.push("b")
    rig.work()
    with pytest.raises(StokerError):
        rig.visit()
    assert rig.task_states()["b/make"] == "ready"
    held.unlink()
    (rig.spool / "todo.away").rename(held)
    rig.settle()
    rig.check("a", "b")


def test_a_result_that_comes_late_and_once_more_changes_nothing(rig):
    begin(rig, "a")
    assert rig.work_there() == 0
    (done,) = (rig.spool / "done").iterdir()
    result = done.read_bytes()
    rig.settle()
    rig.check("a")
    for _ in range(2):
        done.write_bytes(result)
        assert rig.visit().recorded == 0
    rig.check("a")


def test_a_result_of_an_item_that_was_pruned_meanwhile_is_of_nobody(rig):
    """What runs is never pruned: the outpost was dropped before, and its attempt lost."""
    begin(rig, "a", "b")
    assert rig.work_there() == 0
    chosen, at_once = Selection(keys=("a",)), Retention(items={"cancelled": 0})
    verbs.cancel(rig.store, chosen, ME)
    assert prune.prune(rig.store, at_once, selection=chosen).items == 0
    entries.drop(rig.store, "far", ME)
    reap.reap(rig.store)
    assert prune.prune(rig.store, at_once, selection=chosen).items == 1
    entries.release(rig.store, "far", ME)
    done = rig.visit()
    assert (done.recorded, done.forgotten) == (0, 2)
    assert not (rig.far / "root").exists()
    rig.settle()  # `b` is done again
    rig.check("b")
    assert rig.left_there() == []


@pytest.mark.parametrize("point", ["", "copied"])
def test_outputs_get_to_another_file_system_than_that_of_the_spool(rig, point):
    """They are copied, hidden until they are whole, and what a killed far end leaves there goes."""
    begin(rig, "a")
    with TemporaryDirectory(dir="/dev/shm") as folder:  # on every Linux, in memory
        assert os.stat(folder).st_dev != os.stat(rig.spool).st_dev
        (rig.far / "root").symlink_to(folder)
        (rig.far / "tree").symlink_to(folder)
        assert rig.work_there() == 0
        if point:
            with pytest.raises(Unavailable):
                rig.visit(far=f"{point}=kill@1")
            assert any(name.startswith(".stoker-") for name in os.listdir(folder))
        rig.settle()
        rig.check("a")
        assert sorted(os.listdir(folder)) == ["a", "a.root"]
        assert rig.left_there() == []


def test_a_visit_whose_time_ends_between_two_claims_leaves_the_rest_ready(rig, monkeypatch):
    rig.write()
    rig.push("a", "b", "c")
    rig.work()
    past_s, send = [0.0], Sending.send

    def slowly(sending, tasks):
        past_s[0] += 50
        return send(sending, tasks)

    with monkeypatch.context() as patch:
        patch.setattr(visit, "_CLAIMED", 2)
        patch.setattr(visit, "time", SimpleNamespace(monotonic=lambda: past_s[0]))
        patch.setattr(Sending, "send", slowly)
        done = rig.visit(limit_s=60)
    assert (done.sent, done.out, done.more) == (2, 2, True)
    states = [rig.task_states()[f"{key}/make"] for key in "abc"]
    assert sorted(states) == ["ready", "running", "running"]
    assert (rig.visit().sent, len(waiting(rig))) == (1, 3)
    assert rig.work_there() == 0
    rig.settle()
    rig.check("a", "b", "c")


FAILING = """
error_folder = {{ to = "{to}/{{key}}/", from = ["*.log"] }}
[pipelines.p.steps.make]
site = "far"
run = 'echo out; echo > x.log; test -e "$RUNS/mended" || exit 9'
"""


def test_what_failed_there_has_an_error_folder_here(rig):
    rig.write(FAILING.format(to=rig.folder / "errors"))
    rig.push("a")
    rig.visit()
    assert rig.work_there() == 0
    assert rig.visit().failed == 1
    tidy_once(rig.store)
    folder = rig.folder / "errors" / "a"
    assert folder.joinpath("REASON.txt").read_text() == "make: exit code 9\n"
    assert folder.joinpath("stdout").read_text() == "out\n"
    record = json.loads(folder.joinpath("reason.json").read_text())
    assert record["host"] == f"{socket.gethostname()} (outpost:far)"
    assert "at another site" in folder.joinpath("LEFT_OUT.txt").read_text()
    (rig.runs / "mended").touch()
    verbs.retry(rig.store, Selection(), ME)
    rig.settle()
    journal_fold.fold(rig.store)
    tidy_once(rig.store)
    assert not folder.exists()
    assert check_journal(rig.store).violations == ()
