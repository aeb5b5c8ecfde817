"""Owns the question whether disks have room: a worker claims nothing while one of them has none.

A thread looks at the file systems of the scratch, the store and the logs every second, and at that
of an output from the moment at which an attempt found it full. They have room again when twice the
reserve is free and something can be written, which a quota may forbid on a disk with room.

An attempt that found a disk full has not failed: it does not use up a retry. One that finds it full
again and again may be what fills it, so that this holds for a bounded number of times.
"""

import errno
import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Self

from stoker.work import threads

LOOK_S = 1.0
RESERVE_BYTES = 64 * 1024 * 1024  # to be left free, so that results and leases can be written
RESERVE_FILES = 1_000
RESERVE_SHARE = 100  # or this part of a small file system
PROBE_BYTES = 1024 * 1024
BLIND_S = 30.0  # that a place is left alone where nothing can be tried out without a trace
MOST_EXCUSED = 5
FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_WORDS = re.compile(rb"No space left on device|Disk quota exceeded")

_log = logging.getLogger(__name__)


def is_full_error(problem: BaseException) -> bool:
    """Whether this is what a write on a full disk, or over a quota, raises."""
    return isinstance(problem, OSError) and problem.errno in FULL


def speaks_of_room(*said: bytes) -> bool:
    """Whether the words of a program are those of the system for a full disk."""
    return any(_WORDS.search(text) for text in said)


def shortage(folder: str, *, times: int = 1) -> str | None:
    """Return what the file system of `folder` is short of, in words; None if it has enough.

    `times` the reserve counts as enough. A folder that is not there stands for the one above it.
    """
    try:
        found = os.statvfs(existing(folder))
    except OSError:
        return None
    free_bytes = found.f_bavail * found.f_frsize
    if free_bytes < times * min(RESERVE_BYTES, found.f_blocks * found.f_frsize // RESERVE_SHARE):
        return f"{free_bytes / 2**20:.1f}M free"
    few_files = times * min(RESERVE_FILES, found.f_files // RESERVE_SHARE)
    if found.f_favail < few_files and (found.f_favail or refusal(folder) is not False):
        return f"room for {found.f_favail} more files"  # some network file systems always say 0
    return None


def existing(folder: str) -> str:
    """Return the folder, or the first one above it that is there."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def refusal(folder: str) -> bool | None:
    """Whether the file system refuses a small file; None where that leaves a trace, if one dies."""
    try:
        descriptor = os.open(
            existing(folder), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600
        )  # without a name
    except OSError as problem:
        return True if problem.errno in FULL else None
    try:
        os.posix_fallocate(descriptor, 0, PROBE_BYTES)
    except OSError as problem:
        return problem.errno in FULL
    finally:
        os.close(descriptor)
    return False


def _device(folder: str) -> int:
    try:
        return os.stat(existing(folder)).st_dev
    except OSError:
        return 0


def trouble_of(what: str, folder: str, short_of: str) -> str:
    """Return what is said of a place without room."""
    return f"the disk of the {what} (`{folder}`) is full: {short_of}; make room there"


class Room:
    """The places that a worker writes to. `trouble` says why nothing is claimed, if that is so.

    `places` are folders by what they are for. `wake` is called from the thread when `trouble` has
    changed, `fail` when it cannot go on. All methods may be called from any thread.
    """

    def __init__(
        self,
        places: Mapping[str, str],
        wake: Callable[[], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.trouble: str | None = None
        self._places = dict(places)
        self._wake = wake
        self._fail = fail
        self._full: dict[str, tuple[str, float]] = {}  # by folder: what for, not before when
        self._said_of: frozenset[str] = frozenset()  # the folders in `trouble`
        self._excused: Counter[Hashable] = Counter()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """From now on somebody looks."""
        self._look()
        self._thread = threads.start(self._watch, name="stoker-room", on_failure=self._fail)
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody looks any more; a file system that hangs is not waited for."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def is_full(self, folder: str) -> bool:
        """Whether the folder was found full and has no room since."""
        with self._lock:
            return folder in self._full

    def note(self, folder: str, what: str = "scratch") -> None:
        """Somebody found the folder full: nothing is claimed until it has room."""
        not_before_s = time.monotonic() + (BLIND_S if refusal(folder) is None else 0.0)
        with self._lock:
            self._full[folder] = (what, not_before_s)
        self._say()

    def find(self, places: Iterable[tuple[str, str]]) -> bool:
        """Whether one of these places, `(what, folder)`, has no room; it is noted."""
        for what, folder in places:
            if shortage(folder) or refusal(folder):
                self.note(folder, what)
                return True
        return False

    def excuses(self, who: Hashable) -> bool:
        """Whether `who` may lay it on the disk once more that something could not be written."""
        with self._lock:
            self._excused[who] += 1
            return self._excused[who] <= MOST_EXCUSED

    def forget(self, who: Hashable) -> None:
        """What `who` wanted is done."""
        if who in self._excused:
            with self._lock:
                del self._excused[who]

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            noted = dict(self._full)
        for folder, (_, not_before_s) in noted.items():
            has_room = not shortage(folder, times=2) and not refusal(folder)
            if has_room and now_s >= not_before_s:
                with self._lock:
                    self._full.pop(folder, None)
        for what, folder in self._places.items():
            if folder not in noted and shortage(folder):
                with self._lock:
                    self._full[folder] = (what, 0.0)
        self._say()

    def _say(self) -> None:
        with self._lock:
            full = [(what, folder) for folder, (what, _) in self._full.items()]
            folders = frozenset(self._full)
            if folders == self._said_of:
                return
            self._said_of = folders
        said: dict[int, str] = {}  # one word for each file system
        for what, folder in full:
            device = _device(folder)
            short_of = shortage(folder, times=2) or "writing there is refused"
            said.setdefault(device, trouble_of(what, folder, short_of))
        trouble = "; ".join(said.values()) or None
        before, self.trouble = self.trouble, trouble
        if (before is None) == (trouble is None):
            return
        if trouble is not None:
            _log.warning(
                "nothing is claimed until there is room",
                extra={"event": "disk_full", "reason": trouble},
            )
        else:
            _log.info("there is room again", extra={"event": "disk_room"})
        self._wake()
