"""Commands that judge a file: nothing of them is left, whatever they do."""

import os
import signal
import subprocess
import sys
import time

import pytest

from stoker.work.contained_command import judge


def ask(*words, folder="/", limit_s=10.0, environment=None):
    return judge(words, folder=str(folder), limit_s=limit_s, environment=environment or os.environ)


def test_its_end_and_its_last_line_are_told(tmp_path):
    assert ask("true").is_good
    found = ask("sh", "-c", "echo one >&2; echo ' two  ' >&2; echo >&2; exit 3")
    assert (found.code, found.said, found.is_good) == (3, "two", False)
    assert ask("sh", "-c", "kill -9 $$").code == -signal.SIGKILL
    (tmp_path / "x").touch()
    assert ask("test", "-e", "x", folder=tmp_path).is_good


def test_words_are_words():
    found = ask("printf", "%s", "$(touch /tmp/never); `x` 'y'")
    assert found.is_good
    assert not os.path.exists("/tmp/never")


def test_a_program_that_is_not_there():
    assert "No such file" in ask("/no/such/program").error
    assert not ask("/no/such/program").is_good


@pytest.mark.parametrize(
    "how", ["sleep 60", "setsid sleep 60 & sleep 60", "trap '' TERM; sleep 60"]
)
def test_its_time_is_limited_and_nothing_lives_on(tmp_path, how):
    mark = f"STOKER_TEST_{tmp_path}"  # two processes of the tests have folders of one name
    began = time.monotonic()
    found = ask("sh", "-c", how, limit_s=0.3, environment={**os.environ, "MARK": mark})
    assert found.code is None
    assert not found.is_good
    assert time.monotonic() - began < 5
    assert living(mark) == []


def test_what_leaves_its_session_is_killed_with_it(tmp_path):
    mark = f"STOKER_TEST_{tmp_path}"  # two processes of the tests have folders of one name
    fork = "(setsid sh -c 'sleep 60 & sleep 60' >/dev/null 2>&1 &) ; exit 0"
    assert ask("sh", "-c", fork, environment={**os.environ, "MARK": mark}).is_good
    assert living(mark) == []


def test_it_writes_no_endless_file(tmp_path):
    began = time.monotonic()
    found = ask("sh", "-c", "exec cat /dev/zero >&2", limit_s=10)
    assert found.code == -signal.SIGXFSZ
    assert time.monotonic() - began < 9


def test_it_ends_with_the_process_that_asked(tmp_path):
    mark = f"STOKER_TEST_{tmp_path}"  # two processes of the tests have folders of one name
    code = (
        "import os\nfrom stoker.work.contained_command import judge\n"
        "judge(['sleep', '60'], folder='/', limit_s=60, environment=os.environ)"
    )
    asking = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "MARK": mark})
    wait_until(lambda: len(living(mark)) >= 3)
    asking.kill()
    asking.wait()
    wait_until(lambda: living(mark) == [])


def living(mark):
    """The processes that have the mark in their environment."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"MARK={mark}".encode() in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def wait_until(is_so, limit_s=20.0):
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
