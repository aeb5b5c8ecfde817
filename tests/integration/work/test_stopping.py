"""How a worker ends: by signals, by its lease, by a crash; and how attempts are cancelled."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial

import pytest
from sqlalchemy import select

from integration.work.rig import freeze, is_locked, wait_until, worker_command
from stoker.model.selection import Selection
from stoker.model.worker import NewWorker, Renewal
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.claims import workers
from stoker.store.database import rebuild
from stoker.store.orders import verbs
from stoker.store.reports import why_waiting
from stoker.work import executor, lease, signals, stopping
from stoker.work.scheduler import Job
from stoker.work.scratch import process_start
from stoker.work.store_link import StoreLink
from stoker.work.term import Term

ME = Actor("tester")


@pytest.fixture
def start(rig):
    """Start a worker that is a process of its own; whatever happens it is gone at the end."""
    started = []

    def run(**options) -> subprocess.Popen:
        environment = options.pop("env", {})
        process = subprocess.Popen(
            worker_command(rig, **options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
    for pid, _ in list(rig.marked()):
        os.kill(pid, signal.SIGKILL)


def is_running(rig) -> bool:
    return "running" in rig.task_states().values() and (rig.folder / "pid").exists()


LONG = """
[pipelines.p.steps.s]
run = '''
echo $$ > {here}/$$.pid; mv {here}/$$.pid {here}/pid
until test -e {here}/go; do sleep 0.05; done
'''
"""


@pytest.fixture
def long(rig):
    """One task that runs until `go` is there, and one more behind it."""
    rig.write(LONG.replace("{here}", str(rig.folder)))
    rig.push("a", "b")
    return rig


def pid_of(rig) -> int:
    return int((rig.folder / "pid").read_text())


def test_term_lets_attempts_end_and_takes_no_more(long, start):
    process = start(slots=1)
    wait_until(lambda: is_running(long), "the attempt runs")
    process.send_signal(signal.SIGTERM)
    (long.folder / "go").touch()
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "was_interrupted=True" in out
    assert sorted(long.task_states().values()) == ["done", "ready"]
    assert long.leftovers() == []


def test_an_attempt_that_was_cut_off_is_ready_again_without_using_up_a_retry(long, start):
    process = start(slots=1)
    wait_until(lambda: is_running(long), "the attempt runs")
    process.send_signal(signal.SIGINT)
    time.sleep(2 * signals.SAME_ORDER_S)  # what comes at once counts as one
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, (out, err)
    assert process_start(pid_of(long)) is None
    assert set(long.task_states().values()) == {"ready"}
    (seen,) = long.all_attempts()
    assert (seen.state, seen.reason) == ("cancelled", "worker was stopped")
    assert long.leftovers() == []
    (long.folder / "go").touch()
    long.work()
    assert set(long.task_states().values()) == {"done"}


def test_patience_ends_and_the_attempt_with_it(long, monkeypatch):
    monkeypatch.setattr(stopping, "PATIENCE_S", 0.3)

    def stop(_event):
        if is_running(long) and not worker._stopping.is_ordered:
            worker.stop()

    worker = long.worker(slots=1, on_event=stop)
    assert worker.work().was_interrupted
    assert set(long.task_states().values()) == {"ready"}
    assert long.leftovers() == []


def limited(rig, length_s, **more):
    """What a worker did that had so long to live."""
    return rig.worker(slots=1, job=Job(Term.of(length_s)), **more).work()


def test_a_worker_is_gone_by_its_end_and_says_so(long):
    summary = limited(long, 2.0)
    assert (summary.is_time_up, summary.was_interrupted) == (True, False)
    assert summary.elapsed_s < 2.0
    assert set(long.task_states().values()) == {"ready"}
    seen = [one.reason for one in long.all_attempts() if one.row.started_us]
    assert len(seen) == 1
    assert "cut off after 1s by the end of its worker, which had 2s" in seen[0]
    assert long.leftovers() == []


def test_a_task_that_two_workers_had_no_time_for_is_held_with_the_reason(rig):
    rig.write("[pipelines.p.steps.s]\nargv = ['sleep', '60']\n")
    rig.push("k")
    limited(rig, 1.0)
    assert rig.task_states() == {"k/s": "ready"}
    limited(rig, 1.0)
    assert rig.task_states() == {"k/s": "held"}
    said = why_waiting.why(rig.store, "k")
    assert "cut off after" in said.text
    assert "give workers more time, or set the step's `timeout`" in said.text
    with rig.store.reading() as unit:
        assert list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit))) == []
    verbs.release(rig.store, Selection(), ME)
    limited(rig, 1.0)
    assert rig.task_states() == {"k/s": "ready"}, "a person has given it a fresh allowance"


def test_an_end_that_gave_it_little_of_its_time_is_not_counted(rig):
    rig.write("[pipelines.p.steps.s]\nargv = ['sleep', '60']\ntimeout = '1s'\n")
    rig.push("k")
    term = Term.of(30.0, began_s=time.monotonic() - 26.5)  # the worker's last 3.5 s
    rig.worker(slots=1, job=Job(term)).work()
    with rig.store.reading() as unit:
        assert unit.execute(select(tables.task.c.cut_off)).scalars().all() == [0]
    assert rig.leftovers() == []


def test_a_worker_without_work_of_its_own_ends_after_its_idle_timeout(rig, start):
    rig.write(
        "[pipelines.p.steps.s]\nrun = 'until test -e {0}/go; do sleep 0.05; done'".replace(
            "{0}", str(rig.folder)
        )
    )
    rig.push("k")
    process = start(slots=1)
    wait_until(lambda: "running" in rig.task_states().values(), "another worker runs it")
    for drain in (True, False):
        summary = rig.worker(slots=1, idle_timeout_s=0.4, drain=drain).work()
        assert 0.4 <= summary.elapsed_s < 5
    (rig.folder / "go").touch()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert rig.task_states() == {"k/s": "done"}


@pytest.mark.parametrize("number", signals.WARNINGS, ids=lambda one: one.name)
def test_a_warning_lets_attempts_end_and_takes_no_more(long, start, number):
    process = start(slots=1)
    wait_until(lambda: is_running(long), "the attempt runs")
    process.send_signal(number)
    time.sleep(0.2)
    (long.folder / "go").touch()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, "was_interrupted=False" in out) == (0, True), err
    assert sorted(long.task_states().values()) == ["done", "ready"]
    assert long.leftovers() == []


def test_the_last_word_of_a_batch_system_is_an_order(long, monkeypatch):
    sent = []

    def warn(_event):
        if is_running(long) and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGUSR2))

    worker = long.worker(slots=1, job=Job(None, 1.0, is_last_word=True), on_event=warn)
    began_s = time.monotonic()
    worker.work()
    assert sent
    assert set(long.task_states().values()) == {"ready"}
    assert time.monotonic() - began_s < 3


def test_a_cancelled_attempt_is_ended(long):
    asked = []

    def cancel(_event):
        if is_running(long) and not asked:
            asked.append(True)
            verbs.cancel(long.store, Selection(), ME)

    long.worker(slots=1, on_event=cancel).work()
    assert set(long.task_states().values()) == {"cancelled"}
    assert process_start(pid_of(long)) is None
    assert {seen.state for seen in long.all_attempts()} <= {"cancelled"}
    assert long.leftovers() == []


def test_a_term_that_is_ignored_is_followed_by_a_kill(rig, monkeypatch):
    monkeypatch.setattr(executor, "GRACE_S", 0.2)
    rig.write(LONG.replace("echo $$", "trap '' TERM; echo $$").replace("{here}", str(rig.folder)))
    rig.push("a")
    asked = []

    def cancel(_event):
        if is_running(rig) and not asked:
            asked.append(True)
            verbs.cancel(rig.store, Selection(), ME)

    rig.worker(on_event=cancel).work()
    assert rig.all_attempts()[0].state == "cancelled"
    assert rig.leftovers() == []


def test_after_kill_9_the_next_worker_clears_and_goes_on(long, start):
    process = start(slots=1)
    wait_until(lambda: is_running(long), "the attempt runs")
    orphan = pid_of(long)
    process.kill()
    process.wait()
    assert process_start(orphan) is not None
    (long.folder / "pid").unlink()
    (long.folder / "go").touch()
    long.work(slots=1)
    assert process_start(orphan) is None
    assert set(long.task_states().values()) == {"done"}
    states = sorted(seen.state for seen in long.all_attempts())
    assert states == ["lost", "succeeded", "succeeded"]


def test_a_frozen_worker_records_nothing_over_its_successor(long, start):
    process = start(slots=1, lease_s=2.0)
    wait_until(lambda: is_running(long), "the attempt runs")
    database = long.store.engine.url.database
    wait_until(
        lambda: freeze(process.pid, partial(is_locked, database)),
        "it is frozen, and the store is not locked",
    )
    attempts = len(long.all_attempts())
    (long.folder / "go").touch()  # the frozen worker's attempt ends well meanwhile
    successor = start(slots=1, drain=True, name="successor")
    _, err = successor.communicate(timeout=40)
    assert successor.returncode == 0, err
    assert set(long.task_states().values()) == {"done"}
    before = [(seen.state, seen.row.worker_id) for seen in long.all_attempts()]
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert [(seen.state, seen.row.worker_id) for seen in long.all_attempts()] == before
    assert before[0][0] == "lost"
    assert len(before) > attempts
    assert long.leftovers() == []


def test_a_worker_that_was_declared_dead_ends_its_attempts_and_begins_anew(long, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    renew = workers.renew
    told = []

    def once_dead(store, worker_id, *, lease_s):
        if is_running(long) and not told:
            told.append(pid_of(long))
            from stoker.store.ends import reap

            reap.reap(store, dead_workers=[worker_id])
        if told and not (long.folder / "go").exists():
            (long.folder / "go").touch()
            return Renewal(False, frozenset(), frozenset(), 0)
        return renew(store, worker_id, lease_s=lease_s)

    monkeypatch.setattr(workers, "renew", once_dead)
    summary = long.worker(slots=1).work()
    assert told
    assert summary.done == 2
    assert {seen.state for seen in long.all_attempts()} == {"lost", "succeeded"}
    assert long.leftovers() == []


def test_a_worker_that_cannot_renew_ends_its_attempts_itself(long, monkeypatch):
    from stoker.errors import Unavailable

    renew, gone = workers.renew, []

    def unreachable(store, worker_id, *, lease_s):
        if is_running(long) and not gone:
            gone.append(worker_id)
        if gone and gone[0] == worker_id:
            raise Unavailable("no answer")
        (long.folder / "go").touch()
        return renew(store, worker_id, lease_s=lease_s)

    monkeypatch.setattr(workers, "renew", unreachable)
    summary = long.worker(slots=1, lease_s=3.0).work()
    assert gone
    assert summary.done >= 1
    assert set(long.task_states().values()) == {"done"}
    assert long.leftovers() == []


def test_a_lease_that_was_seen_to_be_lost_does_not_come_back(long, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(lease, "boot_clock_s", lambda: clock[0])
    monkeypatch.setattr(lease, "RENEW_S", 0.01)
    link = StoreLink(long.store)
    new = NewWorker(
        host="h", name="w", pid=1, slots=1, cpus=1, memory_bytes=1, scratch="/s", boot_id="b",
        lease_s=20.0,
    )  # fmt: skip
    worker_id = link.enlist(new)
    renewed = []
    held = lease.Lease(link, worker_id, lambda: renewed.append(1), pytest.fail, lease_s=20.0)
    try:
        assert held.is_held
        clock[0] += 17.0  # as if a call had hung for so long
        assert not held.is_held
        count = len(renewed)
        wait_until(lambda: len(renewed) > count + 1, "a late renewal is granted")
        assert not held.is_held
    finally:
        held.end()


@pytest.mark.parametrize(
    "point",
    [
        "claimed",
        "scratch_made",
        "started",
        "exited",
        "checked",
        "reserved",
        "published",
        "recorded",
    ],
)
def test_a_worker_killed_between_any_two_effects_is_made_good(rig, start, point):
    rig.write(
        """
        [pipelines.p.steps.s]
        run = "echo {key} > {out.a}; echo {key} > {out.b}"
        outputs.a = "results/{key}.a"
        outputs.b = "results/{key}.b"
        """
    )
    rig.push("x", "y", "z")
    process = start(
        env={"STOKER_FAILPOINTS": f"{point}=kill@{1 if point == 'recorded' else 2}"}, slots=2
    )
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    rig.work()
    assert set(rig.task_states().values()) == {"done"}
    succeeded = [seen.key for seen in rig.all_attempts() if seen.state == "succeeded"]
    assert sorted(succeeded) == ["x", "y", "z"]
    names = sorted(path.name for path in (rig.folder / "results").iterdir())
    assert names == ["x.a", "x.b", "y.a", "y.b", "z.a", "z.b"]
    assert all((rig.folder / "results" / name).read_text() == f"{name[0]}\n" for name in names)


def test_two_workers_share_the_work(rig, start):
    rig.write("[pipelines.p.steps.s]\nrun = 'sleep 0.02'")
    rig.push(*(f"k{n:03}" for n in range(60)))
    both = [start(slots=1, drain=True, name=name) for name in ("one", "two")]
    for process in both:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    seen = rig.all_attempts()
    assert {one.state for one in seen if one.reason != "given back before it started"} == {
        "succeeded"
    }
    assert set(rig.task_states().values()) == {"done"}
    assert rig.leftovers() == []


@pytest.mark.parametrize(
    "step",
    [
        "argv = ['sleep', '60']",
        "run = 'sleep 60; true'",
        "run = '''trap 'echo gave up >&2; exit 1' TERM; while :; do sleep 0.05; done'''",
        "python = 'steps:f'",
        "prepare = 'sleep 60'\nrun = 'true'",
    ],
    ids=["argv", "shell", "trap", "python", "prepare"],
)
def test_who_stops_the_commands_and_then_the_worker_fails_no_task(rig, start, step):
    rig.write(f"[pipelines.p.steps.s]\n{step}")
    (rig.folder / "steps.py").write_text("import time\n\ndef f(task):\n    time.sleep(60)\n")
    rig.push("k")
    worker = start(drain=True)
    wait_until(lambda: "running" in rig.task_states().values(), "it is claimed")
    marked = wait_until(
        lambda: [pid for pid, _ in rig.marked() if pid != worker.pid], "the command runs"
    )
    for pid in marked:
        with suppress(ProcessLookupError):  # a command that ended since, as a short `sleep`
            os.kill(pid, signal.SIGTERM)
    time.sleep(0.1)  # as a batch system takes to come to the worker
    os.kill(worker.pid, signal.SIGTERM)
    _, err = worker.communicate(timeout=30)
    assert rig.task_states() == {"k/s": "ready"}, err
    assert {one.state for one in rig.all_attempts()} == {"cancelled"}
    assert rig.leftovers() == []
