"""The worker's side of `python` steps: warm processes, and what is told and answered.

One warm process serves one task at a time. A few more may lie in its socket, so that it never waits
for the worker; the worker keeps the other end of that socket too, and can take back what has not
been read. So it is always known which tasks have begun. The child's side, which needs nothing of
Stoker, is `warm.py`.
"""

import json
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.model.pipeline import Python
from stoker.model.strict_json import read_json
from stoker.model.task import Claimed
from stoker.store.rights import PRIVATE, Rights
from stoker.work.answers import BadAnswer, read_regular
from stoker.work.capture import NOTHING, Captured
from stoker.work.conclude import Exit
from stoker.work.recipe import WarmKey
from stoker.work.running import Running
from stoker.work.slot import Place, Seat

SCRIPT = os.path.join(os.path.dirname(__file__), "warm.py")
_SOCKET_BYTES = 60_000  # of one message; a longer one goes by a file


def call_message(
    claimed: Claimed,
    action: Python,
    *,
    number: int,
    seat: Seat,
    outputs: Mapping[str, str],
    env: Mapping[str, str],
    open_files: int | None,
) -> dict[str, Any]:
    """Return what a warm process needs to call the function for this task."""
    return {
        "id": number,
        "seat": seat.folder,
        "function": action.function,
        "item": claimed.path,
        "key": claimed.key,
        "params": claimed.params,
        "meta": claimed.meta,
        "inputs": {
            step: {name: _one_or_all(paths) for name, paths in produced.outputs.items()}
            for step, produced in claimed.produced.items()
        },
        "values": {step: produced.values for step, produced in claimed.produced.items()},
        "outputs": outputs,
        "scratch": seat.scratch,
        "env": env,
        "open_files": open_files,
    }


def _one_or_all(paths: Sequence[str]) -> str | list[str]:
    return paths[0] if len(paths) == 1 else list(paths)


class WarmProcess:
    """One child that imports once and serves many tasks; `held` are those given to it, in order.

    The worker starts and reaps the process; this class only talks with it.
    """

    def __init__(self, key: WarmKey, folder: str, *, rights: Rights = PRIVATE) -> None:
        self.key = key
        self.place = Place(folder, rights=rights)
        self.held: dict[int, Running] = {}  # by serial, in the order in which they begin
        self.free_seats: list[Seat] = []
        self.idle_since_s = 0.0
        self.pid = 0
        self.is_leaving = False
        self.has_answered = False
        self._seats = 0
        self._ours, self._its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)  # noqa: FBT003 - the socket takes it by position only
        self._files: dict[str, int | None] = {}

    def start(self, env: Sequence[bytes], path: bytes) -> None:
        """The process runs. OSError if the system has no room for it."""
        argv = [os.fsencode(word) for word in (self.key.interpreter, SCRIPT, self.key.folder)]
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

    def take_seat(self) -> Seat:
        """Return folders that no task of this process uses."""
        if self.free_seats:
            return self.free_seats.pop()
        self._seats += 1
        seat = self.place.seat
        return Seat(os.path.join(seat.folder, str(self._seats)), rights=seat.rights)

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
        while True:
            try:
                data = self._ours.recv(1 << 20)
            except OSError:  # nothing there, or hung up
                return ended
            if not data:
                return ended
            answer = json.loads(data)
            running = self.held.pop(answer["id"])
            ended.append((running, self._exit(answer, running)))

    @property
    def current(self) -> Running | None:
        """The task that it works on, or will begin with."""
        return next(iter(self.held.values()), None)

    def withdraw(self) -> list[Running]:
        """Return the tasks that had not begun, in order; the process will not see them."""
        taken: list[Running] = []
        while True:
            try:
                data = self._its.recv(1 << 20, socket.MSG_DONTWAIT)
            except OSError:
                return taken
            taken.append(self.held.pop(json.loads(data)["id"]))

    def _exit(self, answer: Mapping[str, Any], running: Running) -> Exit:
        self.has_answered = True
        self.is_leaving |= bool(answer.get("leave"))
        for path in answer.get("files", ()):
            self._files.setdefault(path, _modified_ns(path))
        folder = running.seat.folder if running.seat is not None else ""
        text = answer["text"] or ("", "")
        values = answer.get("values")
        return Exit(
            exit_code=answer["exit"],
            error=answer["error"],
            problem=answer["problem"],
            values=read_json(values) if values else {},
            started_us=int(answer["started"] * 1e6),
            ended_us=int(answer["ended"] * 1e6),
            user_us=int(answer["user"] * 1e6),
            system_us=int(answer["system"] * 1e6),
            max_rss_bytes=answer["rss"],
            stdout=_captured(text[0], os.path.join(folder, "stdout")),
            stderr=_captured(text[1], os.path.join(folder, "stderr")),
        )

    def is_outdated(self) -> bool:
        """Whether a module that it imported from the pipeline's folder was changed since."""
        return any(_modified_ns(path) != seen for path, seen in self._files.items())

    def hang_up(self) -> None:
        """The process ends by itself as soon as it has nothing to do."""
        self._ours.close()
        self._its.close()

    def close(self) -> None:
        """Give the descriptors back."""
        self.hang_up()
        self.place.close()


def _captured(found: str | list[int], path: str) -> Captured:
    """Return a stream from its text, or from the file with its two ends."""
    if isinstance(found, str):
        data = found.encode("latin-1")
        return Captured(len(data), data) if data else NOTHING
    size, head, tail = found
    try:
        content = read_regular(path, head + tail) or b""
        os.unlink(path)
    except (BadAnswer, OSError):
        return Captured(size, b"", size)
    return Captured(size, content[:head], size - head - tail, content[head:])


def _modified_ns(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
