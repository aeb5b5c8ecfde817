"""Checksums of what was taken, so that a file that is only touched is told from a changed one.

Files are read one after another, long after they were taken, and for a tenth of the time at most: what
reads them to work on them comes first. Until then a new time counts as a change.
"""

import os
import time
from typing import TYPE_CHECKING

import xxhash

from stoker.errors import Unavailable
from stoker.store import sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.intake.source import Over
    from stoker.store.unit import Store

IDLE_S = 30.0  # between looks for items that have no checksum
_SHARE = 9  # times as long as reading took, nothing is read
_BLOCK = 1 << 20


def checksum_of(path: str, over: "Over | None" = None) -> str | None:
    """Return the checksum of a file's content; None if the end came before. OSError if unreadable."""
    made = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            made.update(block)
            if over:
                return None
    return f"xxh3:{made.hexdigest()}"


class Contents:
    """Reads the files of these pipelines' items; `follow` is one thread's work until the end."""

    def __init__(self, store: "Store", pipelines: "Sequence[str]") -> None:
        self._store = store
        self._last = dict.fromkeys(pipelines, 0)

    def follow(self, over: "Over") -> None:
        """Read what has no checksum, until the end has come. A store that is away is waited for."""
        while not over:
            try:
                read = [self._read_some(name, over) for name in self._last]
            except Unavailable:
                read = []
            if not any(read):
                over.rest(IDLE_S)

    def _read_some(self, pipeline: str, over: "Over") -> bool:
        """Read some more files; return whether there were any."""
        found = sources.unread(self._store, pipeline, after=self._last[pipeline])
        self._last[pipeline] = found[-1].id if found else 0
        read = []
        for one in found:
            began_s = time.monotonic()
            checksum = _if_unchanged(one, over)
            if checksum is not None:
                read.append((one, checksum))
            over.rest(_SHARE * (time.monotonic() - began_s))
            if over:
                break
        if read:
            sources.note_checksums(self._store, read)
        return bool(found)


def _if_unchanged(one: sources.Unread, over: "Over") -> str | None:
    """Return the checksum of what was taken; None if something else is there by now."""
    try:
        if not _is_as_taken(one):
            return None
        checksum = checksum_of(one.path, over)
        return checksum if _is_as_taken(one) else None
    except OSError:
        return None


def _is_as_taken(one: sources.Unread) -> bool:
    found = os.stat(one.path)
    mark = f"{found.st_size}:{found.st_mtime_ns}"
    return one.fingerprint == mark or one.fingerprint.startswith(f"{mark}:")
