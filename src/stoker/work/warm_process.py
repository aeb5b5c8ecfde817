"""What all warm processes have in common: one child that stays, its seats, and the tasks it holds.

One process works on one task at a time. How it is started and talked with is its kind's:
`pyfunc.py` for functions of Python, `lines.py` for other languages and persistent programs.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.model.task import Claimed
from stoker.rights import PRIVATE, Rights
from stoker.work import usage
from stoker.work.exit import Exit
from stoker.work.running import Running
from stoker.work.slot import Place, Seat
from stoker.work.warm_key import WarmKey


class Malformed(Exception):
    """What came from a warm process is not the answer that it should be."""


class WarmProcess(ABC):
    """One child that serves many tasks; `held` are those given to it, in order.

    The worker starts and reaps the process; this class only talks with it.
    """

    takes_ahead = False  # whether tasks may wait before it beyond the one it works on

    def __init__(self, key: WarmKey, folder: str, *, rights: Rights = PRIVATE) -> None:
        self.key = key
        self.place = Place(folder, rights=rights)
        self.held: dict[int, Running] = {}  # by serial, in the order in which they begin
        self.free_seats: list[Seat] = []
        self.idle_since_s = 0.0
        self.pid = 0
        self.is_leaving = False
        self.has_answered = False
        self.is_over = False  # it has ended: nothing more comes than what has been written
        self.problem: str | None = None  # why it is to be ended, and its call with it
        self.kill_s: float | None = None  # when it is killed, unless it has ended by itself
        self._seats = 0
        self._first_bytes: int | None = None  # of memory, after its first task

    @abstractmethod
    def start(self, env: Sequence[bytes], path: bytes) -> None:
        """The process runs. OSError if the system has no room for it."""

    @abstractmethod
    def fileno(self) -> int:
        """Return what becomes readable when a reply has come."""

    @abstractmethod
    def send(self, message: Mapping[str, Any], running: Running) -> bool:
        """Whether the process has this task before it; False if it holds enough already."""

    @abstractmethod
    def receive(self) -> list[tuple[Running, Exit]]:
        """Return the calls that have ended since, oldest first.

        What the process says is not trusted. After an answer that makes no sense, `problem` says
        what is wrong with it, and nothing more is listened to.
        """

    @abstractmethod
    def withdraw(self) -> list[Running]:
        """Return the tasks that had not begun, in order; the process will not see them."""

    @abstractmethod
    def is_outdated(self) -> bool:
        """Whether a file with the code that it has loaded was changed since."""

    @abstractmethod
    def hang_up(self) -> None:
        """The process ends by itself as soon as it has nothing to do."""

    @property
    def is_starting(self) -> bool:
        """Whether the process will take no task yet, so that no task's time has begun."""
        return False

    def tend(self) -> None:
        """Do what has to be done a few times a second while it works."""
        self.place.stdout.bound()
        self.place.stderr.bound()

    def is_swollen(self, limit_bytes: int) -> bool:
        """Whether it keeps so much memory that a further task may have too little of its limit.

        By what it keeps since its first task, which may have loaded what all tasks need.
        """
        used_bytes = usage.tree_memory_bytes((self.pid,), limit=limit_bytes)
        if self._first_bytes is None:
            self._first_bytes = used_bytes
        return used_bytes - self._first_bytes > max(0, limit_bytes - self._first_bytes) / 2

    @property
    def current(self) -> Running | None:
        """The task that it works on, or will begin with."""
        return next(iter(self.held.values()), None)

    def take_seat(self) -> Seat:
        """Return folders that no task of this process uses."""
        if self.free_seats:
            return self.free_seats.pop()
        self._seats += 1
        seat = self.place.seat
        return Seat(os.path.join(seat.folder, str(self._seats)), rights=seat.rights)

    def close(self) -> None:
        """Give the descriptors back."""
        self.hang_up()
        self.place.close()


def call_message(
    claimed: Claimed,
    *,
    number: int,
    seat: Seat,
    outputs: Mapping[str, str],
    env: Mapping[str, str],
    open_files: int | None,
    function: str,
) -> dict[str, Any]:
    """Return what a warm process needs to call the function for this task."""
    return {
        "id": number,
        "seat": seat.folder,
        "function": function,
        **task_fields(claimed, outputs=outputs, scratch=seat.scratch),
        "env": env,
        "open_files": open_files,
    }


def task_fields(claimed: Claimed, *, outputs: Mapping[str, str], scratch: str) -> dict[str, Any]:
    """Return what a function or a program reads of its task."""
    return {
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
        "scratch": scratch,
    }


def _one_or_all(paths: Sequence[str]) -> str | list[str]:
    return paths[0] if len(paths) == 1 else list(paths)


def modified_ns(path: str) -> int | None:
    """Return when a file was changed; None if it is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
