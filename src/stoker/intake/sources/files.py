"""A folder as a source: the files below it, those that are there and those that will come.

A look at all goes through the folders that are known, and reads those whose own times have changed
since all in them was taken. Between such looks, the kernel's notices say which names to look at. What
a look decides from is only what it sees itself (`reading`); a notice alone takes nothing.
"""

import math
import os
import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from stoker.intake.admission import Admission
from stoker.intake.complete import Completeness
from stoker.intake.names import Names
from stoker.intake.notices import Notices
from stoker.intake.parts import Grouping
from stoker.intake.pending_notices import Told
from stoker.intake.pushed import Listing
from stoker.intake.read_folder import FolderReader
from stoker.intake.seen_files import FolderLooks, now_us
from stoker.intake.settle import overdue_in_words
from stoker.intake.sources.source import Find, Mark, Over, Pace
from stoker.model.pipeline import Pipeline
from stoker.model.source import Source as Declared
from stoker.spec.file_systems import may_be_shared
from stoker.store.arrivals import sources

if TYPE_CHECKING:
    from stoker.store.unit import Store

NOTICED_S = 60.0  # between looks at all where the kernel tells of every change, and where
UNNOTICED_S = 5.0  # another host may write there without that, or the kernel watches no more
THOROUGH_S = 3_600.0  # between looks that trust no folder's times
APART_S = 0.1  # between the beginnings of two looks: where much happens, it is gathered meanwhile
RACY_S = 2.0  # a folder's times tell of every change once they have been the same for so long
_QUICK_S = 1.0  # that reading all folders may take in every run
_MARK_AT = 500  # folders
_SHOWN = 5
_WOKEN = 8  # times in one rest that notices are heard at once; then they are gathered for
_PAUSE_S = 0.02


class FolderSource:
    """Follows a folder. Without `is_staying` it is only looked at, a few times, by a run."""

    kind = "folder"

    def __init__(
        self,
        store: "Store",
        pipeline: Pipeline,
        declared: Declared,
        *,
        project_folder: str,
        is_staying: bool = True,
    ) -> None:
        self.name = declared.name
        self.pending = 0
        self.pending_for_s: float | None = None
        self.trouble: str | None = None
        self._store = store
        self._pipeline = pipeline
        self._declared = declared
        self._root = (declared.folder or "").rstrip("/") or "/"
        checksum = pipeline.rules.checksum
        self._admission = Admission(pipeline)
        names = Names(declared, checksum=checksum, project_folder=project_folder)
        listing = Listing(
            pipeline,
            project_folder=project_folder,
            refuse=lambda _message: None,
            priority=pipeline.priority,
        )
        self._reader = FolderReader(
            store,
            names,
            Grouping(declared, listing),
            Completeness(declared),
            self._admission,
            root=self._root,
            settle_s=declared.settle_s,
            trusts_clock=not is_staying,
        )
        self._known: sources.KnownSource | None = None
        self._open: dict[str, FolderLooks] = {}  # folders that are not remembered as they are
        self._is_staying = is_staying
        self._told = Told(
            Notices(os.fsencode(self._root)) if is_staying else None,
            names,
            by_folder=bool(declared.parts),
        )
        self._is_shared = may_be_shared(self._root)
        self._pace = Pace(UNNOTICED_S)
        self._has_looked = False  # at all, once
        self._thorough_s = -math.inf
        self._began_s = -math.inf  # the last look
        self._next_s = 0.0  # when to look at all again
        self._number = 0  # of the look
        self._troubles: list[str] = []
        self._marked: dict[bytes, str | None] = {}

    # ---------------------------------------------------------------------------------------- looking

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what is new and complete; at all that is there, or only where something happened."""
        self._began_s = time.monotonic()
        self._known = sources.find_source(
            self._store, self._pipeline.name, self.name, kind=self.kind
        )
        self._reader.pipeline_id = self._known.pipeline_id
        self._troubles.clear()
        self._marked.clear()
        identity = self._identity(cursor)
        try:
            yield from self._finds(identity, cursor)
        except GeneratorExit:
            self._told.is_gap = True  # names that were not come to are found by looking at all
            raise
        self._sum_up()

    def _finds(self, identity: str | None, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what there is in the folder of this identity, with what is to be remembered."""
        if identity is None:
            self._told.begin_anew()
            self._next_s = time.monotonic() + UNNOTICED_S
            return
        if identity != cursor.get("root"):
            self._told.begin_anew()  # the kernel may still be asked about the one before
            cursor = {"root": identity}
            yield Mark(cursor=cursor)
        if self._is_staying:
            self._told.listen()
            yield from self._look_where_told()
            yield self._remember()
        if self._told.is_gap or time.monotonic() >= self._next_s:
            yield from self._look_at_all(cursor)
        yield self._remember()

    def _identity(self, cursor: Mapping[str, Any]) -> str | None:
        """Return what tells the folder from another at its place; None if it should not be read.

        An empty folder where another one was before is what is left when a file system has been
        unmounted: what was known stays, for when it is back.
        """
        try:
            found = os.stat(self._root)
            with os.scandir(self._root) as entries:
                is_empty = next(entries, None) is None
        except FileNotFoundError:
            self._troubles.append(
                f"there is no folder `{self._root}`; make it, put its path right, or mount what "
                "it is on"
            )
            return None
        except OSError as error:
            self._troubles.append(f"`{self._root}` cannot be read: {error.strerror}")
            return None
        identity = f"{found.st_dev}:{found.st_ino}"
        if is_empty and cursor.get("root", identity) != identity:
            self._troubles.append(
                f"`{self._root}` is empty, and another folder than before: is what it is on mounted?"
            )
            return None
        return identity

    def _look_at_all(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Go through the folders that are known, and those that are found in them."""
        self._pace.begin()
        began_s = time.monotonic()
        is_thorough = self._is_thorough(cursor)
        self._number += 1
        self._told.is_gap = False
        self._reader.lacks.clear()  # what still lacks something is read again
        new: list[str] = []
        if self._known is not None:
            if not sources.stamps_of(self._store, self._known, [b""]):
                new.append("")
            for page in sources.folders_of(self._store, self._known):
                for path, stamp in page:
                    yield from self._visit(os.fsdecode(path), stamp, new, is_thorough=is_thorough)
        new += list(self._open)
        while new:
            yield from self._visit(new.pop(), None, new)
        if is_thorough:
            yield self._remember()
            self._thorough_s = time.monotonic()
            if not self._is_staying:
                took_s = self._thorough_s - began_s
                yield Mark(cursor={**cursor, "thorough": [time.time(), took_s]})
        self._has_looked = True
        self._pace.end()
        self._pace.every_s = NOTICED_S if self._is_told_of_all() else UNNOTICED_S
        self._next_s = time.monotonic() + self._pace.rest_s() if self._is_staying else 0.0

    def _is_thorough(self, cursor: Mapping[str, Any]) -> bool:
        """Whether to read all folders: a file that is rewritten in place leaves no trace on its own.

        Whoever stays does so every hour, and first once what is new has been taken, as nobody told of
        what happened before. A run does not stay: it does so unless that takes long, and the last run
        that did is less than ten times as long ago as it took.
        """
        if self._is_staying:
            since_s = time.monotonic() - self._thorough_s
            return self._has_looked and since_s >= THOROUGH_S
        at_s, took_s = cursor.get("thorough", (0.0, 0.0))
        return took_s < _QUICK_S or not 0 <= time.time() - at_s < 10 * took_s

    def _is_told_of_all(self) -> bool:
        """Whether whatever may be waited for raises a notice here."""
        is_elsewhere = self._reader.waits_elsewhere and any(map(len, self._open.values()))
        return self._told.is_whole and not self._is_shared and not is_elsewhere

    def _visit(
        self, folder: str, stamp: str | None, new: list[str], *, is_thorough: bool = False
    ) -> Generator[Find]:
        """Read the folder if it is not as it was when all in it had been taken."""
        looks = self._open.get(folder)
        if looks is not None and looks.number == self._number:
            return
        self._told.watch(folder)
        self._told.listen()  # or the kernel's queue is full before the look is over
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
            self._troubles.append(f"`{self._reader.path_of(folder)}`: {error.strerror}")
            if looks is not None:
                looks.due_us = math.inf

    def _read(
        self, folder: str, stamp: str, new: list[str], *, is_same: bool = False
    ) -> Generator[Find]:
        looks = self._open.setdefault(folder, FolderLooks())
        looks.number = self._number
        is_trusted = looks.stamped_for_s(stamp) >= RACY_S or is_same
        yield from self._reader.read(folder, looks)
        found = self._reader.subfolders
        is_clear = self._reader.is_clear
        if found and self._known is not None:
            paths = [os.fsencode(one) for one in found]
            known = {**self._marked, **sources.stamps_of(self._store, self._known, paths)}
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

    def _look_where_told(self) -> Generator[Find]:
        """Look at the names that something happened to, and at those that may have settled."""
        now = now_us()
        self._number += 1
        for folder, looks in self._open.items():
            if now >= looks.due_us:
                due = looks.due_names(now, settle_s=self._declared.settle_s)
                self._told.note_all(folder, due)
        new: list[str] = []
        for folder, names, moved in self._told.take():
            looks = self._open.setdefault(folder, FolderLooks())
            if names is None:
                self._reader.note_moved(folder, moved, looks)
                yield from self._visit(folder, None, new)
            else:
                yield from self._reader.read_some(folder, names, looks, moved=moved)
        while new:
            yield from self._visit(new.pop(), None, new)

    def _sum_up(self) -> None:
        """Say how it stands: what is pending and for how long, and what went wrong."""
        self.pending = sum(len(looks) for looks in self._open.values())
        self.pending_for_s = None
        if self.pending:
            oldest_us = min(looks.oldest_us() for looks in self._open.values())
            self.pending_for_s = max(0.0, (now_us() - oldest_us) / 1e6)
        troubles = list(self._troubles)
        lacks = self._reader.lacks
        lacking = [f"`{path}`: {lacks[path]}" for path in sorted(lacks)[:_SHOWN]]
        if self.pending_for_s is not None and self.pending_for_s >= self._declared.overdue_s:
            troubles += [overdue_in_words(self.pending_for_s), *lacking]
        elif not self._is_staying and all(math.isinf(one.due_us) for one in self._open.values()):
            self.pending = 0  # what is left lacks something that no waiting brings
            troubles += lacking
        self.trouble = "\n".join(troubles) or None

    # ---------------------------------------------------------------------------------------- resting

    def rest(self, over: Over) -> None:
        """Return when something has happened, may have settled, or it is time to look at all."""
        over.rest(self._began_s + APART_S - time.monotonic())
        woken = 0
        while not over:
            now_s = time.monotonic()
            if self._told.is_due(now_s) or now_s >= self._next_s:
                return
            due_us = min((looks.due_us for looks in self._open.values()), default=math.inf)
            if now_s >= due_us / 1e6:
                return
            until_s = min(due_us / 1e6, self._next_s, self._told.due_s)
            over.rest(until_s - now_s, *self._told.descriptors)
            woken += 1
            if woken > _WOKEN:
                over.rest(_PAUSE_S)
            self._told.listen()

    def close(self) -> None:
        """Let go of the kernel's notices, and of the process that reads headers."""
        self._told.close()
        self._admission.close()


def _stamp_of(found: os.stat_result) -> str:
    """Return what changes when a name comes into a folder, or leaves it."""
    return f"{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"
