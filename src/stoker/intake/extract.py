"""Asking the user's own code about a file: a command, or a function in a process of its own.

Both get a minute for a file. Whatever they start is in a session of its own, and is killed with
them; a function's process serves many files, and is made again when it has died.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from stoker.errors import UserError

LIMIT_S = 60.0
_MOST_BYTES = 1 << 20
_LAST_WORDS = 300  # characters of what a command said that become the reason


class Unfit(UserError):
    """The file is not good, or its check could not decide.

    `rule` is the key of `[pipelines.P.validate]` that it breaks, `limit` what that key says.
    """

    def __init__(self, message: str, *, rule: str = "", limit: object = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.limit = limit


def ask(words: Sequence[str], *, folder: str, what: str, limit_s: float = LIMIT_S) -> str:
    """Return what a command printed; Unfit with its last words if its exit status was not 0."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        try:
            process = subprocess.Popen(
                list(words),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                start_new_session=True,
            )
        except OSError as error:
            raise Unfit(f"{what}: `{words[0]}` cannot be started: {error.strerror}") from None
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Unfit(f"{what}: no answer within {limit_s:g} s") from None
        finally:
            _end(process)
        if code != 0:
            raise Unfit(f"{what}: {_last_words(complained.fileno()) or f'exit code {code}'}")
        said.seek(0)
        return os.fsdecode(said.read(_MOST_BYTES))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """The command and all that it left in its session are gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    text = os.fsdecode(os.pread(descriptor, 4096, max(0, size - 4096)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:_LAST_WORDS] if lines else ""


class Function:
    """`module:function`, called with a path in another process; it returns what JSON can say."""

    def __init__(self, name: str, *, folder: str) -> None:
        self._name = name
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, path: str, *, limit_s: float = LIMIT_S) -> str:
        """Return what the function returned, as JSON; Unfit if it raised, or did not return."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise Unfit(f"`{self._name}` cannot be called")
        try:
            process.stdin.write(json.dumps(path).encode("ascii") + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.close()
            raise Unfit(f"`{self._name}` ended before it was called") from None
        ready, _, _ = select.select([process.stdout], [], [], limit_s)
        answer = process.stdout.readline() if ready else b""
        if not answer:
            self.close()
            how = "its process ended" if ready else f"no answer within {limit_s:g} s"
            raise Unfit(f"`{self._name}`: {how}")
        found = json.loads(answer)
        if "error" in found:
            self.close()
            raise Unfit(f"`{self._name}`: {found['error']}")
        return str(found["value"])

    def _start(self) -> None:
        self.close()
        words = [sys.executable, "-P", "-m", "stoker.intake.extract_process", self._name]
        self._process = subprocess.Popen(
            words,
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def close(self) -> None:
        """End the process, and what it started."""
        process, self._process = self._process, None
        if process is None:
            return
        _end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
