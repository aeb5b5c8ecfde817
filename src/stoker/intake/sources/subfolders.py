"""A folder as a source of folders: each one directly in it is an item, with all that it holds.

A folder item has settled when the number of its files, their size and their newest time are the same
on two looks. So each look measures every folder that is an item, known ones too, as a file may be
added to them.
"""

import os
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.intake.checksums import checksum_if_touched
from stoker.intake.fields import Fields
from stoker.intake.seen_files import FolderLooks, Settling
from stoker.intake.sources.followed_folder import FollowedFolder
from stoker.intake.sources.source import Find, Over, Pace, Refusal, Standing
from stoker.store.arrivals import sources

if TYPE_CHECKING:
    from stoker.model.item import NewItem

EVERY_S = 5.0
_CHUNK = 500


class FoldersSource:
    """Follows the folders in a folder."""

    kind = "folders"

    def __init__(self, folder: FollowedFolder) -> None:
        self.name = folder.declared.name
        self.standing = Standing()
        self._folder = folder
        self._fields = Fields(folder.declared)
        self._looks = FolderLooks()
        self._pace = Pace(EVERY_S)
        self._folder.notices.watch("")

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:  # noqa: ARG002 - nothing is kept
        """Yield the folders that are new, or hold something new, and are complete."""
        self._pace.begin()
        self._folder.notices.watch("")
        moved = self._moved()
        settling = Settling(
            self._looks,
            settle_s=self._folder.declared.settle_s,
            trusts_clock=not self._folder.is_staying,
        )
        self.standing = replace(self.standing, trouble=None)
        lacking: list[str] = []
        names, trouble = self._names_in_it()
        for at in range(0, len(names), _CHUNK):
            yield from self._take(names[at : at + _CHUNK], moved, settling, lacking)
        settling.end()
        troubles = [] if trouble is None else [trouble]
        self.standing = self._folder.standing([self._looks], troubles, lacking)
        self._pace.end()

    def _names_in_it(self) -> tuple[list[str], str | None]:
        """Return the names of the folders that may be items, and why they cannot be read, if so."""
        root = self._folder.root
        takes = self._folder.names.chooser("")
        try:
            with os.scandir(root) as entries:
                return [one.name for one in entries if one.is_dir() and takes(one.name)], None
        except FileNotFoundError:
            return [], f"there is no folder `{root}`; make it, or put its path right"
        except OSError as error:
            return [], f"`{root}` cannot be read: {error.strerror}"

    def _moved(self) -> set[str]:
        """Return the names that folders came by through renames since the last look."""
        self._folder.notices.listen()
        return {name for _, _, names in self._folder.notices.take() for name in names}

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
                found[name] = self._folder.listing.folder_at(
                    f"{self._folder.root}/{name}", meta=fields
                )
            except UserError as error:
                yield Refusal(message=str(error))
            except OSError:
                continue  # something in it went while it was measured: it has not settled
        source = sources.find_source(
            self._folder.store, self._folder.pipeline.name, self.name, kind=self.kind
        )
        keys = [item.key for item in found.values()]
        known = sources.fingerprints(self._folder.store, source.pipeline_id, keys)
        for name, item in found.items():
            if known.get(item.key) == item.fingerprint:
                continue
            changed_ns = (item.mtime_us or 0) * 1000
            is_settled = settling.is_settled(name, item.fingerprint, changed_ns=changed_ns)
            if not (is_settled or name in moved):
                continue
            path = f"{self._folder.root}/{name}"
            lack = self._folder.completeness.lack(path) or self._folder.names.unfinished_in(path)
            if lack is None and not self._is_as_seen(path, item):
                continue  # what completes it came after it was measured
            if lack is None:
                settling.forget(name)
                yield self._folder.admission.admit(
                    self._as_touched(item, known, source.pipeline_id), {}
                )
            else:
                lacking.append(f"`{path}`: {lack}")

    def _is_as_seen(self, path: str, item: "NewItem") -> bool:
        """Whether the folder holds what it held when it was measured, if that was not all to know."""
        if not self._folder.completeness.is_asked:
            return True
        try:
            return (
                self._folder.listing.folder_at(path, meta=item.meta).fingerprint == item.fingerprint
            )
        except (UserError, OSError):
            return False

    def _as_touched(self, item: "NewItem", known: Mapping[str, str], pipeline_id: int) -> "NewItem":
        """Return the item with its checksum if it is known, and may only have been touched."""
        if item.key not in known or item.path is None:
            return item
        checksum = checksum_if_touched(self._folder.store, pipeline_id, item, [item.path])
        return replace(item, checksum=checksum)

    def rest(self, over: Over) -> None:
        """Return when something may have settled, was renamed into place, or after a while."""
        while not over:
            now_s = time.monotonic()
            until_s = min(
                now_s + self._pace.rest_s(), self._looks.due_us / 1e6, self._folder.notices.due_s
            )
            if now_s >= until_s:
                return
            over.rest(until_s - now_s, *self._folder.notices.descriptors)
            self._folder.notices.listen()

    def close(self) -> None:
        """Let go of the kernel's notices, and of the process that reads headers."""
        self._folder.close()
