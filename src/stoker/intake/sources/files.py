"""A folder as a source: the files below it, those that are there and those that will come.

A look at all goes through the folders that are known, and reads those whose own times have changed
since all in them was taken. Between such looks, the kernel's notices say which names to look at.
"""

import math
import time
from collections.abc import Generator, Mapping
from typing import Any

from stoker.intake.parts import Grouping
from stoker.intake.read_folder import FolderReader
from stoker.intake.sources.folder_look import FolderLook, Followed
from stoker.intake.sources.followed_folder import FollowedFolder
from stoker.intake.sources.source import Find, Over, Standing
from stoker.store.arrivals import sources

APART_S = 0.1  # between the beginnings of two looks: where much happens, it is gathered meanwhile
_WOKEN = 8  # times in one rest that notices are heard at once; then they are gathered for
_PAUSE_S = 0.02


class FolderSource:
    """Follows the files below a folder."""

    kind = "folder"

    def __init__(self, folder: FollowedFolder) -> None:
        self.name = folder.declared.name
        self.standing = Standing()
        self._folder = folder
        reader = FolderReader(
            folder.store,
            folder.names,
            Grouping(folder.declared, folder.listing),
            folder.completeness,
            folder.admission,
            root=folder.root,
            settle_s=folder.declared.settle_s,
            trusts_clock=not folder.is_staying,
        )
        self._followed = Followed(reader)

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what is new and complete; at all that is there, or only where something happened."""
        folder, reader = self._folder, self._followed.reader
        self._followed.times.began_s = time.monotonic()
        known = sources.find_source(folder.store, folder.pipeline.name, self.name, kind=self.kind)
        reader.pipeline_id = known.pipeline_id
        look = FolderLook(folder, self._followed, known)
        yield from look.finds(cursor)
        lacking = [f"`{path}`: {reader.lacks[path]}" for path in sorted(reader.lacks)]
        self.standing = folder.standing(self._followed.open.values(), look.troubles, lacking)

    def rest(self, over: Over) -> None:
        """Return when something has happened, may have settled, or it is time to look at all."""
        times, notices = self._followed.times, self._folder.notices
        over.rest(times.began_s + APART_S - time.monotonic())
        woken = 0
        while not over:
            now_s = time.monotonic()
            if notices.is_due(now_s) or now_s >= times.next_s:
                return
            every = self._followed.open.values()
            due_s = min((looks.due_us for looks in every), default=math.inf) / 1e6
            if now_s >= due_s:
                return
            until_s = min(due_s, times.next_s, notices.due_s)
            over.rest(until_s - now_s, *notices.descriptors)
            woken += 1
            if woken > _WOKEN:
                over.rest(_PAUSE_S)
            notices.listen()

    def close(self) -> None:
        """Let go of the kernel's notices, and of the process that reads headers."""
        self._folder.close()
