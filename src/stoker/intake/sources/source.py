"""What all kinds of sources have in common: how they are looked at, and what a look yields.

A source finds items; it never writes to the store. `intake/register_found.py` registers what a look yields,
in order, and only then remembers how far the look had come. So a crash at any moment makes the next
look find some things again, which are known by then; nothing is skipped, and nothing doubled.
"""

import os
import select
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stoker.model.item import NewItem
from stoker.store.arrivals.counts import Registered
from stoker.store.arrivals.sources import Folder

_PIECE_S = 86_400.0  # of a long wait: the system takes no more than 24 days at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that cannot even be recorded as an item, having no key of its own: it is reported."""

    message: str


@dataclass(slots=True, kw_only=True)
class Mark:
    """All that was yielded before is to be remembered, so that no later look finds it again.

    `cursor`, unless None, is where the next look begins; `folders` are for sources that pass over
    folders in which nothing has changed. When the look goes on after yielding a mark, all before it
    is durable, and `done` says what became of it.
    """

    cursor: Mapping[str, Any] | None = None
    folders: Sequence[Folder] = ()
    done: Registered = field(default_factory=Registered)


# An item that cannot be taken says so in its `reason`. Counts are of items that the source has
# registered itself, in one transaction with its own records: groups do so.
Find = NewItem | Refusal | Mark | Registered


@dataclass(frozen=True, slots=True)
class Standing:
    """How a source stands after a look.

    `pending` is how much was seen that is not complete yet, `pending_for_s` for how long the oldest of
    it has been there, and `trouble` what kept the look from seeing everything; None if nothing did.
    `refused` is how many lines of tables and lists are refused, in this look or since an earlier one.
    """

    pending: int = 0
    pending_for_s: float | None = None
    trouble: str | None = None
    refused: int = 0


class Over:
    """Wakes resting threads when the end has come. Has a descriptor, for those who wait for more."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set = False

    def set(self) -> None:
        """From now on nobody rests."""
        self._is_set = True
        os.eventfd_write(self._descriptor, 1)

    def __bool__(self) -> bool:
        return self._is_set

    def fileno(self) -> int:
        """Return what can be read once the end has come."""
        return self._descriptor

    def rest(self, seconds: float, *descriptors: int) -> None:
        """Return after `seconds`, or once a descriptor can be read, or when the end has come."""
        if self._is_set:
            return
        await_any(seconds, self._descriptor, *descriptors)

    def close(self) -> None:
        """Give the descriptor back; nobody rests any more."""
        os.close(self._descriptor)


def await_any(seconds: float, *descriptors: int) -> None:
    """Return after `seconds`, or once one of the descriptors can be read."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    until_s = time.monotonic() + seconds
    while (left_s := until_s - time.monotonic()) > _PIECE_S:
        if poll.poll(_PIECE_S * 1000):
            return
    poll.poll(max(0.0, left_s) * 1000)


class Pace:
    """How long to rest between looks: `every_s`, or longer where looks themselves take long.

    A source is looked at for a tenth of the time at most, however large it is.
    """

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self._began_s = self._ended_s = time.monotonic()

    def begin(self) -> None:
        """A look begins."""
        self._began_s = time.monotonic()

    def end(self) -> None:
        """A look has ended."""
        self._ended_s = time.monotonic()

    def rest_s(self) -> float:
        """Return how long to rest from now on."""
        took_s = self._ended_s - self._began_s
        return max(0.0, self._ended_s + max(self.every_s, 10 * took_s) - time.monotonic())


class Source(Protocol):
    """One source of one pipeline. Used by one thread, which may rest in it for long.

    `name` is its own, `kind` is what its cursor means, `standing` what its last look has left.
    """

    name: str
    kind: str
    standing: Standing

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what is new since `cursor`, which is empty at first, with marks in between.

        May be closed before its end, when there is no more room or the end has come. OSError and
        StokerError end the look; they are reported, and the next look begins at the last mark.
        """
        ...

    def rest(self, over: Over) -> None:
        """Return when it is time for another look, or the end has come."""
        ...

    def close(self) -> None:
        """Let go of all that is held outside of looks."""
        ...
