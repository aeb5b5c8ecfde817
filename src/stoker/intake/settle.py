"""One look at a file: what can be seen of it without reading it."""

import os
from typing import NamedTuple


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
