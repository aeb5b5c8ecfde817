"""Who holds the write lock of an SQLite store, as the kernel lists it; nothing is opened or touched.

Opening a file that SQLite has locked, and closing it again, would drop the locks of the process.
"""

import os
from pathlib import Path

_WRITE_LOCK = (
    120  # the byte of the `-shm` file that a writer locks (SQLite, "WAL-mode File Format")
)
_STOPPED = ("T", "t")


def write_lock_holder(database: Path) -> int | None:
    """Return the process that is writing just now; None if none is, or if it cannot be found out."""
    try:
        found = os.stat(f"{database}-shm")
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for fields in (line.split() for line in lines):
        kind, pid, where, first, last = fields[3], *fields[-4:]
        if fields[1] == "->" or kind != "WRITE" or where != place:
            continue
        if int(first) <= _WRITE_LOCK and (last == "EOF" or int(last) >= _WRITE_LOCK):
            return int(pid)
    return None


def stopped_holder(database: Path) -> str | None:
    """Return what keeps everybody from writing if it will not end by itself: a stopped process."""
    pid = write_lock_holder(database)
    if pid is None or _state(pid) not in _STOPPED:
        return None
    return (
        f"process {pid} (`{_name(pid)}`) has locked the store and is stopped: `kill -CONT {pid}` lets "
        f"it go on, `kill -9 {pid}` ends it, and loses nothing that was recorded"
    )


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (OSError, UnicodeDecodeError):
        return ""


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return "?"
