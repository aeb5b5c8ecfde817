"""Owns the moment from which a published file survives a power cut.

Files are synced by several threads at once, which the file system then does in fewer turns: 10,000
files of 1 kB took 0.8 s on ext4. `syncfs` took 0.1 s, but it waits for what everybody else on the
file system has written, and old kernels do not report by it what was lost.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from stoker.work.copying import READ
from stoker.work.permit import Permit, in_threads


def parts_of(path: str, permit: Permit) -> list[str]:
    """Return a file, or a folder with all files and folders in it."""
    parts = [path]
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        return parts
    todo = [path]
    while todo:
        permit()
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    continue
                parts.append(entry.path)
    return parts


def sync_all(paths: Sequence[str], permit: Permit) -> None:
    """These files and folders are on disk. OSError of the first that could not be written."""
    in_threads(_sync, paths, permit)


def _sync(path: str) -> None:
    """One file or folder is on disk; file systems that cannot tell are believed."""
    with suppress(PermissionError):
        descriptor = os.open(path, READ)
        try:
            os.fsync(descriptor)
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
                problem.filename = path
                raise
        finally:
            os.close(descriptor)
