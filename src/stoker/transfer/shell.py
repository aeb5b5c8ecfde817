"""Owns the commands on the other host: short scripts for its `sh`, sent over the system's ssh.

Names never stand on a command line there: the script comes on standard input, with every name in
single quotes. Its answer is separated from what a login prints by a word that nobody else knows.
"""

import os
import secrets
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from stoker.errors import NotFound, Refused, StokerError, Unavailable, UserError
from stoker.transfer.places import Place, absolute

SSH = "RSYNC_RSH"  # the command to use in place of `ssh`, as rsync has it
_OPTIONS = (
    "-oBatchMode=yes", "-oConnectTimeout=20", "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
)  # fmt: skip
_DENIED = (
    "Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Operation not permitted", "Read-only file system",
)  # fmt: skip
_LAST_WORDS = 400
_ENDS = frozenset({"end", "lacks", "unreadable", "denied"})
_ENDS_OF_MANY = frozenset({"end", "lacks"})
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
digest() { found=$(sum "$1") || { say unreadable; exit 0; }; found=${found%% *}; say sha256 "$found"; }
size() { found=$(wc -c < "$1") || { say unreadable; exit 0; }; say size $found; }
"""


def ssh_command() -> list[str]:
    """Return the words of ssh with the options under which it never asks and never waits for ever."""
    given = os.environ.get(SSH, "").strip()
    try:
        words = shlex.split(given) if given else ["ssh"]
    except ValueError as error:
        raise UserError(f"`{SSH}` cannot be taken apart: {error}") from None
    return [*words, *_OPTIONS]


class Shell:
    """The other host, as far as a transfer asks it for something; or a site that is mounted here."""

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self._host = place.host

    def word(self, path: str) -> str:
        """Return a path there, as rsync is to have it."""
        if self._host is None:
            return absolute(os.path.expanduser(path))
        path = path.removeprefix("~/")
        path = path if path.startswith("/") else f"./{path}"
        return f"[{self._host}]:{path}" if ":" in self._host else f"{self._host}:{path}"

    def ask(self, script: str, names: Mapping[str, str], *, timeout_s: float) -> dict[str, str]:
        """Return what the script says with `say WORD VALUE`; `names` are its variables.

        Unavailable where the host does not answer, or not in time; Refused where it lets nobody in.
        """
        said = dict(self._said(script, names, None, _ENDS, timeout_s=timeout_s))
        if "lacks" in said:
            raise UserError(f"`{self.name}` has no program `{said['lacks']}`; install it there")
        return said

    def ask_many(
        self, script: str, names: Mapping[str, str], words: Iterable[str], *, timeout_s: float
    ) -> list[tuple[str, str]]:
        """Return all that the script says; its standard input has the words, with a NUL after each.

        Errors as for `ask`.
        """
        listed = b"".join(os.fsencode(word) + b"\0" for word in words)
        said = self._said(script, names, listed, _ENDS_OF_MANY, timeout_s=timeout_s)
        for name, value in said:
            if name == "lacks":
                raise UserError(f"`{self.name}` has no program `{value}`; install it there")
        return said

    def _said(
        self, script: str, names: Mapping[str, str], listed: bytes | None, ends: frozenset[str], *,
        timeout_s: float,
    ) -> list[tuple[str, str]]:  # fmt: skip
        """Return what the script says, which is whole if it has one of `ends`."""
        word = secrets.token_hex(8)
        lines = ["set -u", "LC_ALL=C; export LC_ALL", f"word={word}"]
        lines.append('say() { printf \'%s %s\\n\' "$word" "$*"; }')
        lines += [f"{name}={shlex.quote(value)}" for name, value in names.items()]
        text = os.fsencode("\n".join([*lines, _SUM, script, "say end", ""]))
        shell = ["sh", "-s"]
        if listed is not None:  # a shell that reads its script would swallow words after it
            shell = ["sh", "-c", f'eval "$(dd bs=1 count={len(text)} 2>/dev/null)"']
        command = shell
        if self._host is not None:
            command = [*ssh_command(), "--", self._host, f"exec {shlex.join(shell)}"]
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
        if not {name for name, _ in said} & ends:
            raise failure(self.name, ended.returncode, ended.stderr)
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
        way = [] if self._host is None else ["-e", shlex.join(ssh_command())]
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


def failure(host: str, code: int, stderr: bytes) -> StokerError:
    """Return the error for a command over ssh that ended so: who must act, and what it said."""
    words = " ".join(os.fsdecode(stderr).split())[-_LAST_WORDS:]
    said = f": {words}" if words else f" (exit code {code})"
    if any(one in words for one in _DENIED):
        return Refused(f"`{host}` does not let this account do that{said}")
    if "Could not resolve hostname" in words:
        return NotFound(f"there is no host `{host}`{said}")
    return Unavailable(f"`{host}` cannot be reached, or broke off{said}")
