"""The folder of a spool: made for one account, serving one store, visited by one at a time, and tidy."""

import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any

from stoker.errors import Refused, Unavailable, UserError
from stoker.outpost import sealed
from stoker.outpost.sealed import Broken

LAYOUT = 1
FOLDERS = (
    "versions", "members", "todo", "taken", "runs", "done", "back", "stop", "starts", "pilots", "bad", "orphans",
    "logs",
)  # fmt: skip
_STALE_S = 3600.0  # since what a worker writes is a left-over, if it is not whole
_KEEP_S = 30 * 86400.0


class UnderWay(Unavailable):
    """Somebody visits the outpost just now. Nothing is wrong with it."""


class Ground:
    """The spool in a folder, which has to be there: `make` makes one."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    # ------------------------------------------------------------------------------------- its making

    def make(self) -> None:
        """The spool is there, for this account alone. UserError or Refused if it cannot be used."""
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            self._check_owner()
            for name in FOLDERS:
                with suppress(FileExistsError):
                    os.mkdir(self.at(name), 0o700)
            if not os.path.lexists(self.at("outpost.json")):
                sealed.write(self.at("outpost.json"), {"uid": token_hex(16), "layout": LAYOUT})
        except OSError as error:
            raise UserError(
                f"the spool `{self.folder}` cannot be made: {error.strerror}; set `folder` to one "
                "that this account can write"
            ) from None
        self.check()

    def check(self) -> None:
        """Refused or UserError if this is no spool that this release can use."""
        self._check_owner()
        try:
            found = sealed.read(self.at("outpost.json"))
            layout, uid = found["layout"], found["uid"]
        except FileNotFoundError:
            raise UserError(f"`{self.folder}` is no spool of Stoker") from None
        except (Broken, LookupError, TypeError) as error:
            raise UserError(f"`{self.at('outpost.json')}` is damaged: {error}") from None
        if layout != LAYOUT or not isinstance(uid, str):
            raise Refused(
                f"the spool `{self.folder}` has layout {layout}, and this release knows {LAYOUT}; "
                "use the release of Stoker there that made it"
            )
        self.uid = uid

    def _check_owner(self) -> None:
        try:
            found = os.lstat(self.folder)
        except FileNotFoundError:
            raise UserError(f"`{self.folder}` is no spool of Stoker") from None
        if not stat.S_ISDIR(found.st_mode):
            raise UserError(f"`{self.folder}` is not a folder")
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise Refused(
                f"`{self.folder}` belongs to, or may be written by, another account, which could run "
                "commands as this one; take it over with `chown` and `chmod 700`"
            )

    def at(self, *names: str) -> str:
        """Return a path in the spool."""
        return os.path.join(self.folder, *names)

    def guard(self, store: str, epoch: int) -> None:
        """The spool serves this store; Refused if it serves another, or a later state of this one."""
        path = self.at("served.json")
        try:
            served = sealed.read(path)
        except FileNotFoundError:
            served = None
        except Broken as error:
            raise Refused(
                f"`{path}` is damaged, so that nobody knows whose this outpost is: {error}; delete "
                "it if no other store uses it"
            ) from None
        if served is not None:
            if served.get("store") != store:
                raise Refused(
                    f"the outpost `{os.path.dirname(self.folder)}` serves another store, or this one "
                    "is a copy; give this project a `folder` of its own, or, if that store is gone "
                    f"for good, delete `{self.folder}` there"
                )
            if served.get("epoch", 0) > epoch:
                raise Refused(
                    f"the outpost `{os.path.dirname(self.folder)}` serves a later state of this "
                    "store, which is an old backup then; put the newest one back, or, if this one "
                    f"is to count, delete `{self.folder}` there"
                )
            if served.get("epoch") == epoch:
                return
        sealed.write(path, {"store": store, "epoch": epoch})

    def tidy(self) -> None:
        """What is left of visits that broke off, and what is old, is gone. For the one visit there is."""
        for folder in ("", "todo", "versions"):  # which visits alone write into
            self._remove_older(folder, 0.0, only=sealed.HIDDEN)
        self._remove_older("starts", _STALE_S, only=sealed.HIDDEN)
        self._remove_older("bad", _KEEP_S)
        self._remove_older("orphans", _KEEP_S)
        self._remove_older("logs", _KEEP_S)

    def _remove_older(self, folder: str, age_s: float, *, only: str = "") -> None:
        """Remove files by their age."""
        now_s = self.now_s()
        for name in os.listdir(self.at(folder)):
            path = self.at(folder, name)
            with suppress(FileNotFoundError):
                if name.startswith(only) and now_s - os.lstat(path).st_mtime >= age_s:
                    remove(path)

    def now_s(self) -> float:
        """When the visit began, by the file system's own clock if it has one."""
        return os.stat(self.at("visit.lock")).st_mtime

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else visits meanwhile; Unavailable if somebody does."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.at("visit.lock"), flags, 0o600)
        except OSError as error:
            raise Unavailable(
                f"the spool `{self.folder}` cannot be written: {error.strerror}"
            ) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
                raise UnderWay(f"another visit is under way ({held or 'just begun'})") from None
            who = (
                f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%FT%T')}\n"
            )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, who.encode(), 0)
            yield
        finally:
            os.close(descriptor)


def remove(path: str) -> None:
    """Nothing is at the path any more, be it a file or, by mistake, a folder."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        from stoker.work.scratch import wipe

        wipe(path)


def as_line(value: Any) -> bytes:
    """Return a value as one line of JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"
