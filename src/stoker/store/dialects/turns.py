"""Turns at SQLite's one write lock, across threads and processes.

SQLite gives the lock to the process that asks at the right moment, and a program that writes one transaction
after the other leaves only microseconds between them: measured, a heartbeat waited 12 s while a
person's `rerun` went through 60,000 tasks. So a process that waits says so, by a shared lock on the folder
of the file, and one that has held SQLite's lock for long lets those that wait go first.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONG_S = 0.01  # a process that held the lock for longer lets others go first
GIVE_WAY_S = 0.1  # but waits no longer for them than this
POLL_S = 0.002  # between two looks, of those who wait as of those who give way


def begin(cursor: sqlite3.Cursor, folder: Path, *, limit_s: float) -> None:
    """Begin a transaction that holds the write lock; wait for it in turn, at most `limit_s`."""
    busy_ms = int(cursor.execute("PRAGMA busy_timeout").fetchone()[0])
    cursor.execute("PRAGMA busy_timeout = 0")
    try:
        if _is_begun(cursor):
            return
        until_s = time.monotonic() + limit_s
        with _waiting(folder):
            while not _is_begun(cursor, is_last=time.monotonic() >= until_s):
                time.sleep(POLL_S)
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {busy_ms}")


def give_way(folder: Path) -> None:
    """Those that wait for the lock have had it, or have had time enough to take it."""
    descriptor = _open(folder)
    if descriptor is None:
        return
    until_s = time.monotonic() + GIVE_WAY_S
    try:
        while _is_awaited(descriptor) and time.monotonic() < until_s:
            time.sleep(POLL_S)
    finally:
        os.close(descriptor)


def _is_begun(cursor: sqlite3.Cursor, *, is_last: bool = False) -> bool:
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if is_last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


@contextmanager
def _waiting(folder: Path) -> Iterator[None]:
    """Others see that somebody waits."""
    descriptor = _open(folder)
    try:
        if descriptor is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_awaited(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _open(folder: Path) -> int | None:
    """Return the folder for a lock on it; None where this account may not read it: no turns then."""
    with suppress(OSError):
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return None
