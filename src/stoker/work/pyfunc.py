"""The worker's side of `python` steps: warm processes, and what is asked and answered.

One warm process serves one task at a time. A few more may be in its socket, so that it never waits
for the worker; the worker keeps the other end of that socket too, and can take back what has not
been read. So it is always known which tasks have begun. The child's side, which needs nothing of
Stoker, is `warm.py`.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.model.strict_json import read_json
from stoker.rights import PRIVATE, Rights
from stoker.work.answers import VALUES_BYTES, BadAnswer, read_regular
from stoker.work.capture import KEPT_BYTES, NOTHING, Captured
from stoker.work.exit import Exit
from stoker.work.running import Running
from stoker.work.warm_key import WarmKey
from stoker.work.warm_process import Malformed, WarmProcess, modified_ns

SCRIPT = os.path.join(os.path.dirname(__file__), "warm.py")
REPLY_BYTES = 16 * 1024 * 1024  # of an answer that comes by a file
_SOCKET_BYTES = 60_000  # of one message; a longer one goes by a file
_MOST = 2**53  # of any number that comes from a warm process


class PythonProcess(WarmProcess):
    """A warm process of `python` steps."""

    takes_ahead = True

    def __init__(self, key: WarmKey, folder: str, *, rights: Rights = PRIVATE) -> None:
        super().__init__(key, folder, rights=rights)
        self._ours, self._its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)  # noqa: FBT003 - the socket takes it by position only
        self._files: dict[str, int | None] = {}

    def start(self, env: Sequence[bytes], path: bytes) -> None:
        """The process runs. OSError if the system has no room for it."""
        argv = [os.fsencode(word) for word in (*self.key.program, SCRIPT, self.key.folder)]
        self.pid = self.place.launcher.start(
            argv,
            env,
            path=path,
            folder=self.place.seat.folder,
            stdout=self.place.stdout.descriptor,
            stderr=self.place.stderr.descriptor,
            stdin=self._its.fileno(),
        )

    def fileno(self) -> int:
        """Return what becomes readable when a reply has come."""
        return self._ours.fileno()

    def send(self, message: Mapping[str, Any], running: Running) -> bool:
        """Whether the process has this task before it; False if it holds enough already."""
        data = json.dumps(message).encode()
        if len(data) > _SOCKET_BYTES and running.seat is not None:
            path = os.path.join(running.seat.folder, "call")
            with open(path, "wb") as file:
                file.write(data)
            data = json.dumps({"id": running.serial, "file": path}).encode()
        try:
            self._ours.send(data)
        except BlockingIOError:
            return False
        self.held[running.serial] = running
        return True

    def receive(self) -> list[tuple[Running, Exit]]:
        """Return the calls that have ended since, oldest first."""
        ended: list[tuple[Running, Exit]] = []
        while self.problem is None:
            try:
                data = self._ours.recv(1 << 20)
            except OSError:  # nothing there, or hung up
                break
            if not data:
                break
            try:
                ended.append(self._take_answer(data))
            except (Malformed, BadAnswer) as problem:
                self.problem = f"its process gave an answer that makes no sense ({problem})"
                self.is_leaving = True
        return ended

    def _take_answer(self, data: bytes) -> tuple[Running, Exit]:
        """Return the call that has ended, which is held no more; Malformed if this is no answer to it."""
        running = self.current
        if running is None:
            raise Malformed("nothing was asked")
        answer = _Answer.parse(data)
        if answer.integer("id") != running.serial:
            raise Malformed("it answers something else")
        path = answer.text("file")
        if path is not None and running.seat is not None:
            answer = _Answer.parse(
                read_regular(os.path.join(running.seat.folder, "reply"), REPLY_BYTES) or b""
            )
        end = self._exit(answer, running)
        del self.held[running.serial]
        return running, end

    def withdraw(self) -> list[Running]:
        """Return the tasks that had not begun, in order; the process will not see them."""
        taken: list[Running] = []
        while True:
            try:
                data = self._its.recv(1 << 20, socket.MSG_DONTWAIT)
            except OSError:
                return taken
            taken.append(self.held.pop(json.loads(data)["id"]))

    def _exit(self, answer: "_Answer", running: Running) -> Exit:
        folder = running.seat.folder if running.seat is not None else ""
        stdout, stderr = answer.streams(folder)
        started_us = answer.micros("started")
        end = Exit(
            exit_code=answer.integer("exit"),
            error=answer.text("error"),
            problem=answer.text("problem"),
            values=answer.values(),
            started_us=started_us,
            ended_us=max(started_us, answer.micros("ended")),
            user_us=answer.micros("user"),
            system_us=answer.micros("system"),
            max_rss_bytes=answer.integer("rss") or 0,
            stdout=stdout,
            stderr=stderr,
        )
        files = answer.files()
        self.has_answered = True
        self.is_leaving |= answer.is_last
        for path in files:
            self._files.setdefault(path, modified_ns(path))
        return end

    def is_outdated(self) -> bool:
        """Whether a module that it imported from the pipeline's folder was changed since."""
        return any(modified_ns(path) != seen for path, seen in self._files.items())

    def hang_up(self) -> None:
        """The process ends by itself as soon as it has nothing to do."""
        self._ours.close()
        self._its.close()


class _Answer:
    """One answer of a process that runs foreign code: each field is what it is said to be."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    @classmethod
    def parse(cls, data: bytes) -> "_Answer":
        """Return the answer; Malformed if it is not a JSON object."""
        try:
            fields = read_json(data)
        except ValueError as problem:
            raise Malformed(f"it is not JSON: {problem}") from problem
        if not isinstance(fields, dict):
            raise Malformed("it is not a JSON object")
        return cls(fields)

    def _of(self, name: str, kind: type | tuple[type, ...]) -> Any:
        found = self._fields.get(name)
        if found is not None and (not isinstance(found, kind) or isinstance(found, bool)):
            raise Malformed(f"`{name}` is of type `{type(found).__name__}`")
        return found

    @property
    def is_last(self) -> bool:
        """Whether the process ends after this."""
        return bool(self._fields.get("leave"))

    def text(self, name: str) -> str | None:
        """Return a text, if there is one."""
        found: str | None = self._of(name, str)
        return found

    def integer(self, name: str) -> int | None:
        """Return a number that counts something, if there is one."""
        found: int | None = self._of(name, int)
        if found is not None and not 0 <= found <= _MOST:
            raise Malformed(f"`{name}` is out of range")
        return found

    def micros(self, name: str) -> int:
        """Return a time in seconds as microseconds."""
        found = self._of(name, (int, float))
        if found is None or not 0 <= found <= _MOST / 1e6:  # also of what is not a number
            raise Malformed(f"`{name}` is not a time")
        return int(found * 1e6)

    def values(self) -> dict[str, Any]:
        """Return the values of the task."""
        text = self.text("values")
        if not text:
            return {}
        if len(text) > VALUES_BYTES:
            raise Malformed("its values are too long")
        return dict(_Answer.parse(text.encode("utf-8", "replace"))._fields)

    def files(self) -> list[str]:
        """Return the files of modules that it imported."""
        found: list[Any] = self._of("files", list) or []
        if not all(isinstance(path, str) and "\0" not in path for path in found):
            raise Malformed("`files` are not paths")
        return found

    def streams(self, folder: str) -> tuple[Captured, Captured]:
        """Return stdout and stderr."""
        found: list[Any] = self._of("text", list) or ["", ""]
        if len(found) != 2:
            raise Malformed("`text` is not two streams")
        return (
            _captured(found[0], os.path.join(folder, "stdout")),
            _captured(found[1], os.path.join(folder, "stderr")),
        )


def _captured(found: Any, path: str) -> Captured:
    """Return a stream from its text, or from the file with its two ends."""
    if isinstance(found, str):
        data = found.encode("latin-1", "replace")
        return Captured(len(data), data) if data else NOTHING
    sizes = found if isinstance(found, list) else []
    if len(sizes) != 3 or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise Malformed("`text` is not a stream")
    size, head, tail = sizes
    if not head + tail <= min(size, KEPT_BYTES):
        raise Malformed("`text` is not a stream")
    try:
        content = read_regular(path, head + tail) or b""
        os.unlink(path)
    except (BadAnswer, OSError):
        return Captured(size, b"", size)
    return Captured(size, content[:head], size - head - tail, content[head : head + tail])
