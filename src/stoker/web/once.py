"""Shared looks: callers that ask for the same while it is looked for get the same answer."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Found = TypeVar("_Found")


class Once(Generic[_Key, _Found]):
    """One look at a time for each key. It goes on though those who wait for it leave."""

    def __init__(self) -> None:
        self._tasks: dict[_Key, asyncio.Task[_Found]] = {}

    async def get(self, key: _Key, look: Callable[[], Coroutine[Any, Any, _Found]]) -> _Found:
        """Return what `look` finds, or raise what it raises; one that is under way is waited for."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.get_running_loop().create_task(look())
            task.add_done_callback(partial(self._end, key))
        return await asyncio.shield(task)

    def forget(self, key: _Key) -> None:
        """The next caller looks again: something was changed."""
        self._tasks.pop(key, None)

    async def settle(self) -> None:
        """No look is under way any more."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))
            await asyncio.sleep(0)  # their ends are noted

    def _end(self, key: _Key, task: "asyncio.Task[_Found]") -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # the callers that waited have got it
