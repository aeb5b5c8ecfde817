"""One look at a folder and those below it: at all that is there, or only where something happened.

A look decides only from what it sees itself (`reading`); a notice alone takes nothing.
"""

import math
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.intake.read_folder import FolderReader
from stoker.intake.seen_files import FolderLooks, now_us
from stoker.intake.sources.followed_folder import FollowedFolder
from stoker.intake.sources.source import Find, Mark, Pace
from stoker.store.arrivals import sources

NOTICED_S = 60.0  # between looks at all where the kernel reports every change, and where
UNNOTICED_S = 5.0  # another host may write there without that, or the kernel watches no more
THOROUGH_S = 3_600.0  # between looks that trust no folder's times
RACY_S = 2.0  # a folder's times tell of every change once they have been the same for so long
_QUICK_S = 1.0  # that reading all folders may take in every run
_MARK_AT = 500  # folders


@dataclass(slots=True)
class Timetable:
    """When a folder was looked at, and when it is to be looked at again, by the monotonic clock."""

    pace: Pace = field(default_factory=lambda: Pace(UNNOTICED_S))
    began_s: float = -math.inf  # the last look
    next_s: float = 0.0  # when to look at all again
    thorough_s: float = -math.inf  # the last look that trusted no folder's times
    has_looked: bool = False  # at all, once


@dataclass(slots=True)
class Followed:
    """What a source knows of its folder from one look to the next.

    `open` are the folders that are not remembered as they are; `number` is that of the last look.
    """

    reader: FolderReader
    times: Timetable = field(default_factory=Timetable)
    open: dict[str, FolderLooks] = field(default_factory=dict)
    number: int = 0


class FolderLook:
    """One look; `troubles` are what kept it from seeing everything."""

    def __init__(
        self, folder: FollowedFolder, followed: Followed, known: sources.KnownSource
    ) -> None:
        self.troubles: list[str] = []
        self._folder = folder
        self._notices = folder.notices
        self._reader = followed.reader
        self._times = followed.times
        self._open = followed.open
        self._followed = followed
        self._known = known
        self._marked: dict[bytes, str | None] = {}

    def finds(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what there is and is complete, with what is to be remembered."""
        identity = self._identity(cursor)
        try:
            yield from self._finds(identity, cursor)
        except GeneratorExit:
            self._notices.is_gap = True  # names that were not come to are found by looking at all
            raise

    def _finds(self, identity: str | None, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what there is in the folder of this identity, with what is to be remembered."""
        if identity is None:
            self._notices.begin_again()
            self._times.next_s = time.monotonic() + UNNOTICED_S
            return
        if identity != cursor.get("root"):
            self._notices.begin_again()  # the kernel may still be asked about the one before
            cursor = {"root": identity}
            yield Mark(cursor=cursor)
        if self._folder.is_staying:
            self._notices.listen()
            yield from self._look_where_noticed()
            yield self._remember()
        if self._notices.is_gap or time.monotonic() >= self._times.next_s:
            yield from self._look_at_all(cursor)
        yield self._remember()

    def _identity(self, cursor: Mapping[str, Any]) -> str | None:
        """Return what distinguishes the folder from another at its place; None if it should not be read.

        An empty folder where another one was before is what is left when a file system has been
        unmounted: what was known stays, for when it is back.
        """
        try:
            found = os.stat(self._folder.root)
            with os.scandir(self._folder.root) as entries:
                is_empty = next(entries, None) is None
        except FileNotFoundError:
            self.troubles.append(
                f"there is no folder `{self._folder.root}`; make it, put its path right, or mount what "
                "it is on"
            )
            return None
        except OSError as error:
            self.troubles.append(f"`{self._folder.root}` cannot be read: {error.strerror}")
            return None
        identity = f"{found.st_dev}:{found.st_ino}"
        if is_empty and cursor.get("root", identity) != identity:
            self.troubles.append(
                f"`{self._folder.root}` is empty, and another folder than before: is what it is on mounted?"
            )
            return None
        return identity

    def _look_at_all(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Go through the folders that are known, and those that are found in them."""
        self._times.pace.begin()
        began_s = time.monotonic()
        is_thorough = self._is_thorough(cursor)
        self._followed.number += 1
        self._notices.is_gap = False
        self._reader.lacks.clear()  # what still lacks something is read again
        new: list[str] = []
        if not sources.stamps_of(self._folder.store, self._known, [b""]):
            new.append("")
        for page in sources.folders_of(self._folder.store, self._known):
            for path, stamp in page:
                yield from self._visit(os.fsdecode(path), stamp, new, is_thorough=is_thorough)
        new += [folder for folder in self._open if folder not in new]
        while new:
            yield from self._visit(new.pop(), None, new)
        if is_thorough:
            yield self._remember()
            self._times.thorough_s = time.monotonic()
            if not self._folder.is_staying:
                took_s = self._times.thorough_s - began_s
                yield Mark(cursor={**cursor, "thorough": [time.time(), took_s]})
        self._times.has_looked = True
        self._times.pace.end()
        self._times.pace.every_s = NOTICED_S if self._is_told_of_all() else UNNOTICED_S
        self._times.next_s = (
            time.monotonic() + self._times.pace.rest_s() if self._folder.is_staying else 0.0
        )

    def _is_thorough(self, cursor: Mapping[str, Any]) -> bool:
        """Whether to read all folders: a file that is rewritten in place leaves no trace on its own.

        A process that stays does so every hour, and first once what is new has been taken, as nobody reported
        what happened before. A run does not stay: it does so unless that takes long, and the last run
        that did is less than ten times as long ago as it took.
        """
        if self._folder.is_staying:
            since_s = time.monotonic() - self._times.thorough_s
            return self._times.has_looked and since_s >= THOROUGH_S
        at_s, took_s = cursor.get("thorough", (0.0, 0.0))
        return took_s < _QUICK_S or not 0 <= time.time() - at_s < 10 * took_s

    def _is_told_of_all(self) -> bool:
        """Whether whatever may be waited for raises a notice here."""
        is_elsewhere = self._reader.waits_elsewhere and any(map(len, self._open.values()))
        return self._notices.is_whole and not self._folder.is_shared and not is_elsewhere

    def _visit(
        self, folder: str, stamp: str | None, new: list[str], *, is_thorough: bool = False
    ) -> Generator[Find]:
        """Read the folder if it is not as it was when all in it had been taken."""
        looks = self._open.get(folder)
        if looks is not None and looks.number == self._followed.number:
            return
        self._notices.watch(folder)
        self._notices.listen()  # or the kernel's queue is full before the look is over
        try:
            now = _stamp_of(os.stat(self._reader.path_of(folder)))
            is_same = looks is None and now == stamp
            if is_same and not is_thorough:
                return
            yield from self._read(folder, now, new, is_same=is_same)
        except (FileNotFoundError, NotADirectoryError):
            self._open.pop(folder, None)
            if folder:
                yield from self._mark(folder, None)
        except OSError as error:
            self.troubles.append(f"`{self._reader.path_of(folder)}`: {error.strerror}")
            if looks is not None:
                looks.due_us = math.inf

    def _read(
        self, folder: str, stamp: str, new: list[str], *, is_same: bool = False
    ) -> Generator[Find]:
        looks = self._open.setdefault(folder, FolderLooks())
        looks.number = self._followed.number
        is_trusted = looks.stamped_for_s(stamp) >= RACY_S or is_same
        yield from self._reader.read(folder, looks)
        found = self._reader.subfolders
        is_clear = self._reader.is_clear
        if found:
            paths = [os.fsencode(one) for one in found]
            known = {**self._marked, **sources.stamps_of(self._folder.store, self._known, paths)}
            fresh = [one for one, path in zip(found, paths, strict=True) if path not in known]
            for one in fresh:
                yield from self._mark(one, "")
            new += [one for one in fresh if one not in self._open]
        if is_trusted and is_clear:
            del self._open[folder]
            if not is_same:
                yield from self._mark(folder, stamp)

    def _mark(self, folder: str, stamp: str | None) -> Generator[Find]:
        self._marked[os.fsencode(folder)] = stamp
        if len(self._marked) >= _MARK_AT:
            yield self._remember()

    def _remember(self) -> Mark:
        """Return the mark with which the folders are remembered that were finished since the last."""
        marked, self._marked = self._marked, {}
        return Mark(folders=tuple(marked.items()))

    def _look_where_noticed(self) -> Generator[Find]:
        """Look at the names that something happened to, and at those that may have settled."""
        now = now_us()
        self._followed.number += 1
        for folder, looks in self._open.items():
            if now >= looks.due_us:
                due = looks.due_names(now, settle_s=self._folder.declared.settle_s)
                self._notices.note_all(folder, due)
        new: list[str] = []
        for folder, names, moved in self._notices.take():
            looks = self._open.setdefault(folder, FolderLooks())
            if names is None:
                self._reader.note_moved(folder, moved, looks)
                yield from self._visit(folder, None, new)
            else:
                yield from self._reader.read_some(folder, names, looks, moved=moved)
        while new:
            yield from self._visit(new.pop(), None, new)


def _stamp_of(found: os.stat_result) -> str:
    """Return what changes when a name comes into a folder, or leaves it."""
    return f"{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"
