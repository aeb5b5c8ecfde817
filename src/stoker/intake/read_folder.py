"""Reading one folder of a source: which of its files are new, have settled and are complete."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.intake.checksums import checksum_if_touched
from stoker.intake.complete import Completeness
from stoker.intake.names import Names
from stoker.intake.parts import Candidate, Grouping, Seen
from stoker.intake.seen_files import FolderLooks, Settling, mark_of_file
from stoker.intake.sources.source import Find, Refusal
from stoker.store.arrivals import sources

if TYPE_CHECKING:
    from stoker.intake.admission import Admission
    from stoker.store.unit import Store

_CHUNK = 2_000  # files whose names are held at once


class FolderReader:
    """Reads folders of one source below `root`, which is an absolute path without a slash at its end.

    After each reading `subfolders` are those that were found, and `is_clear` says whether all in
    the folder was taken or needs nothing more.
    """

    def __init__(
        self,
        store: "Store",
        names: Names,
        grouping: Grouping,
        completeness: Completeness,
        admission: "Admission",
        *,
        root: str,
        settle_s: float,
        trusts_clock: bool,
    ) -> None:
        self.subfolders: list[str] = []
        self.is_clear = True
        self.lacks: dict[str, str] = {}  # what is settled and yet not complete, and why
        self.pipeline_id = 0
        self._store = store
        self._names = names
        self._grouping = grouping
        self._completeness = completeness
        self._admission = admission
        self._root = root
        self._settle_s = settle_s
        self._trusts_clock = trusts_clock

    @property
    def waits_elsewhere(self) -> bool:
        """Whether what completes a file may be in a folder that sends no notices."""
        return self._completeness.is_elsewhere

    def path_of(self, folder: str, name: str = "") -> str:
        """Return the absolute path of a folder, or of a name in it."""
        path = f"{self._root}/{folder}" if folder else self._root
        return f"{path}/{name}" if name else path

    def read(self, folder: str, looks: FolderLooks) -> Iterator[Find]:
        """Yield what can be taken of all files in the folder. OSError if it cannot be read."""
        settling = self._begin(looks)
        self.subfolders = []
        self.is_clear = True
        takes = self._names.chooser(folder)
        chunk: list[Seen] = []
        with os.scandir(self.path_of(folder)) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if not entry.name.startswith("."):
                        self.subfolders.append(f"{folder}/{entry.name}" if folder else entry.name)
                elif takes(entry.name):
                    chunk += self._see(folder, entry.name)
                    if len(chunk) >= _CHUNK and not self._grouping.needs_all:
                        yield from self._take(folder, chunk, settling)
                        chunk.clear()
        yield from self._take(folder, chunk, settling)
        settling.end()
        self.is_clear = self.is_clear and not len(looks)

    def note_moved(self, folder: str, names: Iterable[str], looks: FolderLooks) -> None:
        """The files of these names came by them through renames: they have settled as they are."""
        found = [seen for name in names for seen in self._see(folder, name)]
        looks.moved_into_place({seen.name: mark_of_file(seen.found) for seen in found})

    def read_some(
        self, folder: str, names: set[str], looks: FolderLooks, *, moved: set[str]
    ) -> Iterator[Find]:
        """Yield what can be taken of the files of these names; `moved` ones have settled as they are."""
        takes = self._names.chooser(folder)
        seen: list[Seen] = []
        for name in names:
            if takes(name):
                seen += self._see(folder, name)
        came = (one for one in seen if one.name in moved)
        looks.moved_into_place({one.name: mark_of_file(one.found) for one in came})
        settling = self._begin(looks)
        yield from self._take(folder, seen, settling)
        settling.end(only=names)

    def _begin(self, looks: FolderLooks) -> Settling:
        return Settling(looks, settle_s=self._settle_s, trusts_clock=self._trusts_clock)

    def _see(self, folder: str, name: str) -> list[Seen]:
        """Return the file as it is now, a link followed; nothing if it is gone, or no file."""
        try:
            found = os.stat(self.path_of(folder, name))
        except OSError:
            if os.path.lexists(self.path_of(folder, name)):
                self.is_clear = False  # a link to nothing yet
            return []
        return [Seen(name, found)] if stat.S_ISREG(found.st_mode) else []

    def _take(self, folder: str, files: list[Seen], settling: Settling) -> Iterator[Find]:
        """Yield what of these files is new and complete; the rest is noted as pending."""
        found: list[Candidate] = []
        for one in self._grouping.candidates(self.path_of(folder), files):
            if isinstance(one, Refusal):
                self.is_clear = False
                yield one
            else:
                found.append(one)
        keys = [one.item.key for one in found]
        known = sources.fingerprints(self._store, self.pipeline_id, keys)
        for one in found:
            if known.get(one.item.key) != one.item.fingerprint:
                is_known = one.item.key in known
                yield from self._judge(folder, one, settling, is_known=is_known)

    def _judge(
        self, folder: str, one: Candidate, settling: Settling, *, is_known: bool
    ) -> Iterator[Find]:
        """Yield the item of a candidate that is new, if it has settled and is complete."""
        settled = [
            settling.is_settled(name, mark_of_file(found), changed_ns=found.st_ctime_ns)
            for name, found in one.files
        ]
        if not all(settled):
            return
        paths = [self.path_of(folder, name) for name, _ in one.files]
        lacks = (self._completeness.lack(path) for path in paths)
        lack = one.lack or next(filter(None, lacks), None)
        if lack is not None:
            self.lacks[paths[0]] = lack
            return
        if self._completeness.is_asked and not self._is_as_seen(folder, one):
            return  # its last write and its companion came after we looked: it settles again
        for name, _ in one.files:
            settling.forget(name)
        self.lacks.pop(paths[0], None)
        item = one.item
        if is_known:
            checksum = checksum_if_touched(self._store, self.pipeline_id, item, paths)
            item = replace(item, checksum=checksum)
        sums = {path: self._completeness.declared_sum(path) for path in paths}
        yield self._admission.admit(item, sums)

    def _is_as_seen(self, folder: str, one: Candidate) -> bool:
        """Whether the files are now what they were when they were looked at."""
        now = [seen for name, _ in one.files for seen in self._see(folder, name)]
        return [mark_of_file(seen.found) for seen in now] == [
            mark_of_file(found) for _, found in one.files
        ]
