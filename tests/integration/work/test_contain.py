"""What an attempt leaves running, and how it is found and ended."""

import os
import signal
import subprocess
import sys

import pytest

from integration.work.rig import wait_until
from stoker.work import brand, contain
from stoker.work.contain import Mark, Strays
from stoker.work.scratch import boot_id, process_start


def mark(**more) -> Mark:
    mine = {
        "store": "s",
        "host": "here",
        "boot": boot_id(),
        "pid": 2**22 - 1,
        "started": 5,
        "worker": 3,
    }
    return Mark(**mine | more)


def is_alive(pid: int) -> bool:
    return process_start(pid) is not None


@pytest.fixture
def sleeper():
    started = []

    def start(value: Mark | str) -> int:
        environment = {"PATH": os.environ["PATH"], contain.MARK: str(value)}
        started.append(subprocess.Popen(["sleep", "1000"], env=environment))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_mark_reads_as_it_was_written():
    assert Mark.parse(str(mark())) == mark()


@pytest.mark.parametrize("text", ["", "a:b", "s:h:b:x:1:2", "s:h:b:-1:1:2", "1:2:3:4:5:6:7"])
def test_other_texts_are_no_marks(text):
    assert Mark.parse(text) is None


def test_what_a_dead_worker_left_is_killed(sleeper):
    pid = sleeper(mark())
    assert contain.kill_marked(store="s", host="here", boot=boot_id()) == 1
    wait_until(lambda: not is_alive(pid), "the sleeper is gone")


def test_what_a_living_worker_runs_is_spared(sleeper):
    me = os.getpid()
    pid = sleeper(mark(pid=me, started=process_start(me)))
    assert contain.kill_marked(store="s", host="here", boot=boot_id()) == 0
    assert is_alive(pid)


@pytest.mark.parametrize("other", [{"store": "t"}, {"host": "there"}, {"boot": "earlier"}])
def test_marks_of_other_stores_hosts_and_boots_are_spared(sleeper, other):
    pid = sleeper(mark(**other))
    assert contain.kill_marked(store="s", host="here", boot=boot_id()) == 0
    assert is_alive(pid)


TREE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(1000)
time.sleep(1000)
"""


def test_a_tree_dies_with_what_left_its_session(tmp_path):
    root = subprocess.Popen(
        [sys.executable, "-c", TREE, str(tmp_path / "pid")], start_new_session=True
    )
    path = tmp_path / "pid"
    grandchild = int(wait_until(lambda: path.exists() and path.read_text(), "it has forked"))
    below = contain.descendants(root.pid)
    assert grandchild in below
    contain.kill_tree(root.pid, signal.SIGKILL)
    root.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in below), "all are gone")


@pytest.fixture
def subreaper():
    before = contain.become_subreaper()
    yield
    contain.become_subreaper(wanted=before)


def leave_daemon(tmp_path, attempt: str | None) -> int:
    """Run a program that leaves a daemon which has shed its session and group; return its pid."""
    script = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "        time.sleep(1000)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    environment = {"PATH": os.environ["PATH"]}
    if attempt is not None:
        environment[contain.ATTEMPT] = attempt
    path = tmp_path / "daemon"
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, env=environment)
    return int(wait_until(lambda: path.exists() and path.read_text(), "the daemon runs"))


def sweep_until_clean(strays, running, ended):
    wait_until(lambda: strays.sweep(set(), running, ended), "the sweep is clean")


def test_the_sweep_ends_a_daemon(subreaper, tmp_path):
    strays = Strays()
    daemon = leave_daemon(tmp_path, "01" * 16)
    assert is_alive(daemon)
    sweep_until_clean(strays, {}, bytes.fromhex("01" * 16))
    assert not is_alive(daemon)
    strays.close()


def test_a_daemon_of_a_running_attempt_is_left_until_that_has_ended(subreaper, tmp_path):
    strays = Strays()
    daemon = leave_daemon(tmp_path, "02" * 16)
    running = {bytes.fromhex("02" * 16): 1}
    assert strays.sweep(set(), running, bytes.fromhex("01" * 16))
    assert is_alive(daemon)
    sweep_until_clean(strays, {}, bytes.fromhex("02" * 16))
    assert not is_alive(daemon)
    strays.close()


def test_a_daemon_that_ends_by_itself_is_no_zombie_until_its_attempt_has_ended(subreaper, tmp_path):
    strays = Strays()
    daemon = leave_daemon(tmp_path, "02" * 16)
    running = {bytes.fromhex("02" * 16): 1}
    assert strays.sweep(set(), running, None)
    os.kill(daemon, signal.SIGKILL)

    def is_reaped() -> bool:
        strays.sweep(set(), running, None)
        return not os.path.exists(f"/proc/{daemon}")

    wait_until(is_reaped, "it has been reaped")
    strays.close()


def test_a_brand_tells_the_attempt_of_what_has_no_mark(subreaper, tmp_path):
    strays = Strays()
    worker = brand.of_worker(str(mark()))
    one = bytes([1]) * 16
    with brand.worn():
        brand.put(brand.of_attempt(worker, 7))
        leader = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        brand.put(brand.of_attempt(worker, 8))
        daemon = leave_daemon(tmp_path, None)
        brand.put(worker)
        own = {leader.pid}
        try:
            strays.sweep(own, {one: leader.pid}, None)  # whoever had number 8 runs no more
            wait_until(lambda: not is_alive(daemon), "the daemon is gone")
        finally:
            leader.kill()
            leader.wait()
    strays.close()


def test_what_a_dead_worker_left_is_known_by_its_brand(sleeper):
    dead, other = (brand.of_worker(str(mark(worker=number))) for number in (3, 4))
    with brand.worn():
        brand.put(brand.of_attempt(dead, 1))
        pid = sleeper("")
        brand.put(brand.of_attempt(other, 1))
        spared = sleeper("")
    assert brand.worker_in(brand.read(pid)) == dead
    assert contain.kill_branded({dead}) == 1
    wait_until(lambda: not is_alive(pid), "the sleeper is gone")
    assert is_alive(spared)
    assert brand.read(os.getpid()) == 0


def test_a_limit_that_somebody_has_set_is_left_alone():
    code = (
        "import resource as r; from stoker.work import brand; r.setrlimit(r.RLIMIT_RTTIME, (5, 9));"
        "brand.put(brand.of_worker('m')); print(r.getrlimit(r.RLIMIT_RTTIME), brand.read(0))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "(5, 9) 0"


def test_a_daemon_without_a_mark_goes_when_all_that_may_own_it_have_ended(subreaper, tmp_path):
    strays = Strays()
    daemon = leave_daemon(tmp_path, None)
    one, two, three = (bytes([n]) * 16 for n in (1, 2, 3))
    strays.sweep(set(), {one: 1, two: 1}, None)
    strays.sweep(set(), {two: 1, three: 1}, one)
    assert is_alive(daemon)
    sweep_until_clean(strays, {three: 1}, two)
    assert not is_alive(daemon)
    strays.close()


def test_children_from_before_are_spared():
    process = subprocess.Popen(["sleep", "1000"])
    strays = Strays()
    assert strays.sweep(set(), {}, None)
    assert is_alive(process.pid)
    process.kill()
    process.wait()
    strays.close()
