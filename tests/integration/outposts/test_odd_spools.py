"""What lies in a spool may be anything: it is set aside, and stops nobody."""

import os
import shutil
import signal

import pytest

from integration.outposts.rig import STEPS
from integration.work.rig import wait_until
from stoker.errors import Refused, Unavailable
from stoker.model.item import NewItem
from stoker.model.selection import Selection
from stoker.store.arrivals import register
from stoker.store.orders import verbs
from store.rig import ME


def begin(rig, *keys):
    """These items wait at the outpost."""
    rig.write()
    rig.push(*(keys or ("a",)))
    rig.work()
    rig.visit()


def done_files(rig):
    return sorted((rig.spool / "done").iterdir())


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replaced_by(make):
    def act(path):
        path.unlink()
        make(path)

    return act


DAMAGES = {
    "flipped": flip,
    "half": half,
    "empty": lambda path: path.write_bytes(b""),
    "huge": lambda path: os.truncate(path, 9 << 20),
    "folder": replaced_by(lambda path: path.mkdir()),
    "fifo": replaced_by(os.mkfifo),
    "link": replaced_by(lambda path: path.symlink_to("/etc/passwd")),
    "gone": lambda path: path.unlink(),
    "deep": lambda path: path.write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_bundle_that_cannot_be_read_costs_nothing_but_itself(rig, damage):
    begin(rig, "a", "b")
    DAMAGES[damage](min((rig.spool / "todo").iterdir()))
    rig.settle()
    rig.check("a", "b")


@pytest.mark.parametrize("damage", sorted(set(DAMAGES) - {"gone"}))
def test_a_result_that_cannot_be_read_is_a_loss(rig, damage):
    begin(rig, "a", "b")
    assert rig.work_there() == 0
    path = done_files(rig)[0]
    shutil.copy(path, rig.folder / "kept")  # so that its second name is not damaged with it
    os.replace(rig.folder / "kept", path)
    DAMAGES[damage](path)
    done = rig.visit()
    assert (done.recorded, done.lost) == (1, 1)
    rig.settle()
    rig.check("a", "b")
    ends = [seen.state for seen in rig.all_attempts() if seen.step == "make"]
    assert sorted(ends) == ["lost", "succeeded", "succeeded"]


def test_odd_names_are_set_aside(rig):
    begin(rig)
    for folder in ("todo", "taken", "done", "back", "starts"):
        for name in ("x", "a b\n", "$(touch x)", "-rf", "b\udcff", "0" * 200):
            (rig.spool / folder / name).write_text("?")
    rig.settle()
    rig.check("a")
    assert len(list((rig.spool / "bad").iterdir())) == 30


def staged(rig, name):
    (found,) = (rig.spool / "runs").glob(f"*/*/out/*/{name}")
    return found


CHANGES = {
    "other": lambda path: path.write_text("something else"),
    "gone": lambda path: path.unlink(),
    "link": replaced_by(lambda path: path.symlink_to("/etc/passwd")),
    "folder": replaced_by(lambda path: path.mkdir()),
    "fifo": replaced_by(os.mkfifo),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_staged_output_that_changed_is_never_published(rig, change):
    begin(rig)
    assert rig.work_there() == 0
    CHANGES[change](staged(rig, "a.root"))
    done = rig.visit()
    assert (done.recorded, done.failed) == (1, 1)
    assert not (rig.far / "root").exists()
    seen = next(one for one in rig.all_attempts() if one.step == "make")
    assert seen.state == "failed"
    assert seen.row.cause == "staged_changed"
    assert "a.root" in seen.reason
    assert rig.left_there() == []


def test_a_file_of_somebody_elses_is_not_replaced(rig):
    begin(rig)
    (rig.far / "root").mkdir()
    (rig.far / "root" / "a.root").write_text("mine")
    assert rig.work_there() == 0
    assert rig.visit().failed == 1
    assert (rig.far / "root" / "a.root").read_text() == "mine"
    assert rig.all_attempts()[-1].row.cause == "output_conflict"
    assert rig.left_there() == []


def test_what_is_done_again_replaces_what_it_made_itself(rig):
    begin(rig)
    rig.settle()
    rig.check("a")
    verbs.rerun(rig.store, Selection(steps=("make",)), ME)
    rig.settle()
    rig.check_last("a")


@pytest.mark.parametrize("when", ["waits", "ended"])
def test_what_is_done_again_while_it_is_out_counts_once(rig, when):
    begin(rig)
    if when == "ended":
        assert rig.work_there() == 0
    verbs.rerun(rig.store, Selection(steps=("here",)), ME)
    rig.settle()
    rig.check_last("a")


def test_cancelled_while_it_waits_or_runs_there(rig):
    begin(rig, "a", "b")
    verbs.cancel(rig.store, Selection(keys=("a",), steps=("make",)), ME)
    done = rig.visit()
    assert (done.cancelled, done.out) == (1, 1)
    assert rig.work_there() == 0
    assert rig.visit().recorded == 1
    assert rig.task_states()["a/make"] == "cancelled"
    assert rig.task_states()["b/make"] == "done"
    assert rig.left_there() == []


def test_one_that_runs_there_is_stopped_by_a_visit(rig):
    rig.write(STEPS.replace("mkdir {out.tree}", "touch $RUNS/began; sleep 60; mkdir {out.tree}"))
    rig.push("a")
    rig.work()
    rig.visit()
    with rig.worker_there() as worker:
        wait_until((rig.runs / "began").exists, "the task runs there")
        verbs.cancel(rig.store, Selection(steps=("make",)), ME)
        rig.visit()
        assert worker.wait(40) == 0
    rig.visit()
    assert rig.task_states()["a/make"] == "cancelled"
    assert rig.left_there() == []


def test_a_worker_that_is_killed_loses_its_attempt_which_is_done_again(rig):
    rig.write(STEPS.replace("mkdir {out.tree}", 'test -e "$RUNS/began" || '
                            '{ touch "$RUNS/began"; sleep 60; }; mkdir {out.tree}'))  # fmt: skip
    rig.push("a")
    rig.work()
    rig.visit()
    with rig.worker_there() as worker:
        wait_until((rig.runs / "began").exists, "the task runs there")
        assert rig.visit().lost == 0  # nobody is given up while it lives
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(10)
    assert any((rig.spool / "scratch").iterdir())
    done = rig.visit()
    assert (done.lost, list((rig.spool / "scratch").iterdir())) == (1, [])
    rig.settle()
    rig.check("a")


def test_two_workers_share_what_waits(rig):
    begin(rig, *"abcdefgh")
    with rig.worker_there() as one, rig.worker_there() as other:
        assert (one.wait(60), other.wait(60)) == (0, 0)
    rig.visit()
    rig.work()
    rig.check(*"abcdefgh")
    assert [len((rig.runs / key).read_text().split()) for key in "abcdefgh"] == [1] * 8


def test_one_bundle_in_two_hands_has_one_result(rig):
    begin(rig)
    (bundle,) = (rig.spool / "todo").iterdir()
    shutil.copy(bundle, rig.folder / "copy")
    assert rig.work_there() == 0
    shutil.copy(rig.folder / "copy", bundle)
    assert rig.work_there() == 0
    assert len((rig.runs / "a").read_text().split()) == 2  # it ran twice, under one id
    assert rig.visit().recorded == 1
    rig.settle()
    rig.check("a")


def test_a_second_visit_at_a_time_is_refused(rig):
    rig.write()
    rig.visit()
    from stoker.outpost.spool import Spool

    with Spool(str(rig.spool)).locked(), pytest.raises(Unavailable, match="another visit"):
        rig.visit()


def test_a_copy_of_the_store_and_an_old_backup_are_refused(rig):
    rig.write()
    rig.visit()
    from stoker.outpost import sealed

    served = rig.spool / "served.json"
    told = sealed.read(str(served))
    sealed.write(str(served), told | {"epoch": told["epoch"] + 1})
    with pytest.raises(Refused, match="old backup"):
        rig.visit()
    sealed.write(str(served), told | {"store": "another"})
    with pytest.raises(Refused, match="another store"):
        rig.visit()
    served.write_bytes(b"?")
    with pytest.raises(Refused, match="damaged"):
        rig.visit()


def test_a_folder_that_others_can_write_is_refused(rig):
    rig.write()
    rig.visit()
    rig.spool.chmod(0o777)
    with pytest.raises(Refused, match="another account"):
        rig.visit()


@pytest.mark.parametrize("gone", ["spool", "folder"])
def test_a_spool_that_is_gone_loses_nothing(rig, gone):
    begin(rig, "a", "b")
    shutil.rmtree(rig.spool if gone == "spool" else rig.far)
    done = rig.visit()
    assert (done.given_back, done.sent, done.out) == (2, 2, 2)
    rig.settle()
    rig.check("a", "b")


def test_a_dropped_outpost_is_given_nothing_and_its_late_results_do_not_count(rig):
    from stoker.store.ends.reap import reap
    from stoker.store.outposts import entries

    begin(rig)
    assert rig.work_there() == 0
    assert entries.drop(rig.store, "far", ME) == 1
    reap(rig.store)
    done = rig.visit(is_held=True)
    assert (done.recorded, done.out, done.sent) == (0, 0, 0)
    assert rig.left_there() == []
    assert not (rig.far / "root").exists()
    assert entries.release(rig.store, "far", ME)
    rig.settle()
    rig.check("a")


def test_what_is_too_large_to_be_sent_fails_and_stops_nobody(rig, monkeypatch):
    from stoker.outpost import sending

    monkeypatch.setattr(sending, "MOST_BYTES", 4000)
    rig.write()
    register.register(
        rig.store, "p", [NewItem(key=key, params={"x": "y" * n}) for key, n in
                         (("a", 5000), ("b", 1), ("c", 2500), ("d", 2500))], ME,
    )  # fmt: skip
    rig.work()
    done = rig.visit()
    assert (done.sent, done.out) == (3, 3)
    assert rig.task_states()["a/make"] == "failed"
    assert next(one for one in rig.all_attempts() if one.state == "failed").row.cause == (
        "too large to be sent"
    )
    assert rig.work_there() == 0
    assert rig.visit().recorded == 3


def test_a_disk_without_room_keeps_what_was_made(rig):
    begin(rig)
    assert rig.work_there() == 0
    done = rig.visit(far="published=raise")
    assert (done.recorded, done.out, done.more) == (0, 1, True)
    assert "cannot be published now" in rig.last.system_trouble
    rig.settle()
    rig.check("a")


def test_the_end_of_a_long_stream_comes_home(rig):
    rig.write(STEPS.replace("echo out;", "seq 40000; echo the end;"))
    rig.push("a")
    rig.work()
    rig.visit()
    assert rig.work_there() == 0
    assert rig.visit().recorded == 1
    seen = next(one for one in rig.all_attempts() if one.step == "make")
    assert seen.stdout.endswith(b"40000\nthe end\n")
    assert len(seen.stdout) == 60 * 1024
    assert (seen.row.stdout_size, bool(seen.row.stdout_truncated)) == (228_902, True)
