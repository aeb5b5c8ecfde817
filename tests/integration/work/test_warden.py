"""Whoever is killed: what was running is gone, and the work goes on."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from integration.work.rig import WORK, wait_until
from stoker.work import cgroups
from stoker.work.scratch import process_start

GUARDED = """
import logging, sys
from stoker.work import patience
from stoker.work.warden import guard
logging.basicConfig(level=logging.INFO)
patience.PAUSE_S = patience.PAUSE_MOST_S = float(sys.argv[4])
def work(has_said):
    code = sys.argv[3]
    exec(code)
    return 0
sys.exit(guard(work))
"""
GO_WHEN_STOPPING = WORK.replace(
    "print(Worker(StoreLink(store), loaded.settings, **options).work(), flush=True)",
    """
go = Path(sys.argv[1], "go")
made = []

def watch(_event, go=go, made=made):  # this text is executed in a function, which has no closures
    if made and made[0]._stopping.is_ordered:
        go.touch()

worker = Worker(StoreLink(store), loaded.settings, on_event=watch, **options)
made.append(worker)
print(worker.work(), flush=True)
""",
)
LONG = """
[pipelines.p.steps.s]
run = '''
(env -i setsid bash -c 'while sleep 0.1; do :; done' {here} &)
echo $$ > {here}/$$.pid; mv {here}/$$.pid {here}/pid
until test -e {here}/go; do sleep 0.05; done
'''
"""


@pytest.fixture
def guarded(rig):
    """Start a worker with a warden; all of it is gone at the end, whatever happens."""
    started = []

    def start(code: str = WORK, pause_s: float = 0.02, **options) -> subprocess.Popen:
        options = {"slots": 1, "drain": True} | options
        process = subprocess.Popen(
            [sys.executable, "-c", GUARDED, str(rig.folder), repr(options), code, str(pause_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    if rig.store is not None:
        for pid, _ in list(rig.marked()):
            os.kill(pid, signal.SIGKILL)
    for pid in daemons(rig):
        os.kill(pid, signal.SIGKILL)


def daemons(rig) -> set[int]:
    """What the attempts of this test left, and no other test's: the folder is among its words."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(rig.folder) in words and process_start(int(entry.name)) is not None:
                found.add(int(entry.name))
    return found


@pytest.fixture
def long(rig):
    rig.write(LONG.replace("{here}", str(rig.folder)))
    rig.push("a", "b")
    return rig


def pid_of_attempt(rig) -> int:
    path = rig.folder / "pid"
    return int(wait_until(lambda: path.exists() and path.read_text(), "the attempt runs"))


def pid_of_worker(rig) -> int:
    (pid,) = {mark.pid for _, mark in rig.marked()}
    return pid


def finish(rig, process) -> str:
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert set(rig.task_states().values()) == {"done"}
    assert daemons(rig) == set()
    assert rig.leftovers() == []
    return err


def test_a_killed_worker_is_followed_by_another_at_once(long, guarded):
    process = guarded(lease_s=300.0)
    attempt = pid_of_attempt(long)
    assert daemons(long)
    (long.folder / "pid").unlink()
    os.kill(pid_of_worker(long), signal.SIGKILL)
    wait_until(lambda: process_start(attempt) is None, "the attempt is gone")
    second = pid_of_attempt(long)
    states = [seen.state for seen in long.all_attempts()]
    assert states[0] == "lost"  # at once, not when the lease ran out
    assert second != attempt
    (long.folder / "go").touch()
    assert "starts again" in finish(long, process)
    assert sorted(seen.state for seen in long.all_attempts()) == ["lost", "succeeded", "succeeded"]


def test_a_worker_without_its_warden_stops_in_order(long, guarded):
    process = guarded()
    attempt = pid_of_attempt(long)
    worker = pid_of_worker(long)
    process.kill()
    process.wait()
    (long.folder / "go").touch()
    wait_until(lambda: process_start(worker) is None, "the worker has stopped")
    assert process_start(attempt) is None
    assert sorted(long.task_states().values()) == ["done", "ready"]
    assert long.leftovers() == []
    assert daemons(long) == set()


def test_when_both_are_killed_the_next_worker_clears(long, guarded):
    process = guarded()
    attempt, worker = pid_of_attempt(long), pid_of_worker(long)
    process.kill()
    os.kill(worker, signal.SIGKILL)
    process.wait()
    wait_until(lambda: process_start(worker) is None, "the worker is gone")
    if process_start(attempt) is None:
        pytest.skip("something above us ended the attempt already")
    (long.folder / "go").touch()
    finish(long, guarded())
    assert process_start(attempt) is None
    assert "lost" in {seen.state for seen in long.all_attempts()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_warden_stops_the_worker_in_order(long, guarded, number):
    process = guarded(GO_WHEN_STOPPING)
    pid_of_attempt(long)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "was_interrupted=True" in out
    assert sorted(long.task_states().values()) == ["done", "ready"]
    assert long.leftovers() == []


def test_a_worker_that_is_killed_while_stopping_leaves_nothing(long, guarded):
    process = guarded()
    attempt = pid_of_attempt(long)
    worker = pid_of_worker(long)
    process.send_signal(signal.SIGTERM)
    os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
    assert process_start(attempt) is None
    assert long.leftovers() == []
    assert daemons(long) == set()


def test_a_worker_that_dies_again_and_again_is_given_up(guarded):
    process = guarded("import os; os.kill(os.getpid(), 9)")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 70
    assert len(re.findall("starts again", err)) == 5


# Lives: the first is killed; those that follow find no store, until `back` is there.
OUTAGE = """
import os, pathlib
here = pathlib.Path(sys.argv[1])
lives = here / "lives"
lives.open("a").write(f"{int(has_said)}")
if len(lives.read_text()) == 1:
    os.kill(os.getpid(), 9)
if not (here / "back").exists():
    has_said or print("the store is away", file=sys.stderr)
    sys.exit(5)
"""


def begin_outage(rig, guarded, *, lives, **more):
    process = guarded(OUTAGE, **more)
    path = rig.folder / "lives"
    wait_until(lambda: path.exists() and len(path.read_text()) >= lives, "it is tried again")
    return process


def test_a_worker_that_was_killed_while_the_store_is_away_comes_back_with_it(rig, guarded):
    process = begin_outage(rig, guarded, lives=5)
    (rig.folder / "back").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert (rig.folder / "lives").read_text().startswith("0011")
    assert err.count("the store is away") == 1
    assert err.count("the store does not answer; it is tried again") == 1


def test_a_warden_that_waits_for_the_store_stops_on_a_signal(rig, guarded):
    process = begin_outage(rig, guarded, lives=2, pause_s=600)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, err


def test_a_store_that_is_away_from_the_beginning_is_told_at_once(guarded):
    process = guarded("sys.exit(5)")
    assert process.wait(timeout=30) == 5


@pytest.mark.parametrize(
    ("code", "expected"),
    [("sys.exit(3)", 3), ("raise ValueError('oh')", 70), ("", 0), ("sys.exit('words')", 1)],
)
def test_an_orderly_end_is_passed_on(guarded, code, expected):
    process = guarded(code)
    _, err = process.communicate(timeout=30)
    assert process.returncode == expected
    if "oh" in code:
        assert "ValueError: oh" in err


@pytest.mark.skipif(not cgroups.can_be_used(), reason="control groups cannot be written here")
def test_a_worker_is_in_a_group_of_its_own_which_goes_with_it(long, guarded):
    process = guarded()
    attempt, worker = pid_of_attempt(long), pid_of_worker(long)
    group = Path(f"/proc/{attempt}/cgroup").read_text().split("0::")[1].split("\n")[0]
    assert re.search(rf"/stoker-{worker}-\d+-\d+$", group)
    folder = Path(cgroups.own_folder()) / Path(group).name
    assert folder.exists()
    (long.folder / "go").touch()
    finish(long, process)
    assert not folder.exists()


STARTING = """
import os, signal, sys, time
from stoker.work import warden
from stoker.work.warden import guard
fork = os.fork
def fork_late():
    os.kill(os.getpid(), signal.%s)
    return fork()
os.fork = fork_late
sys.exit(guard(lambda _has_said: time.sleep(60)))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_comes_while_the_worker_is_being_started_is_not_lost(name):
    process = subprocess.run([sys.executable, "-c", STARTING % name], timeout=30, check=False)
    assert process.returncode == 128 + signal.Signals[name]
