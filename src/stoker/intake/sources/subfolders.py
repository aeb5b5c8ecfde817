"""A folder as a source of folders: each one directly in it is an item, with all that it holds.

A folder item has settled when the number of its files, their size and their newest time are the same
on two looks. So each look measures every folder that is an item, known ones too, as a file may be
added to them.
"""

import math
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.intake.admission import Admission
from stoker.intake.checksums import checksum_if_touched
from stoker.intake.complete import Completeness
from stoker.intake.fields import Fields
from stoker.intake.names import Names
from stoker.intake.notices import Notices
from stoker.intake.pending_notices import Told
from stoker.intake.pushed import Listing
from stoker.intake.seen_files import FolderLooks, Settling, now_us
from stoker.intake.settle import overdue_in_words
from stoker.intake.sources.source import Find, Over, Pace, Refusal
from stoker.model.pipeline import Pipeline
from stoker.model.source import Source as Declared
from stoker.store.arrivals import sources

if TYPE_CHECKING:
    from stoker.model.item import NewItem
    from stoker.store.unit import Store

EVERY_S = 5.0
_CHUNK = 500
_SHOWN = 5


class FoldersSource:
    """Follows the folders in a folder. Without `is_staying` they are looked at by a run."""

    kind = "folders"

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
        self._is_staying = is_staying
        self._listing = Listing(
            pipeline,
            project_folder=project_folder,
            refuse=lambda _message: None,
            priority=pipeline.priority,
        )
        self._names = Names(declared, checksum=None, project_folder=project_folder)
        self._fields = Fields(declared)
        self._completeness = Completeness(declared)
        self._admission = Admission(pipeline)
        self._looks = FolderLooks()
        self._pace = Pace(EVERY_S)
        notices = Notices(os.fsencode(self._root)) if is_staying else None
        self._told = Told(notices, self._names, by_folder=False)
        self._told.watch("")

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:  # noqa: ARG002 - nothing is kept
        """Yield the folders that are new, or hold something new, and are complete."""
        self._pace.begin()
        self._told.watch("")
        moved = self._moved()
        settling = Settling(
            self._looks,
            settle_s=self._declared.settle_s,
            trusts_clock=not self._is_staying,
        )
        self.trouble = None
        lacking: list[str] = []
        try:
            takes = self._names.chooser("")
            with os.scandir(self._root) as entries:
                names = [one.name for one in entries if one.is_dir() and takes(one.name)]
        except FileNotFoundError:
            self.trouble = f"there is no folder `{self._root}`; make it, or put its path right"
            names = []
        except OSError as error:
            self.trouble = f"`{self._root}` cannot be read: {error.strerror}"
            names = []
        for at in range(0, len(names), _CHUNK):
            yield from self._take(names[at : at + _CHUNK], moved, settling, lacking)
        settling.end()
        self.pending = len(self._looks)
        self.pending_for_s = None
        if self.pending:
            self.pending_for_s = max(0.0, (now_us() - self._looks.oldest_us()) / 1e6)
            if self.pending_for_s >= self._declared.overdue_s:
                self.trouble = "\n".join([overdue_in_words(self.pending_for_s), *lacking[:_SHOWN]])
            elif not self._is_staying and math.isinf(self._looks.due_us):
                self.pending = 0  # what is left lacks something that no waiting brings
                self.trouble = "\n".join(lacking[:_SHOWN])
        self._pace.end()

    def _moved(self) -> set[str]:
        """Return the names that folders came by through renames since the last look."""
        self._told.listen()
        return {name for _, _, names in self._told.take() for name in names}

    def _take(
        self, names: list[str], moved: set[str], settling: Settling, lacking: list[str]
    ) -> Generator[Find]:
        """Yield what of these is new and complete; `lacking` grows by what has settled and is not."""
        found: dict[str, NewItem] = {}
        for name in names:
            fields = self._fields.of(name)
            if fields is None:
                continue
            try:
                found[name] = self._listing.folder_at(f"{self._root}/{name}", meta=fields)
            except UserError as error:
                yield Refusal(message=str(error))
            except OSError:
                continue  # something in it went while it was measured: it has not settled
        source = sources.find_source(self._store, self._pipeline.name, self.name, kind=self.kind)
        keys = [item.key for item in found.values()]
        known = sources.fingerprints(self._store, source.pipeline_id, keys)
        for name, item in found.items():
            if known.get(item.key) == item.fingerprint:
                continue
            changed_ns = (item.mtime_us or 0) * 1000
            is_settled = settling.is_settled(name, item.fingerprint, changed_ns=changed_ns)
            if not (is_settled or name in moved):
                continue
            path = f"{self._root}/{name}"
            lack = self._completeness.lack(path) or self._names.unfinished_in(path)
            if lack is None and not self._is_as_seen(path, item):
                continue  # what completes it came after it was measured
            if lack is None:
                settling.forget(name)
                yield self._admission.admit(self._as_touched(item, known, source.pipeline_id), {})
            else:
                lacking.append(f"`{path}`: {lack}")

    def _is_as_seen(self, path: str, item: "NewItem") -> bool:
        """Whether the folder holds what it held when it was measured, if that was not all to know."""
        if not self._completeness.is_asked:
            return True
        try:
            return self._listing.folder_at(path, meta=item.meta).fingerprint == item.fingerprint
        except (UserError, OSError):
            return False

    def _as_touched(self, item: "NewItem", known: Mapping[str, str], pipeline_id: int) -> "NewItem":
        """Return the item with its checksum if it is known, and may only have been touched."""
        if item.key not in known or item.path is None:
            return item
        checksum = checksum_if_touched(self._store, pipeline_id, item, [item.path])
        return replace(item, checksum=checksum)

    def rest(self, over: Over) -> None:
        """Return when something may have settled, was renamed into place, or after a while."""
        while not over:
            now_s = time.monotonic()
            until_s = min(now_s + self._pace.rest_s(), self._looks.due_us / 1e6, self._told.due_s)
            if now_s >= until_s:
                return
            over.rest(until_s - now_s, *self._told.descriptors)
            self._told.listen()

    def close(self) -> None:
        """Let go of the kernel's notices, and of the process that reads headers."""
        self._told.close()
        self._admission.close()
