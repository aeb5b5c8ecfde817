"""Owns the copying of files and folders: only regular files are opened, and it can be broken off."""

import os
import shutil
import stat
from contextlib import suppress

from stoker.work.permit import Permit

_CHUNK = 8 * 1024 * 1024
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_file(path: str) -> int:
    """Return a descriptor of a regular file; OSError for anything else, without waiting for it."""
    descriptor = os.open(path, READ)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"`{path}` is not a regular file")
    return descriptor


def copy_file(source: str, target: str, permit: Permit) -> None:
    """`target`, which did not exist, has content, times and rights of the file `source`."""
    reading = open_file(source)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            buffer = memoryview(bytearray(min(_CHUNK, os.fstat(reading).st_size + 1)))
            while count := os.readv(reading, [buffer]):
                permit()
                done = 0
                while done < count:
                    done += os.write(writing, buffer[done:count])
        finally:
            os.close(writing)
        with suppress(OSError):
            shutil.copystat(source, target, follow_symlinks=False)
    finally:
        os.close(reading)


def copy_tree(source: str, target: str, permit: Permit) -> None:
    """`target`, which did not exist, is like `source`: a file, or a folder whose links stay links."""
    if not stat.S_ISDIR(os.lstat(source).st_mode):
        copy_file(source, target, permit)
        return
    folders = [(source, target)]
    for folder, copy in folders:  # which grows meanwhile
        os.mkdir(copy, 0o700)
        for name in os.listdir(folder):
            permit()
            here, there = os.path.join(folder, name), os.path.join(copy, name)
            mode = os.lstat(here).st_mode
            if stat.S_ISDIR(mode):
                folders.append((here, there))
            elif stat.S_ISLNK(mode):
                os.symlink(os.readlink(here), there)
            else:
                copy_file(here, there, permit)
    for folder, copy in reversed(folders):  # the rights last: they may forbid to write
        with suppress(OSError):
            shutil.copystat(folder, copy)
