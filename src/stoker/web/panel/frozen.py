"""Selections as somebody has seen them counted: what is done later is done to those tasks alone.

Kept in the memory of the process, for an hour at most: a page that asks is answered soon, or asks
again. A page that was answered is used up, so that sending it twice does it once.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array

KEPT_S = 3_600.0
PAGES, TASKS = 500, 5_000_000  # that are kept at most, the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What one page has shown: to whom, for which verb and selection, and which tasks."""

    caller: str
    verb: str
    folded: str
    tasks: "array[int]"
    n: int
    at_s: float


class Freezer:
    """The newest pages that ask whether to do something."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._kept: dict[str, Frozen] = {}
        self._tasks = 0

    def keep(self, caller: str, verb: str, folded: str, tasks: "array[int]", n: int) -> str:
        """Keep what is shown; return the token by which it is found."""
        token = secrets.token_urlsafe(16)
        made = Frozen(
            caller=caller, verb=verb, folded=folded, tasks=tasks, n=n, at_s=self._clock_s()
        )
        self._kept[token] = made
        self._tasks += len(tasks)
        while len(self._kept) > PAGES or (self._tasks > TASKS and len(self._kept) > 1):
            self.drop(next(iter(self._kept)))
        return token

    def find(self, token: str, caller: str, verb: str, folded: str) -> Frozen | None:
        """Return what that page has shown; None if it is too old, was used, or is not the caller's."""
        found = self._kept.get(token)
        if found is None or (found.caller, found.verb, found.folded) != (caller, verb, folded):
            return None
        if self._clock_s() - found.at_s > KEPT_S:
            self.drop(token)
            return None
        return found

    def drop(self, token: str) -> None:
        """The page was answered, or is too old."""
        found = self._kept.pop(token, None)
        if found is not None:
            self._tasks -= len(found.tasks)
