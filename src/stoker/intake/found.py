"""What is found at a path that somebody named: its kind, its size and time, or why it cannot be used."""

import os
import stat
from typing import NamedTuple

from stoker.errors import UserError
from stoker.model.file_kinds import kind_of
from stoker.store.actor import account_name

_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999


def found_at(path: str) -> os.stat_result:
    """Return what is at `path`, a link followed; UserError if nothing is."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise UserError(f"`{path}` is a link to nothing; repair or remove it") from None
        is_whole = path.startswith("/")
        here = "" if is_whole else f"; paths are relative to where you are, `{os.getcwd()}`"
        raise UserError(f"`{path}` is not there{here}") from None


def check_is_file(path: str) -> None:
    """Raise UserError if something else than a file is there: a named pipe is never opened."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise UserError(
            f"`{path}` is not a file, but {kind_of(mode)}; put a file there, or another path"
        )


def check_rights(path: str, *, is_folder: bool = False) -> None:
    """Raise UserError if we may not read what is there."""
    if not os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK):
        raise UserError(f"`{path}` cannot be read by `{account_name()}`; check its rights")


def moment(mtime_ns: int) -> int:
    """Return microseconds of a year that a calendar has: times of files can be set to anything."""
    return max(_FIRST_US, min(mtime_ns // 1000, _LAST_US))


class Measured(NamedTuple):
    """Total size, newest modification and number of the files in a folder."""

    size_bytes: int
    mtime_ns: int
    files: int

    @property
    def content(self) -> str:
        """What distinguishes this content of a folder from another."""
        return f"{self.size_bytes}:{self.mtime_ns}:{self.files}"


def measure_folder(path: str) -> Measured:
    """Return how much there is in a folder. OSError if something goes meanwhile."""
    total, newest, files = 0, os.stat(path).st_mtime_ns, 0
    for folder, _, names in os.walk(path):
        for name in names:
            found = os.lstat(os.path.join(folder, name))
            total += found.st_size
            newest = max(newest, found.st_mtime_ns)
            files += 1
    return Measured(total, newest, files)
