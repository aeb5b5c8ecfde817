"""The start of processes: what children get, and what they never inherit."""

import os
import signal
import subprocess
import sys

import pytest

from stoker.work import spawn
from stoker.work.spawn import Launcher, encode_env


@pytest.fixture(params=["fork_exec", "popen"])
def launcher(request, monkeypatch):
    if request.param == "popen":
        monkeypatch.setattr(spawn, "_fork_exec", None)
    found = Launcher()
    yield found
    found.close()


def start(launcher, tmp_path, *argv, env=None, path=b"/usr/bin:/bin"):
    out = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
    words = [os.fsencode(word) for word in argv]
    environment = encode_env(env or {"PATH": "/usr/bin:/bin"})
    try:
        pid = launcher.start(
            words, environment, path=path, folder=str(tmp_path), stdout=out, stderr=out
        )
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code, os.pread(out, 1 << 16, 0)
    finally:
        os.close(out)


def test_words_and_environment_arrive_byte_for_byte(launcher, tmp_path):
    words = ["a b", "-n", "new\nline", "'\"$(x)", os.fsdecode(b"\xff")]
    code, out = start(launcher, tmp_path, "printf", "%s|", *words, env={"PATH": "/bin", "A": "b=c"})
    assert code == 0
    assert out == b"a b|-n|new\nline|'\"$(x)|\xff|"


def test_the_process_leads_a_session_in_its_folder_with_nothing_to_read(launcher, tmp_path):
    script = 'read x; echo "$? $PWD $(ps -o sid= -p $$ | tr -d " ") $$"'
    code, out = start(launcher, tmp_path, "sh", "-c", script)
    assert code == 0
    status, folder, session, pid = out.split()
    assert status != b"0"
    assert folder == str(tmp_path).encode()
    assert session == pid


def test_a_program_that_is_not_there_is_told_from_one_that_exits_255(tmp_path):
    launcher = Launcher()
    code, _ = start(launcher, tmp_path, "no-such-program")
    failure = launcher.failure(code)
    assert isinstance(failure, OSError)
    assert failure.strerror == "No such file or directory"
    code, _ = start(launcher, tmp_path, "sh", "-c", "exit 255")
    assert code == 255
    assert launcher.failure(code) is None
    launcher.close()


def test_a_program_without_the_right_to_run_says_so(tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    launcher = Launcher()
    code, _ = start(launcher, tmp_path, str(tmp_path / "tool"))
    assert launcher.failure(code).strerror == "Permission denied"
    launcher.close()


def test_nothing_is_inherited_by_chance():
    """A worker started with a blocked and an ignored signal and an open file passes none on."""
    script = """
import os, signal, sys
from stoker.work.spawn import Launcher, clean_inheritance, encode_env
clean_inheritance()
launcher = Launcher()
code = "grep -E 'SigBlk|SigIgn' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '"
pid = launcher.start([b"sh", b"-c", code.encode()], encode_env(dict(os.environ)),
    path=b"/usr/bin:/bin", folder="/", stdout=1, stderr=2)
os.waitpid(pid, 0)
"""
    read, write = os.pipe()

    def spoil():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])

    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        pass_fds=(read, write),
        preexec_fn=spoil,
    )
    os.close(read)
    os.close(write)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["SigBlk:", "0" * 16]
    name, ignored = lines[1].split()
    inner = 1 << 31 | 1 << 32  # the C library's own two, which GNU make passes on and nobody resets
    assert (name, int(ignored, 16) & ~inner) == ("SigIgn:", 0)
    assert len(lines[2].split()) == 4  # three streams, and the folder that ls reads
