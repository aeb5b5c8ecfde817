"""What was seen of files that are not complete yet: 24 bytes for each, however long their names.

Only the monotonic clock is asked, so that a clock which is set does not make a file look settled.
"""

import math
import os
import time
from array import array
from collections.abc import Collection, Mapping

import xxhash

MOST_NAMES = 20_000  # pending ones that a folder remembers; with more, it is read as a whole again
_SETTLED = 1 << 63  # beside the time since when it has been the same: no waiting is needed any more

_Looks = dict[int, tuple[int, int]]  # by name: the look, and since when it has been the same


def now_us() -> int:
    """Return microseconds of a clock that nobody sets."""
    return time.monotonic_ns() // 1000


def _digest_of_name(name: str) -> int:
    return xxhash.xxh3_64_intdigest(os.fsencode(name))


def _digest_of_look(mark: str) -> int:
    return xxhash.xxh3_64_intdigest(mark.encode())


def mark_of_file(found: os.stat_result) -> str:
    """Return what stands for the content of a file, as far as a look can tell."""
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}:{found.st_dev}"


class FolderLooks:
    """What is pending in one folder that is not remembered as a whole.

    `names` are the pending ones, None if there are too many; `number` is the last look at all in
    which the folder was read; `due_us` is when something in it may have settled.
    """

    __slots__ = ("_kept", "_stamp", "_stamp_us", "due_us", "names", "number")

    def __init__(self) -> None:
        self.number = 0
        self.due_us = math.inf
        self.names: set[str] | None = set()
        self._stamp = ""
        self._stamp_us = 0
        self._kept: array[int] = array("Q")  # name, look, microseconds; name, look, …

    def __len__(self) -> int:
        return len(self._kept) // 3

    def stamped_for_s(self, stamp: str) -> float:
        """Return for how long the folder has had this stamp, as far as was seen; note it."""
        now = now_us()
        if stamp != self._stamp:
            self._stamp, self._stamp_us = stamp, now
        return (now - self._stamp_us) / 1e6

    def oldest_us(self) -> float:
        """Return since when the oldest has been as it is; endless if nothing is pending."""
        return min((one & ~_SETTLED for one in self._kept[2::3]), default=math.inf)

    def moved_into_place(self, marks: Mapping[str, str]) -> None:
        """What has these names came by them through renames: it has settled, as it is marked."""
        if not marks:
            return
        looks, since_us = self.as_dict(), now_us() | _SETTLED
        for name, mark in marks.items():
            looks[_digest_of_name(name)] = (_digest_of_look(mark), since_us)
        self.keep(looks)

    def due_names(self, now: int, *, settle_s: float) -> set[str] | None:
        """Return the names of what may have settled by now; None if they are not remembered."""
        if self.names is None:
            return None
        latest_us = now - int(settle_s * 1e6)
        due = {name for name, (_, since_us) in self.as_dict().items() if since_us <= latest_us}
        return {name for name in self.names if _digest_of_name(name) in due}

    def as_dict(self) -> _Looks:
        """Return the looks by name."""
        kept = self._kept
        return {kept[at]: (kept[at + 1], kept[at + 2]) for at in range(0, len(kept), 3)}

    def keep(self, looks: _Looks) -> None:
        """These looks are kept, and no others."""
        kept = array("Q")
        for name, (look, since_us) in looks.items():
            kept.extend((name, look, since_us))
        self._kept = kept


class Settling:
    """Decides for the files of one folder, during one reading of it, which have settled.

    `trusts_clock` takes a file as settled at the first look if the file system says that nothing
    has changed it for long enough: for a run that does not stay to look again.
    """

    def __init__(self, looks: FolderLooks, *, settle_s: float, trusts_clock: bool) -> None:
        self._looks = looks
        self._before = looks.as_dict()
        self._now: _Looks = {}
        self._names: set[str] = set()
        self._settle_us = int(settle_s * 1e6)
        self._trusts_clock = trusts_clock

    def is_settled(self, name: str, mark: str, *, changed_ns: int) -> bool:
        """Whether the mark is what it was `settle_s` ago. It is pending until it is forgotten.

        `changed_ns` is when it changed last, by the file system's clock.
        """
        known, look, now = _digest_of_name(name), _digest_of_look(mark), now_us()
        before = self._before.get(known)
        since_us = before[1] if before is not None and before[0] == look else now
        has_settled = bool(since_us & _SETTLED) or now - since_us >= self._settle_us
        self._now[known] = (look, since_us | _SETTLED if has_settled else since_us)
        if len(self._names) <= MOST_NAMES:
            self._names.add(name)
        if has_settled:
            return True
        return self._trusts_clock and time.time_ns() - changed_ns >= self._settle_us * 1000

    def forget(self, name: str) -> None:
        """The file has been taken, or cannot be: it is not pending."""
        self._now.pop(_digest_of_name(name), None)
        self._names.discard(name)

    def end(self, only: Collection[str] | None = None) -> None:
        """What is pending is kept for the next reading.

        With `only`, no other names were looked at, and what is known of the others stays.
        """
        kept, names = self._now, self._names
        if only is not None:
            asked = {_digest_of_name(name) for name in only}
            rest = {name: seen for name, seen in self._before.items() if name not in asked}
            kept = rest | self._now
            names = (self._looks.names or set()).difference(only) | self._names
        self._looks.keep(kept)
        self._looks.names = names if len(names) == len(kept) <= MOST_NAMES else None
        # Also what became due during this reading, after it had been looked at.
        since_us = min((since for _, since in kept.values()), default=_SETTLED)
        self._looks.due_us = math.inf if since_us >= _SETTLED else since_us + self._settle_us
