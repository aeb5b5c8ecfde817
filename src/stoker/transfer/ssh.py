"""Owns how ssh is called: its options, its errors, and the one connection that the calls of a transfer share.

OpenSSH shares a connection through a socket. The process behind it ends with the transfer; after a transfer
that was killed, a few seconds later by itself. A connection that the account already shares by its own
configuration is used instead, since it may be the only one that gets in without a question.
"""

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from typing import Self

from stoker.errors import NotFound, Refused, StokerError, Unavailable, UserError

SSH = "RSYNC_RSH"  # the command to use in place of `ssh`, as rsync has it
_OPTIONS = (
    "-oBatchMode=yes", "-oConnectTimeout=20", "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
)  # fmt: skip
_IDLE_S = 15  # how long a shared connection stays without a call
_QUICK_S = 10.0  # for a command that asks only this host
_DENIED = (
    "Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Operation not permitted", "Read-only file system",
)  # fmt: skip
_FULL = "No space left on device", "Disk quota exceeded"
_LAST_WORDS = 400


class Connection:
    """The way to a host, for as long as the block lasts. Without a host, to a site that is mounted here."""

    def __init__(self, name: str, host: str | None) -> None:
        self.name, self.host = name, host
        self._folder: str | None = None
        self._words: list[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is None or self._words is None or self.host is None:
            return
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                [*self._words, "-O", "exit", "--", self.host], check=False, timeout=_QUICK_S,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = self._words = None

    @property
    def words(self) -> list[str]:
        """The words of ssh with the options under which it never asks and never waits for ever."""
        if self._words is None:
            given = os.environ.get(SSH, "").strip()
            try:
                words = shlex.split(given) if given else ["ssh"]
            except ValueError as error:
                raise UserError(f"`{SSH}` cannot be taken apart: {error}") from None
            self._words = [*words, *_OPTIONS, *self._sharing(words)]
        return self._words

    def command(self, *words: str) -> list[str]:
        """Return the command that runs the words there; options of ssh may be before them."""
        if self.host is None:
            return list(words)
        options = [word for word in words[:1] if word.startswith("-")]
        return [*self.words, *options, "--", self.host, shlex.join(words[len(options) :])]

    def _sharing(self, words: list[str]) -> list[str]:
        """Return the options that share one connection; none where another is shared already, or none can be."""
        if self.host is None or os.path.basename(words[0]) != "ssh":
            return []
        try:
            configured = subprocess.run(
                [*words, "-G", "--", self.host], check=True, timeout=_QUICK_S, capture_output=True,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return []
        if b"\ncontrolpath " in configured.stdout.replace(b"\ncontrolpath none", b""):
            return []
        self._folder = _folder_for_sockets()
        if self._folder is None:
            return []
        path = os.path.join(self._folder, "ssh").replace("%", "%%")
        return ["-oControlMaster=auto", f"-oControlPath={path}", f"-oControlPersist={_IDLE_S}"]


def _folder_for_sockets() -> str | None:
    """Return a new folder of our own in which a socket can have a name as ssh gives it, if there is one."""
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - the folder itself is private
        folder = None
        try:
            folder = tempfile.mkdtemp(prefix="stoker-", dir=base)
            first = os.path.join(folder, "ssh.0123456789abcdef")  # ssh links this to its last name
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(first)
            os.link(first, f"{folder}/ssh")
            os.unlink(f"{folder}/ssh")
            os.unlink(first)
        except OSError:  # too long, or a file system without sockets
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        else:
            return folder
    return None


def failure(host: str, code: int, stderr: bytes) -> StokerError:
    """Return the error for a command over ssh that ended so: who must act, and what it said."""
    words = " ".join(os.fsdecode(stderr).split())[-_LAST_WORDS:]
    said = f": {words}" if words else f" (exit code {code})"
    if any(one in words for one in _DENIED):
        return Refused(f"`{host}` does not let this account do that{said}")
    if "Could not resolve hostname" in words:
        return NotFound(f"there is no host `{host}`{said}")
    if any(one in words for one in _FULL):
        return Unavailable(f"there is no space left for the copy{said}")
    return Unavailable(f"`{host}` cannot be reached, or broke off{said}")
