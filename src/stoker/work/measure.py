"""Owns the sizes and checksums of what attempts publish: of files, and of whole folders.

Nothing but regular files is opened; of a symbolic link, what it reads counts.
"""

import os
import stat

import xxhash

from stoker.work.copying import open_file
from stoker.work.outputs import kind_of
from stoker.work.permit import Permit, no_limit

_CHUNK = 1024 * 1024


class NotPlain(Exception):
    """There is something that is neither a file nor a folder nor a link; the text names it."""


def measure(path: str, permit: Permit = no_limit) -> tuple[int, str]:
    """Return size and checksum of a file, or of a folder: the total, and a checksum of its tree.

    A folder's checksum is over the sorted relative names with kind, and each file's own checksum;
    rights and times do not count. NotPlain if there is anything that has no content of its own.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        return _measure_file(path, permit)
    if not stat.S_ISDIR(mode):
        raise NotPlain(f"`{path}` is {kind_of(mode)}")
    total = 0
    tree = xxhash.xxh3_128()
    for name, entry, kind in _walk(path, permit):
        permit()
        if stat.S_ISLNK(kind):
            tree.update(b"l" + name + b"\0" + os.fsencode(os.readlink(entry)) + b"\0")
        elif stat.S_ISDIR(kind):
            tree.update(b"d" + name + b"\0")
        elif stat.S_ISREG(kind):
            size_bytes, checksum = _measure_file(entry, permit)
            total += size_bytes
            tree.update(b"f" + name + b"\0" + checksum.encode() + b"\0")
        else:
            raise NotPlain(f"`{entry}` is {kind_of(kind)}")
    return total, f"xxh3:{tree.hexdigest()}"


def _walk(top: str, permit: Permit) -> list[tuple[bytes, str, int]]:
    """Return name, path and mode of all that is in a folder, by name."""
    found: list[tuple[bytes, str, int]] = []
    todo = [top]
    while todo:
        folder = todo.pop()
        permit()
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            found.append((os.fsencode(os.path.relpath(path, top)), path, mode))
            if stat.S_ISDIR(mode):
                todo.append(path)
    return sorted(found)


def _measure_file(path: str, permit: Permit) -> tuple[int, str]:
    digest = xxhash.xxh3_128()
    size_bytes = 0
    descriptor = open_file(path)
    try:
        buffer = memoryview(bytearray(min(_CHUNK, os.fstat(descriptor).st_size + 1)))
        while count := os.readv(descriptor, [buffer]):
            digest.update(buffer[:count])
            size_bytes += count
            permit()
    finally:
        os.close(descriptor)
    return size_bytes, f"xxh3:{digest.hexdigest()}"
