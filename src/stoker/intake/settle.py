"""One look at a file: what can be seen of it without reading it."""

import os
from typing import NamedTuple


def overdue_in_words(pending_for_s: float) -> str:
    """Return the words for something that has been incomplete for longer than `overdue`."""
    for unit, size_s in (("hours", 3600.0), ("minutes", 60.0)):
        if pending_for_s >= size_s:
            return f"something has been incomplete for {pending_for_s / size_s:.1f} {unit}"
    return f"something has been incomplete for {pending_for_s:.0f} seconds"


class Look(NamedTuple):
    """What one look at a file found; equal looks mean that nothing happened in between."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def look(path: str) -> Look | None:
    """Return what is seen of the file now; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
