"""Owns a short command that judges a file: nothing of it is left when its time is over.

The command runs below a process of its own, which is this module as a script. That process adopts
whatever the command leaves behind, in whatever session, and kills it; it ends with the process that
started it. So a service with many threads can have commands of strangers' files run without becoming
the parent of orphans itself. The script needs the standard library only, so that it starts at once.
"""

import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PR_SET_CHILD_SUBREAPER = 36
_LAST_BYTES = 4096
_MOST_SAID_BYTES = 64 << 20  # that the command may write into any one file
_PATIENCE_S = 5.0  # for the process itself, beyond the command's time


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a command ended: `code` is None if it had no time left; `said` is its last line on stderr."""

    code: int | None
    said: str = ""
    error: str = ""  # why it could not be started

    @property
    def is_good(self) -> bool:
        """Whether the command took the file."""
        return self.code == 0 and not self.error


def judge(
    words: Sequence[str], *, folder: str, limit_s: float, environment: Mapping[str, str]
) -> Judgement:
    """Return how the command ended; nothing that it started lives any more."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(limit_s), folder, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    with process:  # its input is open until it has answered: that is how it learns of our end
        if process.stdout is None:
            raise ValueError("a pipe was asked for")
        ready, _, _ = select.select([process.stdout], [], [], limit_s + _PATIENCE_S)
        if not ready:
            process.kill()
            return Judgement(None)
        answer = process.stdout.read()
    try:
        return Judgement(**json.loads(answer))
    except (ValueError, TypeError):
        return Judgement(None, error="the process that runs it was killed")


def main() -> None:
    """Run the command of the arguments, write how it ended as JSON, and leave nothing."""
    limit_s, folder, words = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as complained:
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complained,
                start_new_session=True,
                preexec_fn=_limit,  # noqa: PLW1509 - this process has one thread
            )
        except OSError as error:
            found: dict[str, int | str | None] = {
                "code": None,
                "error": error.strerror or str(error),
            }
        else:
            found = {"code": _wait(process, limit_s), "said": _last_line(complained.fileno())}
            _kill_all()
    sys.stdout.write(json.dumps(found))


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_SAID_BYTES, _MOST_SAID_BYTES))


def _wait(process: "subprocess.Popen[bytes]", limit_s: float) -> int | None:
    """Return the exit code; None if the time is over, or the caller is gone."""
    descriptor = os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(sys.stdin.fileno(), select.POLLHUP)
    poll.poll(limit_s * 1000)
    os.close(descriptor)
    return process.poll()


def _last_line(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, _LAST_BYTES, max(0, size - _LAST_BYTES)).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _kill_all() -> None:
    """Everything below this process is dead and reaped, orphans too: they become our children."""
    while below := _descendants():
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _descendants() -> list[int]:
    found: list[int] = []
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
                below = [int(child) for child in file.read().split()]
        except OSError:
            continue
        found += below
        todo += below
    return found


if __name__ == "__main__":
    main()
