"""Verbs that often find nothing to change: they look without a lock, and take it only to write."""

import functools
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from stoker.store.statement_kinds import NeedsLock
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from stoker.store.unit import Store

_P = ParamSpec("_P")
_R = TypeVar("_R")


def reading_first(
    verb: "Callable[Concatenate[Store, _P], _R]",
) -> "Callable[Concatenate[Store, _P], _R]":
    """Run the verb on a snapshot; at its first attempt to change something, run it again with the lock.

    For a function of one transaction that changes nothing but the store. What it finds wrong on the
    snapshot is wrong. A verb that does change something reads twice up to there.
    """
    whole = as_a_whole(verb)

    @functools.wraps(verb)
    def first(store: "Store", /, *args: _P.args, **more: _P.kwargs) -> _R:
        try:
            with store.reading_only():
                return verb(store, *args, **more)
        except NeedsLock:
            return whole(store, *args, **more)

    return first
