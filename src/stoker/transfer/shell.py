"""Owns the commands on the other host: rsync, and short scripts for its `sh`.

Names never stand on a command line there: the script comes on standard input, with every name in
single quotes. Its answer is separated from what a login prints by a word that nobody else knows.
"""

import os
import secrets
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from stoker.errors import StokerError, Unavailable, UserError
from stoker.transfer.contents import Contents, Seen
from stoker.transfer.places import absolute
from stoker.transfer.ssh import Connection, failure

_OF_SSH = 255  # its exit status if it is an error of its own
_ENDS = frozenset({"end", "lacks"})
_SOME_MISSED = 23, 24  # exit statuses of rsync: it has copied the others

# A checksum with what the host has: openssl, which is three times as fast as the others where the
# processor helps it, if it knows the checksum of nothing; coreutils, perl, BSD.
_SUM = """
nothing=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
quick=no; case $(openssl dgst -sha256 -r </dev/null 2>/dev/null) in $nothing*) quick=yes;; esac
sum() {
  if [ $quick = yes ]; then openssl dgst -sha256 -r < "$1"
  elif command -v sha256sum >/dev/null 2>&1; then sha256sum < "$1"
  elif command -v shasum >/dev/null 2>&1; then shasum -a 256 < "$1"
  else sha256 < "$1"
  fi
}
for one in sha256sum shasum sha256 none; do command -v $one >/dev/null 2>&1 && break; done
[ $quick = yes ] || [ $one != none ] || { say lacks sha256sum; exit 0; }
digest() { found=$(sum "$1") || found=; found=${found%% *}; say sha256 "$found"; }
size() { found=$(wc -c < "$1") || found=; say size $found; }
"""


_LOOK = """
case $target in "~/"*) target=$HOME/${target#"~/"};; esac
case $target in /*) ;; *) target=$(pwd -P)/$target;; esac
folder=${target%/*}; name=${target##*/}; [ -n "$folder" ] || folder=/
command -v rsync >/dev/null 2>&1 && say rsync
if [ -e "$target" ] || [ -L "$target" ]; then
  if [ -d "$target" ]; then say kind folder
  elif [ -f "$target" ]; then say kind file; size "$target"; [ "$read" = no ] || digest "$target"
  else say kind other; fi
else
  say kind none
  if [ "$make" = yes ]; then
    mkdir -p "$folder" && [ -w "$folder" ] && [ -x "$folder" ] || say kind denied
  fi
fi
real=$(cd "$folder" 2>/dev/null && pwd -P) && folder=$real
printf '%s path ' "$word"; printf '%s/%s' "${folder%/}" "$name" | od -An -v -tx1 | tr -d ' \\n'; echo
"""

_FINISH = """
place() {
  wait
  if ln -T "$part" "$target" 2>/dev/null; then rm -f "$part"; say kind placed
  elif [ -e "$target" ] || [ -L "$target" ]; then rm -f "$part"; say kind taken
  elif mv -n "$part" "$target" && [ ! -e "$part" ]; then say kind placed
  elif [ -e "$target" ] || [ -L "$target" ]; then rm -f "$part"; say kind taken
  else say kind denied; fi
}
if [ ! -f "$part" ]; then say kind gone
else
  { sync "$part" 2>/dev/null || sync; } >/dev/null 2>&1 & # while it is read back
  size "$part"; digest "$part"
  if [ "$found" = "$sha256" ]; then place; else rm -f "$part"; say kind differs; fi
fi
"""


class NoShell(Exception):
    """The host lets this account in, but not to a shell that has what a transfer needs. Carries the error."""

    def __init__(self, error: StokerError) -> None:
        self.error = error


class Shell:
    """The other host, as far as a transfer asks it for something; or a site that is mounted here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.name = connection.name
        self.has_rsync = False

    def word(self, path: str) -> str:
        """Return a path there, as rsync is to have it."""
        if self._connection.host is None:
            return absolute(os.path.expanduser(path))
        path = path.removeprefix("~/")
        path = path if path.startswith("/") else f"./{path}"
        host = self._connection.host
        return f"[{host}]:{path}" if ":" in host else f"{host}:{path}"

    def look(self, path: str, *, make: bool, read: bool, timeout_s: float) -> Seen:
        """Return what is at the path. `make`: the folder for a new file; `read`: the checksum of one.

        NoShell where that cannot be asked. Other errors: Unavailable where the host does not answer, or
        not in time; Refused where it lets nobody in.
        """
        names = {"target": path, "make": _word(make), "read": _word(read)}
        said = self._ask(_LOOK, names, timeout_s=timeout_s)
        self.has_rsync = "rsync" in said
        size, sha256 = said.get("size", ""), said.get("sha256", "")
        size_bytes = number(size)
        holds = Contents(size_bytes, sha256) if len(sha256) == 64 else None
        absolute_path = self.path_of(said.get("path", ""))
        return Seen(said.get("kind", "other"), absolute_path, size_bytes, holds)

    def path_of(self, hexadecimal: str) -> str:
        """Return the path that the host says; Unavailable for one that is none."""
        try:
            return os.fsdecode(bytes.fromhex(hexadecimal))
        except ValueError:
            raise Unavailable(f"`{self.name}`: the answer makes no sense; try again") from None

    def finish(self, part: str, target: str, sha256: str, *, timeout_s: float) -> str:
        """Read `part` back and give it its name: `placed`, `taken`, `differs`, `denied` or `gone`."""
        names = {"part": part, "target": target, "sha256": sha256}
        return self._ask(_FINISH, names, timeout_s=timeout_s).get("kind", "denied")

    def _ask(self, script: str, names: Mapping[str, str], *, timeout_s: float) -> dict[str, str]:
        """Return what the script says with `say WORD VALUE`; `names` are its variables."""
        return dict(self._said(script, names, None, timeout_s=timeout_s))

    def ask_many(
        self, script: str, names: Mapping[str, str], words: Iterable[str], *, timeout_s: float
    ) -> list[tuple[str, str]]:
        """Return all that the script says; its standard input has the words, with a NUL after each.

        Errors as for `look`.
        """
        listed = b"".join(os.fsencode(word) + b"\0" for word in words)
        return self._said(script, names, listed, timeout_s=timeout_s)

    def _said(
        self, script: str, names: Mapping[str, str], listed: bytes | None, *, timeout_s: float
    ) -> list[tuple[str, str]]:
        """Return what the script says, which is whole if it has one of `_ENDS`."""
        word = secrets.token_hex(8)
        lines = ["set -u", "LC_ALL=C; export LC_ALL", f"word={word}"]
        lines.append('say() { printf \'%s %s\\n\' "$word" "$*"; }')
        lines += [f"{name}={shlex.quote(value)}" for name, value in names.items()]
        text = os.fsencode("\n".join([*lines, _SUM, script, "say end", ""]))
        shell = ["sh", "-s"]
        if listed is not None:  # a shell that reads its script would swallow words after it
            shell = ["sh", "-c", f'eval "$(dd bs=1 count={len(text)} 2>/dev/null)"']
        command = self._connection.command(*shell)
        try:
            ended = subprocess.run(
                command,
                input=text + (listed or b""),
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError:
            raise UserError(f"there is no program `{command[0]}` on this host") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(f"`{self.name}` did not answer within {timeout_s:.0f} s") from None
        said = []
        for line in os.fsdecode(ended.stdout).split("\n"):
            before, _, rest = line.partition(" ")
            if before == word:
                name, _, value = rest.partition(" ")
                said.append((name, value))
        if not {name for name, _ in said} & _ENDS:
            error = failure(self.name, ended.returncode, ended.stderr)
            raise error if ended.returncode == _OF_SSH else NoShell(error)
        for name, value in said:
            if name == "lacks":
                error = UserError(f"`{self.name}` has no program `{value}`; install it there")
                raise NoShell(error)
        return said

    def rsync(self, source: str, target: str, *, timeout_s: float) -> None:
        """The file is at the target as far as rsync knows; one that was broken off goes on from there.

        One of the two is a `word`. A link is copied as the file to which it leads. Unavailable if it broke
        off again, Refused where something may not be read or written.
        """
        self._rsync([], source, target, b"", timeout_s=timeout_s)

    def rsync_many(
        self, source: str, target: str, names: Iterable[str], *, timeout_s: float
    ) -> None:
        """The files of those names in the source folder are in the target folder, under the same names.

        As `rsync`, but a file that cannot be copied is left out without an error.
        """
        listed = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
        options = ["--no-implied-dirs", "--from0", "--files-from=-"]
        self._rsync(options, source, target, listed, timeout_s=timeout_s, may_miss=True)

    def _rsync(
        self, options: Sequence[str], source: str, target: str, listed: bytes, *, timeout_s: float,
        may_miss: bool = False,
    ) -> None:  # fmt: skip
        way = [] if self._connection.host is None else ["-e", shlex.join(self._connection.words)]
        command = [
            "rsync", "--append-verify", "--partial", "--times", "--copy-links", "-s", "--timeout=120",
            "--no-motd", *options, *way, "--", source, target,
        ]  # fmt: skip
        try:
            ended = subprocess.run(
                command, input=listed, capture_output=True, timeout=timeout_s, check=False
            )
        except FileNotFoundError:
            raise UserError("there is no program `rsync` on this host; install it") from None
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"`{self.name}` took longer than {timeout_s:.0f} s; what came is kept"
            ) from None
        if ended.returncode and not (may_miss and ended.returncode in _SOME_MISSED):
            raise failure(self.name, ended.returncode, ended.stderr)


def number(word: str) -> int:
    """Return what a host says as a size or a count; 0 for a word that is none, or too long for one."""
    return int(word) if word.isascii() and word.isdecimal() and len(word) < 20 else 0


def _word(yes: object) -> str:
    return "yes" if yes else "no"
