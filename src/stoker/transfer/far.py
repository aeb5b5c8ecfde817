"""Owns the choice of how the other host is used: by a shell and rsync, or by SFTP where one is missing."""

import shutil
from contextlib import ExitStack
from typing import Self

from stoker.errors import StokerError
from stoker.transfer.contents import Seen
from stoker.transfer.places import Place
from stoker.transfer.sftp import Sftp
from stoker.transfer.shell import NoShell, Shell
from stoker.transfer.ssh import Connection


class FarEnd:
    """The other host, or a site that is mounted here, for as long as the block lasts.

    Unavailable where it does not answer, or not in time; Refused where it lets nobody in.
    """

    def __init__(self, place: Place) -> None:
        self._connection = Connection(place.name, place.host)
        self._open = ExitStack()
        self._sftp: Sftp | None = None
        self._has_shell = True
        self.shell = Shell(self._connection)

    def __enter__(self) -> Self:
        self._open.enter_context(self._connection)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def look(self, path: str, *, make: bool, read: bool, timeout_s: float) -> Seen:
        """Return what is at the path. `make`: the folder for a new file; `read`: the checksum of one."""
        if self._has_shell:
            try:
                return self.shell.look(path, make=make, read=read, timeout_s=timeout_s)
            except NoShell as error:
                self._begin_sftp(error.error)
                self._has_shell = False
        return self._files().look(path, make=make, read=read, timeout_s=timeout_s)

    def put(self, source: str, part: str, *, timeout_s: float) -> None:
        """The file here is at `part` there; one that was broken off goes on where it ended."""
        if self._has_rsync():
            self.shell.rsync(source, self.shell.word(part), timeout_s=timeout_s)
        else:
            self._files().put(source, part, timeout_s=timeout_s)

    def get(self, source: str, part: str, *, timeout_s: float) -> None:
        """The file there is at `part` here; one that was broken off goes on where it ended."""
        if self._has_rsync():
            self.shell.rsync(self.shell.word(source), part, timeout_s=timeout_s)
        else:
            self._files().get(source, part, timeout_s=timeout_s)

    def finish(self, part: str, target: str, sha256: str, *, timeout_s: float) -> str:
        """Read `part` back and give it its name: `placed`, `taken`, `differs`, `denied` or `gone`."""
        end = self.shell if self._has_shell else self._files()
        return end.finish(part, target, sha256, timeout_s=timeout_s)

    def _has_rsync(self) -> bool:
        if self._connection.host is None:  # its absence is reported when it is called
            return True
        return self._has_shell and self.shell.has_rsync and shutil.which("rsync") is not None

    def _files(self) -> Sftp:
        if self._sftp is None:
            self._sftp = self._open.enter_context(Sftp(self._connection))
        return self._sftp

    def _begin_sftp(self, why: StokerError) -> None:
        """SFTP can be used; else the error is why no shell can be."""
        if self._connection.host is None:
            raise why
        try:
            self._files()
        except StokerError:
            raise why from None
