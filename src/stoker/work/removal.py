"""Owns the removal of published files and folders that are still as they were published.

What somebody changed, or put there, stays.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress

from stoker.model.task import Content
from stoker.work.measure import NotPlain, digest, measure, part_at, parts_in, split
from stoker.work.permit import Permit, no_limit


def look(path: str, content: Content, permit: Permit = no_limit) -> Callable[[], str | None]:
    """Return what removes all that is at `path` and belongs to `content`, as it looks now.

    Everything is read here, which may take long; removing then takes little. That returns what stays,
    or None. What changes in between stays, too, and so does what cannot be read.
    """
    try:
        return _look(path, content, permit)
    except FileNotFoundError:
        return lambda: None if not os.path.lexists(path) else path
    except OSError:
        return lambda: path


def _look(path: str, content: Content, permit: Permit) -> Callable[[], str | None]:
    top = part_at(path)
    if not stat.S_ISDIR(top.found.st_mode):
        is_same = stat.S_ISREG(top.found.st_mode) and measure(path, permit) == content
        return lambda: _remove_file(path, top.stamp) if is_same else path
    known = frozenset(split(content.parts or b""))
    inside = parts_in(path, permit)
    same = []
    for part in inside:
        with suppress(NotPlain):
            if digest(part, permit) in known:
                same.append(part)

    def remove() -> str | None:
        for part in reversed(same):  # what is in a folder comes after it
            if stat.S_ISDIR(part.found.st_mode):
                with suppress(OSError):  # not empty
                    os.rmdir(part.path)
            else:
                _remove_file(part.path, part.stamp, name=part.name)
        with suppress(OSError):
            os.rmdir(path)
        with suppress(FileNotFoundError):
            left = parts_in(path, no_limit)
            return next((part.path for part in left if part not in same), path)
        return None

    return remove


def _remove_file(path: str, stamp: object, *, name: bytes = b"") -> str | None:
    """Remove a file that still looks like this; return its path if it stays."""
    with suppress(FileNotFoundError):
        if part_at(path, name).stamp != stamp:
            return path
        try:
            os.unlink(path)
        except OSError:
            return path
    return None
