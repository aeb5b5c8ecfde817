"""The near end's way to an outpost: one process, here or over ssh, asked line by line.

Nothing that comes from there is believed, and nothing is waited for without a limit: a line has a
greatest length, an answer a last moment, and the process an end.
"""

import json
import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Protocol, Self

from stoker.errors import Refused, StokerError, Unavailable, UserError
from stoker.model.outpost import Outpost
from stoker.model.words import shown
from stoker.outpost.bundle import PROTOCOL
from stoker.outpost.ground import UnderWay, as_line
from stoker.outpost.launching import stoker_words
from stoker.transfer.ssh import SSH, failure

ANSWER_S = 20.0  # for an answer, or for a word that the far end is still busy with it
MOST_LINE = 32 * 1024 * 1024
_MOST_BANNER = 64 * 1024
_MOST_STDERR = 8 * 1024
_OPTIONS = (
    "-oBatchMode=yes", "-oConnectTimeout=10", "-oServerAliveInterval=3",
    "-oServerAliveCountMax=2", "-T",
)  # fmt: skip
_ERRORS = {2: UserError, 6: Refused}


def command_for(outpost: Outpost) -> list[str]:
    """Return the command that is the far end of a visit."""
    words = ["outpost", "serve", "--spool", spool_of(outpost)]
    if outpost.ssh is None:
        program = stoker_words() if outpost.stoker is None else (outpost.stoker,)
        return [*program, *words]
    ssh = shlex.split(os.environ.get(SSH, "")) or ["ssh"]
    program = stoker_words() if outpost.is_shared else (outpost.stoker or "stoker",)
    far = shlex.join([*program, *words])
    return [*ssh, *_OPTIONS, "--", outpost.ssh, far]


def spool_of(outpost: Outpost) -> str:
    """Return the folder of the outpost's spool, there."""
    return os.path.join(outpost.folder, "spool")


class Process(Protocol):
    """What is needed of a process with three pipes."""

    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None
    pid: int
    returncode: int | Any

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ended; TimeoutExpired if it has not within that time."""


Spawn = Callable[[Sequence[str]], Process]


def start(command: Sequence[str]) -> Process:
    """Return the command as a process, the first of a session of its own."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


class Line:
    """A visit's connection, from its first line to its end. To be used in a `with`."""

    def __init__(
        self, outpost: Outpost, *, answer_s: float = ANSWER_S, spawn: "Spawn | None" = None
    ) -> None:
        self._outpost = outpost
        self._answer_s = answer_s
        self._heard = bytearray()
        self._stderr = bytearray()
        self._is_over = False
        self.far: dict[str, Any] = {}
        command = command_for(outpost)
        try:
            self._process = (spawn or start)(command)
        except OSError as error:
            raise UserError(f"`{command[0]}` cannot be run: {error.strerror}") from None
        self._pipes = [self._process.stdin, self._process.stdout, self._process.stderr]
        self._selector = selectors.DefaultSelector()
        for pipe in self._pipes[1:]:
            assert pipe is not None  # noqa: S101 - as asked for
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)
        os.set_blocking(self._in, False)

    def __enter__(self) -> Self:
        """Hear the far end's first line."""
        try:
            self.far = self._greeting()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _in(self) -> int:
        assert self._process.stdin is not None  # noqa: S101 - as asked for
        return self._process.stdin.fileno()

    def close(self) -> None:
        """Nothing is left of the process here; the far end notices by the end of its input."""
        for pipe in self._pipes:
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._selector.close()
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def break_off(self) -> None:
        """A thread that waits for the far end learns that it is gone. From any thread."""
        if self._process.returncode is None:  # not waited for yet, so that the number is its own
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)

    # ------------------------------------------------------------------------------------- talking

    def ask(
        self,
        op: str,
        more: Mapping[str, Any] | None = None,
        *,
        on_ask: "Callable[[dict[str, Any]], dict[str, Any]] | None" = None,
    ) -> dict[str, Any]:
        """Return what the far end answers; what it asks back, `on_ask` answers.

        Unavailable if it does not in time, or answers what makes no sense; Refused or UserError as it
        says.
        """
        self._say({"op": op, **(more or {})})
        while True:
            heard = self._hear()
            if "busy" in heard:
                continue
            if "ask" in heard and on_ask is not None:
                self._say(on_ask(heard))
                continue
            if isinstance(heard.get("error"), dict):
                raise self._error(heard["error"])
            answer = heard.get("ok")
            if not isinstance(answer, dict):
                raise self._nonsense()
            return answer

    def _greeting(self) -> dict[str, Any]:
        """Return the first line that is the far end's own; what a login prints before is skipped."""
        skipped = 0
        while True:
            line = self._line(_MOST_BANNER)
            with suppress(ValueError, RecursionError):
                found = json.loads(line)
                if isinstance(found, dict) and isinstance(found.get("error"), dict):
                    raise self._error(found["error"])
                if isinstance(found, dict) and "stoker" in found:
                    return self._fitting(found)
            skipped += len(line)
            if skipped > _MOST_BANNER:
                raise self._nonsense()

    def _fitting(self, found: dict[str, Any]) -> dict[str, Any]:
        spoken = found.get("protocol")
        if not (isinstance(spoken, list) and len(spoken) == 2 and all(map(_is_int, spoken))):
            raise self._nonsense()
        low, high = spoken
        if not low <= PROTOCOL <= high:
            release = shown(str(found["stoker"]))[:40]
            raise Refused(
                f"{self._where} runs Stoker {release}, which speaks protocol {low} to {high}, and "
                f"this one needs {PROTOCOL}; install the same release on both sides"
            )
        return found

    def _say(self, value: Mapping[str, Any]) -> None:
        left = memoryview(as_line(value))
        until_s = time.monotonic() + self._answer_s
        while left:
            try:
                left = left[os.write(self._in, left) :]
            except BlockingIOError:
                self._take_in(until_s, 0.02)
            except BrokenPipeError:
                raise self._broken_off() from None

    def _hear(self) -> dict[str, Any]:
        try:
            found = json.loads(self._line())
        except (ValueError, RecursionError):
            raise self._nonsense() from None
        if not isinstance(found, dict):
            raise self._nonsense()
        return found

    def _line(self, most: int = MOST_LINE) -> bytes:
        until_s = time.monotonic() + self._answer_s
        looked = 0
        while (end := self._heard.find(b"\n", looked)) < 0:
            if len(self._heard) > most:
                raise self._nonsense()
            looked = len(self._heard)
            self._take_in(until_s, self._answer_s)
        line = bytes(self._heard[:end])
        del self._heard[: end + 1]
        return line

    def _take_in(self, until_s: float, most_s: float) -> None:
        """Something was heard, or the time is over; Unavailable at the end of all."""
        if self._is_over:
            raise self._broken_off()
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise Unavailable(f"{self._where} did not answer within {self._answer_s:.0f} s")
        for key, _ in self._selector.select(min(left_s, most_s)):
            piece = os.read(key.fd, 1 << 16)
            if not piece:
                self._selector.unregister(key.fileobj)
                if key.fileobj is self._process.stdout:
                    self._is_over = True
            elif key.fileobj is self._process.stdout:
                self._heard += piece
            else:
                self._stderr = (self._stderr + piece)[-_MOST_STDERR:]

    # -------------------------------------------------------------------------------------- errors

    @property
    def _where(self) -> str:
        name = self._outpost.name
        return f"`{name}`" + (f" (`{self._outpost.ssh}`)" if self._outpost.ssh else "")

    def _error(self, said: dict[str, Any]) -> StokerError:
        text = shown(str(said.get("text")))[:2000]
        if said.get("is_busy") is True:
            return UnderWay(f"{self._where}: {text}")
        kind = _ERRORS.get(said["code"]) if _is_int(said.get("code")) else None
        return (kind or Unavailable)(f"{self._where}: {text}")

    def _nonsense(self) -> Unavailable:
        return Unavailable(f"{self._where} answers what makes no sense{self._words()}")

    def _broken_off(self) -> StokerError:
        """Return why the far end is gone, as far as it or ssh has said so."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        with suppress(OSError, ValueError):
            if self._process.stderr is not None:
                self._stderr += self._process.stderr.read() or b""
        code = self._process.returncode
        if self._outpost.ssh is not None and code == 255:
            return failure(self._outpost.ssh, code, bytes(self._stderr))
        if code == 127 or b"No such command" in self._stderr:
            program = self._outpost.stoker or "stoker"
            return UserError(
                f"{self._where} has no program `{program}` that can be an outpost{self._words()}; "
                "install Stoker there, and name it by `stoker` in the file"
            )
        return Unavailable(f"{self._where} broke off{self._words()}")

    def _words(self) -> str:
        words = shown(" ".join(self._stderr.decode("utf-8", "replace").split()))[-400:]
        return f": {words}" if words else ""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
