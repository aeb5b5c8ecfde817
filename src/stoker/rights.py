"""Who may read and write the files that Stoker makes: their owner alone, or the folder's group too.

Modes are set explicitly and never follow the umask. `-wal` and `-shm` get theirs from SQLite, which
copies the mode of the database; their group comes from the folder, which hands its own down.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stoker.errors import Refused

OWN_FOLDER = ".stoker"  # the folder that belongs to Stoker by its name; others are people's


@dataclass(frozen=True, slots=True)
class Rights:
    """The modes of the folders and files that are made; `is_shared`: the group gets them too."""

    folder_mode: int
    file_mode: int
    is_shared: bool

    def make_folder(self, path: str | os.PathLike[str]) -> None:
        """There is a folder at `path`. It and the parents that were missing have these rights."""
        path = os.path.abspath(path)
        if os.path.isdir(path):
            return
        self.make_folder(os.path.dirname(path))
        try:
            os.mkdir(path, self.folder_mode & 0o777)
        except FileExistsError:
            if os.path.isdir(path):  # another process was faster
                return
            raise
        try:
            self._give(path, self.folder_mode)
        except BaseException:
            os.rmdir(path)
            raise

    def make_inner_folder(self, path: str) -> None:
        """There is a new folder at `path` with these rights, below one that has them."""
        os.mkdir(path, self.folder_mode & 0o777)
        os.chmod(path, self.folder_mode)  # whatever the umask

    def make_file(self, path: str | os.PathLike[str]) -> None:
        """There is a file at `path`. If it was missing, it is empty and has these rights."""
        with suppress(FileExistsError):
            os.close(self.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC))

    def open(self, path: str | os.PathLike[str], flags: int) -> int:
        """Return a descriptor of the file; if this makes the file, it has these rights."""
        descriptor = os.open(path, flags, 0o600)
        found = os.fstat(descriptor)
        if stat.S_IMODE(found.st_mode) != self.file_mode and found.st_uid == os.geteuid():
            os.fchmod(descriptor, self.file_mode)
        return descriptor

    def take_effect(self, folder: Path) -> None:
        """All that is in Stoker's own `folder` belongs to its group, if that is what is wanted.

        Once done, the folder's own mode says so, and this is one look at it. Only the folder's
        owner can do it; Refused where the account is not in the group of the project's folder.
        """
        if not self.is_shared or folder.name != OWN_FOLDER:
            return
        try:
            found = os.stat(folder)
        except OSError:
            return
        is_done = stat.S_IMODE(found.st_mode) & self.folder_mode == self.folder_mode
        if is_done or os.geteuid() not in (0, found.st_uid):
            return
        group = os.stat(folder.parent).st_gid
        for path, inner, names in os.walk(folder, topdown=False):
            for name in names:
                _share(os.path.join(path, name), group, self.file_mode)
            for name in inner:
                _share(os.path.join(path, name), group, self.folder_mode)
        self._give(str(folder), self.folder_mode)

    def _give(self, path: str, mode: int) -> None:
        """The new folder has the mode, and the group of the folder that holds it if shared."""
        if self.is_shared:
            parent = os.path.dirname(path)
            group = os.stat(parent).st_gid
            if os.stat(path).st_gid != group:
                try:
                    os.chown(path, -1, group)
                except PermissionError:
                    raise Refused(
                        f'`[store] access = "group"`: `{path}` has to belong to the group of '
                        f"`{parent}`, and this account is not in it; add the account to the "
                        "group, or give the folder another group with `chgrp`"
                    ) from None
        os.chmod(path, mode)


def _share(path: str, group: int, mode: int) -> None:
    """A file or folder of ours belongs to the group; links and what others own stay as they are."""
    with suppress(OSError):
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode) or os.geteuid() not in (0, found.st_uid):
            return
        os.chown(path, -1, group, follow_symlinks=False)
        os.chmod(path, mode)


PRIVATE = Rights(0o700, 0o600, is_shared=False)
SHARED = Rights(0o2770, 0o660, is_shared=True)
ACCESS = {"private": PRIVATE, "group": SHARED}  # by the word in `[store] access`


def more_open(folder: Path, rights: Rights) -> str | None:
    """Return who else can get at Stoker's own folder than is wanted; None if nobody can."""
    try:
        mode = os.stat(folder).st_mode
    except OSError:
        return None
    if folder.name != OWN_FOLDER:
        return None
    if mode & stat.S_IRWXO:
        return "everybody on this machine"
    if mode & stat.S_IRWXG and not rights.is_shared:
        return "its group"
    return None
