"""Owns whether the code that a process has loaded was changed since, by the files' dates."""

import os
from collections.abc import Iterator

_MOST = 2000  # files of one folder that are looked at
_M_FOLDERS = ("private", "@", "+")  # that hold functions of a folder, by their beginning

Stamp = tuple[int, int, int]


class CodeFiles:
    """Files with code, as they were when they were added."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, str], dict[str, Stamp | None]] = {}
        self._files: dict[str, Stamp | None] = {}

    def add_file(self, path: str) -> None:
        """The file is watched from now on."""
        self._files.setdefault(path, _stamp(path))

    def add_folder(self, folder: str, suffix: str) -> None:
        """The files in the folder whose names end so, in small letters or capitals, are watched."""
        if (folder, suffix) not in self._folders:
            self._folders[folder, suffix] = _seen(folder, suffix)

    def are_changed(self) -> bool:
        """Whether any was changed, added or removed."""
        return any(_stamp(path) != seen for path, seen in self._files.items()) or any(
            _seen(*where) != seen for where, seen in self._folders.items()
        )


def _seen(folder: str, suffix: str) -> dict[str, Stamp | None]:
    found: dict[str, Stamp | None] = {}
    for path in _listed(folder, suffix):
        if len(found) >= _MOST:
            break
        found[path] = _stamp(path)
    return found


def _listed(folder: str, suffix: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in listed:
        if entry.name.lower().endswith(suffix):
            yield entry.path
        elif suffix == ".m" and entry.name.startswith(_M_FOLDERS) and entry.is_dir():
            yield from _listed(entry.path, suffix)


def _stamp(path: str) -> Stamp | None:
    """Return what changes with a file's content; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
