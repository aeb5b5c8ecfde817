"""Owns the way of one file from here to another host, or from there to here (rule P9).

The checksum is taken at the source. The content comes under a hidden name beside the target, which
has the checksum in it: what was broken off goes on there, and never with another file. It is read back
where it has arrived, and only then given its name, in place of nothing. The source stays.
"""

import errno
import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass

from stoker.errors import Conflict, NotFound, Refused, Unavailable, UserError
from stoker.failpoints import hit
from stoker.model.encoding import Answer
from stoker.transfer import contents
from stoker.transfer.contents import Contents, Seen
from stoker.transfer.far import FarEnd
from stoker.transfer.places import Place, absolute

_ASK_S = 120.0
_SLOWEST = 1024 * 1024  # bytes a second; what is slower than this has come to a stop
_HIDDEN = ".stoker-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred(Answer):
    """A file that has arrived: on which host, at which absolute path, and what it holds.

    `is_new`: it was not there before.
    """

    host: str
    path: str
    size_bytes: int
    sha256: str
    is_new: bool

    @property
    def values(self) -> dict[str, object]:
        """What a step leaves for the next."""
        return {
            "host": self.host,
            "path": self.path,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
        }


def transfer(
    source: Place, target: Place, *, dry_run: bool = False, far: FarEnd | None = None
) -> Transferred:
    """The file is at the target, read back there; return where, and what it holds.

    NotFound without a source, Conflict where the target has other content, Unavailable where it may be
    tried again, Refused where something may not be read or written. `far`: the other host, if it is in use.
    """
    if source.is_far == target.is_far:
        raise UserError("one of the two has to be on another host: `HOST:PATH`")
    with ExitStack() as own:
        if far is None:
            far = own.enter_context(FarEnd(target if target.is_far else source))
        kind = _Sending if target.is_far else _Fetching
        return kind(source, target, far, dry_run=dry_run).run()


def limit_s(size_bytes: int) -> float:
    """Return how long a command may take that reads or copies so much."""
    return _ASK_S + size_bytes / _SLOWEST


def _part_name(name: str, sha256: str) -> str:
    """Return the hidden name of what is not whole yet; short, however long the file's own is."""
    own = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f"{_HIDDEN}{own[:8]}{sha256[:24]}.part"


class _Sending:
    """From here to a host."""

    def __init__(self, source: Place, target: Place, far: FarEnd, *, dry_run: bool) -> None:
        self._source = absolute(source.path)
        self._target = target.inside(os.path.basename(self._source))
        self._far = far
        self._dry_run = dry_run

    def run(self) -> Transferred:
        """Return what has arrived."""
        before = self._stamp()
        wanted = contents.read(self._source)
        path, is_there = self._look(wanted)
        if not (is_there or self._dry_run):
            self._send(wanted, path)
            if self._stamp() != before:
                raise Conflict(
                    f"`{self._source}` changed while it was copied; `{self._shown(path)}` has it as "
                    "it was before"
                )
        return Transferred(
            host=self._target.name,
            path=path,
            size_bytes=wanted.size_bytes,
            sha256=wanted.sha256,
            is_new=not is_there,
        )

    def _stamp(self) -> tuple[int, ...]:
        try:
            return contents.stamp(self._source)
        except FileNotFoundError:
            raise NotFound(f"there is no file `{self._source}`") from None
        except OSError as error:
            raise Refused(f"`{self._source}` cannot be looked at: {error.strerror}") from None

    def _shown(self, path: str) -> str:
        return f"{self._target.name}:{path}"

    def _look(self, wanted: Contents) -> tuple[str, bool]:
        """Return the absolute path there, and whether it has the content already."""
        seen = self._far.look(
            self._target.path,
            make=not self._dry_run,
            read=True,
            timeout_s=limit_s(wanted.size_bytes),
        )
        shown = self._shown(seen.path)
        match seen.kind:
            case "none":
                return seen.path, False
            case "denied":
                raise Refused(f"`{self._target.shown}` may not be written by this account")
            case "file" if seen.holds == wanted:
                return seen.path, True
            case "file" if seen.holds is not None:
                raise Conflict(f"`{shown}` is there with other content; it stays")
            case "folder":
                raise Conflict(f"`{shown}` is a folder; end it with a slash to copy into it")
            case _:
                pass
        raise Conflict(f"`{shown}` is there, and not a file that can be read; it stays")

    def _send(self, wanted: Contents, path: str) -> None:
        folder, _, name = path.rpartition("/")
        part = f"{folder}/{_part_name(name, wanted.sha256)}"
        longest_s = limit_s(wanted.size_bytes)
        try:
            self._far.put(self._source, part, timeout_s=longest_s)
        except OSError as error:
            raise Unavailable(f"`{self._source}` cannot be read: {error.strerror}") from None
        hit("transfer.sent")
        kind = self._far.finish(part, path, wanted.sha256, timeout_s=longest_s)
        if kind == "placed":
            return
        if kind == "denied":
            raise Refused(f"`{self._shown(path)}` may not be written by this account")
        if kind == "taken":
            _, is_there = self._look(wanted)
            if is_there:
                return
        raise Unavailable(
            f"`{self._shown(path)}` did not arrive as it was sent, and what came was deleted; try again"
        )


class _Fetching:
    """From a host to here."""

    def __init__(self, source: Place, target: Place, far: FarEnd, *, dry_run: bool) -> None:
        self._source = source
        self._target = absolute(target.inside(source.path.rpartition("/")[2]).path)
        self._far = far
        self._dry_run = dry_run

    def run(self) -> Transferred:
        """Return what has arrived."""
        wanted = self._ask()
        is_there = self._is_there(wanted)
        if not (is_there or self._dry_run):
            self._fetch(wanted)
        return Transferred(
            host=os.uname().nodename,
            path=self._target,
            size_bytes=wanted.size_bytes,
            sha256=wanted.sha256,
            is_new=not is_there,
        )

    def _ask(self) -> Contents:
        """Return what the source holds."""
        seen = self._look(size_bytes=0, read=False)
        if seen.kind == "file":
            seen = self._look(size_bytes=seen.size_bytes, read=True)
        shown = self._source.shown
        match seen.kind:
            case "none":
                raise NotFound(f"there is no file `{shown}`")
            case "folder":
                raise UserError(f"`{shown}` is a folder; pack it first")
            case "file" if seen.holds is not None:
                return seen.holds
            case "file":
                raise Refused(f"`{shown}` may not be read by this account")
            case _:
                raise UserError(f"`{shown}` is not a file")

    def _look(self, *, size_bytes: int, read: bool) -> Seen:
        path = self._source.path
        return self._far.look(path, make=False, read=read, timeout_s=limit_s(size_bytes))

    def _is_there(self, wanted: Contents) -> bool:
        target = self._target
        if not os.path.lexists(target):
            return False
        if os.path.isdir(target):
            raise Conflict(f"`{target}` is a folder; end it with a slash to copy into it")
        if not os.path.isfile(target) or contents.read(target) != wanted:
            raise Conflict(f"`{target}` is there with other content; it stays")
        return True

    def _fetch(self, wanted: Contents) -> None:
        folder, name = os.path.split(self._target)
        part = os.path.join(folder, _part_name(name, wanted.sha256))
        try:
            os.makedirs(folder, exist_ok=True)
            self._receive(wanted, part)
            contents.name_new(part, self._target)
        except FileExistsError:
            if not self._is_there(wanted):
                raise Unavailable(f"`{self._target}` came and went; try again") from None
            os.unlink(part)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise Refused(f"`{self._target}` may not be written by this account") from None
            raise Unavailable(f"`{self._target}` cannot be written: {error.strerror}") from None

    def _receive(self, wanted: Contents, part: str) -> None:
        self._far.get(self._source.path, part, timeout_s=limit_s(wanted.size_bytes))
        hit("transfer.sent")
        if contents.read(part) != wanted:
            os.unlink(part)
            raise Unavailable(
                f"`{self._source.shown}` did not arrive as it was there, or changed meanwhile; what "
                "came was deleted; try again"
            )
