"""What the kernel's notices, gathered, tell a source to look at next."""

import math
import os
import time
from collections.abc import Iterator

from stoker.intake.names import Names
from stoker.intake.notices import Notice, Notices

GATHER_S = 0.2  # that notices of ordinary changes wait for more of them; renames do not wait
MOST_NAMES = 10_000  # of one folder; with more, the folder is read as a whole


class PendingNotices:
    """Folders and names that something happened to since they were last taken from here."""

    def __init__(self, notices: Notices | None, names: Names, *, by_folder: bool) -> None:
        self.is_gap = False
        self.due_s = math.inf
        self._notices = notices
        self._meaning = names
        self._by_folder = by_folder
        self._names: dict[str, set[str] | None] = {}  # None: the folder as a whole
        self._moved: dict[str, set[str]] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait for: there are notices when it can be read."""
        if self._notices is None or self._notices.fileno() < 0:
            return ()
        return (self._notices.fileno(),)

    @property
    def is_whole(self) -> bool:
        """Whether there is a notice of every change that this host makes."""
        return self._notices is not None and self._notices.is_whole

    def watch(self, folder: str) -> None:
        """From now on there are notices of the folder. To be called before it is read."""
        if self._notices is not None:
            self._notices.watch(os.fsencode(folder))

    def listen(self) -> None:
        """Take in what the kernel has reported meanwhile."""
        if self._notices is None:
            return
        for notice in self._notices.read():
            self._hear(notice)

    def _hear(self, notice: Notice) -> None:
        if notice.is_gap:
            self.is_gap = True
            self.due_s = 0.0
            return
        folder, name = os.fsdecode(notice.folder), os.fsdecode(notice.name)
        if notice.is_folder:
            self.note_folder(f"{folder}/{name}" if folder else name)
            self.note_folder(folder)
        elif self._meaning.belongs(name):
            self.note_folder(folder)
        else:
            self.note(folder, name)
        moved = self._moved.setdefault(folder, set())
        if notice.was_moved and not self._was_item(notice):
            moved.add(name)
        else:
            moved.discard(name)  # it was made again, or written to, since
        if notice.was_moved:
            self.due_s = 0.0

    def _was_item(self, notice: Notice) -> bool:
        """Whether the file had an item's name before: then its new one says nothing of its content."""
        if notice.came_from is None:
            return False
        folder, name = map(os.fsdecode, notice.came_from)
        return self._meaning.chooser(folder)(name)

    def note(self, folder: str, name: str) -> None:
        """The name is to be looked at; where names are judged together, all in its folder."""
        if self._by_folder:
            self.note_folder(folder)
            return
        names = self._names.setdefault(folder, set())
        if names is not None:
            names.add(name)
            if len(names) > MOST_NAMES:
                self._names[folder] = None
        self._hurry()

    def note_all(self, folder: str, names: set[str] | None) -> None:
        """These names are to be looked at, or with None the folder as a whole."""
        if names is None:
            self.note_folder(folder)
        for name in names or ():
            self.note(folder, name)

    def note_folder(self, folder: str) -> None:
        """The folder is to be read as a whole."""
        self._names[folder] = None
        self._hurry()

    def _hurry(self) -> None:
        if math.isinf(self.due_s):
            self.due_s = time.monotonic() + GATHER_S

    def is_due(self, now_s: float) -> bool:
        """Whether there is something to look at that need not wait for more."""
        return now_s >= self.due_s

    def take(self) -> Iterator[tuple[str, set[str] | None, set[str]]]:
        """Yield each folder with the names to look at, None for all, and those that were moved."""
        names, moved = self._names, self._moved
        self._names, self._moved, self.due_s = {}, {}, math.inf
        for folder, some in names.items():
            yield folder, some, moved.get(folder, set())

    def begin_again(self) -> None:
        """All notices are forgotten, and nothing is watched: another folder is, or will be, there."""
        self._names, self._moved, self.due_s = {}, {}, math.inf
        self.is_gap = True
        if self._notices is not None:
            self._notices.begin_again()

    def close(self) -> None:
        """Hear nothing any more."""
        if self._notices is not None:
            self._notices.close()
