"""Owns the way of one file from here to another host, or from there to here (rule P9).

The checksum is taken at the source. The content comes under a hidden name beside the target, which
has the checksum in it: what was broken off goes on there, and never with another file. It is read back
where it has arrived, and only then given its name, in place of nothing. The source stays.
"""

import errno
import hashlib
import os
from dataclasses import dataclass

from stoker.errors import Conflict, NotFound, Refused, Unavailable, UserError
from stoker.failpoints import hit
from stoker.model.encoding import Answer
from stoker.transfer import contents
from stoker.transfer.contents import Contents
from stoker.transfer.places import Place, absolute
from stoker.transfer.shell import Shell

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


def transfer(source: Place, target: Place, *, dry_run: bool = False) -> Transferred:
    """The file is at the target, read back there; return where, and what it holds.

    NotFound without a source, Conflict where the target has other content, Unavailable where it may be
    tried again, Refused where something may not be read or written.
    """
    if source.is_far == target.is_far:
        raise UserError("one of the two has to be on another host: `HOST:PATH`")
    if target.is_far:
        return _Sending(source, target, dry_run=dry_run).run()
    return _Fetching(source, target, dry_run=dry_run).run()


def limit_s(size_bytes: int) -> float:
    """Return how long a command may take that reads or copies so much."""
    return _ASK_S + size_bytes / _SLOWEST


def _part_name(name: str, sha256: str) -> str:
    """Return the hidden name of what is not whole yet; short, however long the file's own is."""
    own = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f"{_HIDDEN}{own[:8]}{sha256[:24]}.part"


_LOOK = """
case $target in "~/"*) target=$HOME/${target#"~/"};; esac
case $target in /*) ;; *) target=$(pwd -P)/$target;; esac
folder=${target%/*}; name=${target##*/}; [ -n "$folder" ] || folder=/
command -v rsync >/dev/null 2>&1 || { say lacks rsync; exit 0; }
if [ -e "$target" ] || [ -L "$target" ]; then
  if [ -d "$target" ]; then say kind folder
  elif [ -f "$target" ]; then say kind file; size "$target"; digest "$target"
  else say kind other; fi
else
  say kind none
  if [ "$make" = yes ]; then
    mkdir -p "$folder" || { say denied; exit 0; }
    [ -w "$folder" ] && [ -x "$folder" ] || say denied
  fi
fi
real=$(cd "$folder" 2>/dev/null && pwd -P) && folder=$real
printf '%s path ' "$word"; printf '%s/%s' "${folder%/}" "$name" | od -An -v -tx1 | tr -d ' \\n'; echo
"""

_FINISH = """
place() {
  wait
  if ln -T "$part" "$target" 2>/dev/null; then rm -f "$part"; say kind placed
  elif [ -e "$target" ] || [ -L "$target" ]; then say kind taken
  elif mv -n "$part" "$target" && [ ! -e "$part" ]; then say kind placed
  elif [ -e "$target" ] || [ -L "$target" ]; then say kind taken
  else say denied; fi
}
if [ ! -f "$part" ]; then say kind gone
else
  { sync "$part" 2>/dev/null || sync; } >/dev/null 2>&1 & # while it is read back
  size "$part"; digest "$part"
  if [ "$found" = "$sha256" ]; then place; else rm -f "$part"; say kind differs; fi
fi
"""


class _Sending:
    """From here to a host."""

    def __init__(self, source: Place, target: Place, *, dry_run: bool) -> None:
        self._source = absolute(source.path)
        self._target = target.inside(os.path.basename(self._source))
        self._shell = Shell(target)
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
        make = "no" if self._dry_run else "yes"
        said = self._shell.ask(
            _LOOK,
            {"target": self._target.path, "make": make},
            timeout_s=limit_s(wanted.size_bytes),
        )
        if "denied" in said:
            raise Refused(f"`{self._target.shown}` may not be written by this account")
        path = os.fsdecode(bytes.fromhex(said.get("path", "")))
        kind = said.get("kind", "other")
        if kind == "none":
            return path, False
        if kind == "file" and "unreadable" not in said:
            if (said.get("size"), said.get("sha256")) == (str(wanted.size_bytes), wanted.sha256):
                return path, True
            raise Conflict(f"`{self._shown(path)}` is there with other content; it stays")
        if kind == "folder":
            raise Conflict(
                f"`{self._shown(path)}` is a folder; end it with a slash to copy into it"
            )
        raise Conflict(f"`{self._shown(path)}` is there, and not a file that can be read; it stays")

    def _send(self, wanted: Contents, path: str) -> None:
        folder, _, name = path.rpartition("/")
        part = f"{folder}/{_part_name(name, wanted.sha256)}"
        longest_s = limit_s(wanted.size_bytes)
        self._shell.rsync(self._source, self._shell.word(part), timeout_s=longest_s)
        hit("transfer.sent")
        names = {"part": part, "target": path, "sha256": wanted.sha256}
        said = self._shell.ask(_FINISH, names, timeout_s=longest_s)
        kind = said.get("kind")
        if kind == "placed":
            return
        if "denied" in said:
            raise Refused(f"`{self._shown(path)}` may not be written by this account")
        if kind == "taken":
            _, is_there = self._look(wanted)
            if is_there:
                return
        raise Unavailable(
            f"`{self._shown(path)}` did not arrive as it was sent, and what came was deleted; try again"
        )


_ASK = """
case $source in "~/"*) source=$HOME/${source#"~/"};; esac
case $source in /*) ;; *) source=$(pwd -P)/$source;; esac
command -v rsync >/dev/null 2>&1 || { say lacks rsync; exit 0; }
if [ ! -e "$source" ]; then say kind none
elif [ -d "$source" ]; then say kind folder
elif [ ! -f "$source" ]; then say kind other
else say kind file; size "$source"; digest "$source"; fi
"""


class _Fetching:
    """From a host to here."""

    def __init__(self, source: Place, target: Place, *, dry_run: bool) -> None:
        self._source = source
        self._target = absolute(target.inside(source.path.rpartition("/")[2]).path)
        self._shell = Shell(source)
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
        said = self._shell.ask(_ASK, {"source": self._source.path}, timeout_s=24 * 3600.0)
        shown = self._source.shown
        match said.get("kind"):
            case "none":
                raise NotFound(f"there is no file `{shown}`")
            case "folder":
                raise UserError(f"`{shown}` is a folder; pack it first")
            case "file" if "unreadable" not in said:
                size, sha256 = said.get("size", ""), said.get("sha256", "")
                if size.isdecimal() and len(sha256) == 64:
                    return Contents(int(size), sha256)
                raise Unavailable(f"`{shown}`: the host's answer makes no sense; try again")
            case "file":
                raise Refused(f"`{shown}` may not be read by this account")
            case _:
                pass
        raise UserError(f"`{shown}` is not a file")

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
        there = self._shell.word(self._source.path)
        self._shell.rsync(there, part, timeout_s=limit_s(wanted.size_bytes))
        hit("transfer.sent")
        if contents.read(part) != wanted:
            os.unlink(part)
            raise Unavailable(
                f"`{self._source.shown}` did not arrive as it was there, or changed meanwhile; what "
                "came was deleted; try again"
            )
