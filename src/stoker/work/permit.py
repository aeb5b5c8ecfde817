"""Owns the question that long work on files asks all the time: whether it may go on."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Permit = Callable[[], None]  # raises where the work must not go on

_THREADS = 16
_FEW = 8  # for which no threads are started
_T = TypeVar("_T")


def no_limit() -> None:
    """Permit everything: for callers that can be interrupted otherwise."""


def in_threads(act: Callable[[_T], None], on: Sequence[_T], permit: Permit) -> None:
    """`act` was called for each, by several threads if there are many.

    The first error is raised once all that had begun has ended; the rest is left undone.
    """

    def permitted(one: _T) -> None:
        permit()
        act(one)

    if len(on) <= _FEW:
        for one in on:
            permitted(one)
        return
    with ThreadPoolExecutor(_THREADS, "stoker-files") as threads:
        for _ in threads.map(permitted, on):
            pass
