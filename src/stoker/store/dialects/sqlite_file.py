"""The file of an SQLite store: making it, opening it, and noticing that it was replaced or moved.

Only the verbs that make a store make its file. A connection to a file that was deleted would go on
writing into nothing, and one that is closed then would delete the `-wal` of whatever is at the path
by now; so every transaction looks whether the path still leads to the file that was opened.
"""

import ctypes
import os
import pwd
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stoker.errors import Refused, StoreGone
from stoker.rights import Rights

CHANGED = "the store was changed while it was read"


class Opened(sqlite3.Connection):
    """A connection that knows its `level`: how durable its commits are, by SQLite's word."""

    level = "FULL"


class Frozen(Opened):
    """A connection to a file that nobody has open, by an account that may not write beside it.

    SQLite would have to make the `-shm` file to read it in the usual way. It reads the bare file
    instead, which is right for as long as the file's `stamp` stays the same.
    """

    stamp: tuple[object, ...] = ()


class SqliteFile:
    """The file at `path`; which file that is gets remembered when it is opened first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, int] | None = None

    def make(self, rights: Rights) -> None:
        """There is a file, empty if it was missing, with these rights; so has its folder."""
        rights.make_folder(self.path.parent)
        rights.make_file(self.path)

    def exists(self) -> bool:
        """Whether there is a file; Refused where this account may not even look."""
        try:
            os.stat(self.path)
        except PermissionError:
            raise Refused(_private(self.path)) from None
        except OSError:
            return False
        return True

    def connect(self, timeout_s: float) -> sqlite3.Connection:
        """Return a connection to the file, which is never made; StoreGone if it is another by now."""
        self.check()
        if not os.access(self.path, os.R_OK):
            raise Refused(_private(self.path))
        stamp = self.stamp()
        is_frozen = not (os.access(self.path.parent, os.W_OK) or self._has_beside())
        access = "mode=ro&immutable=1" if is_frozen else "mode=rw"
        connection = sqlite3.connect(
            f"file:{quote(str(self.path))}?{access}",
            uri=True,
            timeout=timeout_s,
            check_same_thread=False,
            factory=Frozen if is_frozen else Opened,
        )
        if isinstance(connection, Frozen):
            connection.stamp = stamp
        return connection

    def _has_beside(self) -> bool:
        """Whether somebody has the store open, or left it without closing it."""
        return any(os.path.exists(f"{self.path}{end}") for end in ("-wal", "-shm"))

    def check(self) -> None:
        """StoreGone unless the path leads to the file that was opened first."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise Refused(_private(self.path)) from None
            raise StoreGone(
                f"the store `{self.path}` was moved or deleted; put it back, or begin again "
                "where it is now"
            ) from None
        identity = (found.st_dev, found.st_ino)
        if self._opened is None:
            self._opened = identity
        elif identity != self._opened:
            raise StoreGone(
                f"another file has taken the place of the store `{self.path}`; begin again to use it"
            )

    def stamp(self) -> tuple[object, ...]:
        """Return what changes when somebody opens or writes the file."""
        found = os.stat(self.path)
        return (found.st_ino, found.st_size, found.st_mtime_ns, self._has_beside())

    def check_frozen(self, connection: Any) -> None:
        """Raise SQLite's error if what the connection has read may be of two moments."""
        if isinstance(connection, Frozen) and connection.stamp != self.stamp():
            raise sqlite3.OperationalError(CHANGED)


def never_close(connection: Any) -> None:
    """The connection stays open until the process ends, also when Python takes itself apart.

    Closing it would delete the `-wal` file of the store that has taken the place of its own.
    """
    if connection is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def read_only(path: Path) -> str:
    """Return what to tell somebody who may read the store and not write it."""
    return (
        f"the store `{path}` can only be read by this account; ask {_owner(path)}, or let a group "
        'work on it with `[store] access = "group"`'
    )


def _private(path: Path) -> str:
    return (
        f"the store `{path}` is private to {_owner(path.parent)}: by default nobody else may read "
        'it; `[store] access = "group"` opens it to the group of the project\'s folder'
    )


def _owner(path: Path) -> str:
    """Return the name of whose file or folder it is, as far as this account may look."""
    try:
        uid = os.stat(path).st_uid
    except OSError:
        return "its owner"
    try:
        return f"`{pwd.getpwuid(uid).pw_name}`"
    except KeyError:
        return f"the account {uid}"
