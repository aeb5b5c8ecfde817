"""Owns the look at how much disk attempts take whose step sets a limit, from a thread of its own.

A scratch may hold millions of files: nobody waits for them to be counted.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from stoker.model.id_types import AttemptId
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.work import threads
from stoker.work.checks import Ending

LOOK_S = 1.0
_BLOCK = 512  # what `st_blocks` counts in, on every file system


def taken_bytes(folders: Sequence[str]) -> int:
    """Return what is on disk below these folders; holes in files and what vanishes do not count."""
    total = 0
    todo = list(folders)
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * _BLOCK
    return total


def too_much(used_bytes: int, limit_bytes: int) -> Ending:
    """Return the ending of an attempt that takes more disk than its step has."""
    mib = 1024 * 1024
    reason = f"it took {used_bytes / mib:.0f} MiB of disk and has {limit_bytes / mib:.0f} MiB"
    return Ending(AttemptState.FAILED, Verdict.RETRY, reason, "disk limit reached")


class DiskWatch:
    """Looks at the folders of attempts every second. `wake` is called when one holds too much."""

    def __init__(self, wake: Callable[[], None], fail: Callable[[BaseException], None]) -> None:
        self._wake = wake
        self._fail = fail
        self._watched: dict[AttemptId, tuple[Sequence[str], int]] = {}
        self._over: dict[AttemptId, Ending] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, attempt: AttemptId, folders: Sequence[str], limit_bytes: int) -> None:
        """The folders together may hold no more than `limit_bytes` from now on."""
        with self._lock:
            self._watched[attempt] = (folders, limit_bytes)
        if self._thread is None:
            self._thread = threads.start(self._look, name="stoker-disk", on_failure=self._fail)

    def remove(self, attempt: AttemptId) -> None:
        """The attempt has ended."""
        with self._lock:
            self._watched.pop(attempt, None)
            self._over.pop(attempt, None)

    def take_over(self) -> dict[AttemptId, Ending]:
        """Return the attempts that were found to hold too much, each once."""
        with self._lock:
            found, self._over = self._over, {}
        return found

    def close(self) -> None:
        """Nobody looks any more; a file system that hangs is not waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def _look(self) -> None:
        pause_s = LOOK_S
        while not self._stop.wait(pause_s):
            began_s = time.monotonic()
            with self._lock:
                watched = list(self._watched.items())
            for attempt, (folders, limit_bytes) in watched:
                used_bytes = taken_bytes(folders)
                if used_bytes > limit_bytes:
                    with self._lock:
                        if self._watched.pop(attempt, None) is not None:
                            self._over[attempt] = too_much(used_bytes, limit_bytes)
                    self._wake()
            pause_s = max(LOOK_S, 5 * (time.monotonic() - began_s))
