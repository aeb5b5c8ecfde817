"""Owns the processes below a warm one: which of them are its own, and which a task has left."""

import os
import signal
import time
from collections.abc import MutableMapping
from contextlib import suppress

from stoker.work.contain import descendants
from stoker.work.warm_key import WarmKey

Usual = MutableMapping[WarmKey, tuple[str, ...]]
_ENDING_S = 0.02  # that a process which is ending anyway gets
_LOOK_S = 0.001


class Household:
    """All processes below process `pid`.

    A wrapper (`apptainer exec`, `conda run`) has its program below it from the start. It cannot be
    distinguished from something that the first task left: it is taken for that, until a second process
    shows the same after its first task. `usual` has what was seen, for all processes of a worker.
    """

    def __init__(self, pid: int, key: WarmKey, usual: Usual) -> None:
        self._pid = pid
        self._key = key
        self._usual = usual
        self._own: frozenset[int] = frozenset()
        self._is_settled = False

    def settle(self) -> None:
        """All that are there now are its own."""
        self._own = frozenset(descendants(self._pid))
        self._is_settled = True

    def evict(self) -> bool:
        """Kill what the task that has just ended left; return whether there was anything."""
        left = self._left()
        until_s = time.monotonic() + _ENDING_S
        while left and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
            left = self._left()
        if left and not self._is_settled and self._are_usual(left):
            self._own = frozenset(left)
            left = {}
        self._is_settled = True
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return bool(left)

    def _are_usual(self, left: dict[int, str]) -> bool:
        names = tuple(sorted(left.values()))
        are_usual = self._usual.get(self._key) == names
        self._usual[self._key] = names
        return are_usual

    def _left(self) -> dict[int, str]:
        """Return the processes that are not its own, with their programs' names; not dead ones."""
        found = {}
        for pid in descendants(self._pid):
            name = None if pid in self._own else _name(pid)
            if name is not None:
                found[pid] = name
        return found


def _name(pid: int) -> str | None:
    """Return the name of a process's program; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return None if rest.split()[0] in "ZX" else name
