"""Paths as the file writes them, made absolute."""

import os
from pathlib import Path


def absolute(path: str, folder: str) -> str:
    """Return `path` relative to `folder`, with `~` expanded, without `.` and `..`."""
    home = os.path.expanduser(path)
    return os.path.normpath(os.path.join(folder, home))


def absolute_file(file: Path) -> Path:
    """Return `file` from the root, links left as they are."""
    return Path(os.path.normpath(file.absolute()))


def holds(folder: str, other: str) -> bool:
    """Whether `other` is somewhere in `folder`; both are absolute, and a folder does not hold itself."""
    return folder != other and other.startswith(folder.rstrip("/") + "/")
