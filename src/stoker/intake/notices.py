"""The kernel's notices of what happens in folders (inotify): a hint that hurries the next look.

Nothing is taken because of a notice alone, and nothing is missed without one: files that another
host writes to a shared file system raise none. Only one thing is learnt here that a look cannot see:
that a file came by its name through a rename. Neither watchfiles nor watchdog tell that apart, which
is why the kernel is asked directly.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_FOLDERS = 100_000  # that are watched at once; in more, changes are found by looking

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE = 0x8, 0x40, 0x80, 0x100
_Q_OVERFLOW, _IGNORED, _ISDIR = 0x4000, 0x8000, 0x40000000
_ONLYDIR, _DONT_FOLLOW = 0x01000000, 0x02000000
_WANTED = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _ONLYDIR | _DONT_FOLLOW
_HEAD = struct.Struct("iIII")
_ROOM = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened to `name` in `folder`, a path within the root; empty for the root itself.

    `was_moved` from a name whose notice came before, `came_from`, or from out of sight if that is
    None. With `is_gap` nothing is known of what happened.
    """

    folder: bytes = b""
    name: bytes = b""
    is_folder: bool = False
    was_moved: bool = False
    came_from: tuple[bytes, bytes] | None = None
    is_gap: bool = False


class Notices:
    """Watches folders below a root. `is_whole` is false once a folder could not be watched."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._folders: dict[int, bytes] = {}  # by watch
        self._watches: dict[bytes, int] = {}
        self._left: dict[int, tuple[bytes, bytes]] = {}  # by the rename's cookie
        self._open()

    def _open(self) -> None:
        self._descriptor: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self.is_whole = self._descriptor >= 0

    def fileno(self) -> int:
        """Return what can be read when there are notices; negative if there never will be."""
        return self._descriptor

    def watch(self, folder: bytes) -> None:
        """From now on there are notices of what happens in the folder, if the kernel can give them.

        To be called before the folder is read, so that nothing falls in between.
        """
        if folder in self._watches or self._descriptor < 0:
            return
        path = os.path.join(self._root, folder) if folder else self._root
        flags = _WANTED if folder else _WANTED & ~_DONT_FOLLOW
        watch = -1
        if len(self._watches) < MOST_FOLDERS:
            watch = _libc.inotify_add_watch(self._descriptor, path, flags)
        if watch < 0:
            if ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR):
                self.is_whole = False
            return
        self._forget(watch)
        self._folders[watch] = folder
        self._watches[folder] = watch

    def _forget(self, watch: int) -> None:
        folder = self._folders.pop(watch, None)
        if folder is not None and self._watches.get(folder) == watch:
            del self._watches[folder]

    def read(self) -> Iterator[Notice]:
        """Yield what has happened since the last call; never waits."""
        while self._descriptor >= 0:
            try:
                block = os.read(self._descriptor, _ROOM)
            except BlockingIOError:
                return
            at = 0
            while at < len(block):
                watch, mask, cookie, length = _HEAD.unpack_from(block, at)
                at += _HEAD.size
                name = block[at : at + length].rstrip(b"\0")
                at += length
                notice = self._notice(watch, mask, cookie, name)
                if notice is not None:
                    yield notice

    def _notice(self, watch: int, mask: int, cookie: int, name: bytes) -> Notice | None:
        if mask & _Q_OVERFLOW:
            return Notice(is_gap=True)
        folder = self._folders.get(watch)
        if mask & _IGNORED:
            self._forget(watch)
            return Notice(is_gap=True) if folder == b"" else None  # the root itself is gone
        if folder is None:
            return None
        is_folder = bool(mask & _ISDIR)
        if mask & _MOVED_FROM:
            if is_folder:
                self._forget_below(os.path.join(folder, name))
            if len(self._left) > 1000:  # renames out of sight never meet their other half
                self._left.clear()
            self._left[cookie] = (folder, name)
            return None
        was_moved = bool(mask & _MOVED_TO)
        came_from = self._left.pop(cookie, None) if was_moved else None
        return Notice(folder, name, is_folder, was_moved, came_from)

    def _forget_below(self, folder: bytes) -> None:
        """A folder was moved away: what happens in it later happens elsewhere."""
        start = folder + b"/"
        gone = [path for path in self._watches if path == folder or path.startswith(start)]
        for path in gone:
            watch = self._watches.pop(path)
            self._folders.pop(watch, None)
            _libc.inotify_rm_watch(self._descriptor, watch)

    def begin_again(self) -> None:
        """Watch nothing that was watched, and forget what was not read of it."""
        if not self._watches:
            return
        self.close()
        self._folders, self._watches, self._left = {}, {}, {}
        self._open()

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


def refusal(folder: Path) -> str | None:
    """Return why the kernel gives no notices of this folder; None if it does."""
    notices = Notices(os.fsencode(folder))
    try:
        if notices.fileno() >= 0:
            notices.watch(b"")
        return None if notices.is_whole else os.strerror(ctypes.get_errno())
    finally:
        notices.close()
