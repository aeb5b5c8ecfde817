"""Owns the sizes and checksums of what is published: of files, of whole folders and of their parts.

Nothing but regular files is opened; of a symbolic link, what it reads counts.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from stoker.model.file_kinds import kind_of
from stoker.model.task import Content
from stoker.work.copying import open_file
from stoker.work.permit import Permit, no_limit

_CHUNK = 1024 * 1024
DIGEST_BYTES = 8


class NotPlain(Exception):
    """There is something that is neither a file nor a folder nor a link; the text names it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, folder or link: its name within the folder it was found in, and how it looks."""

    name: bytes
    path: str
    found: os.stat_result

    @property
    def stamp(self) -> tuple[bytes, int, int, int, int]:
        """What changes when the part does, without reading it; of a folder, that it is one."""
        found = self.found
        if stat.S_ISDIR(found.st_mode):
            return self.name, found.st_mode & stat.S_IFDIR, 0, 0, 0
        return self.name, found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


def part_at(path: str, name: bytes = b"") -> Part:
    """Return what is at `path`; without a `name` it is the top of what is looked at."""
    return Part(name, path, os.lstat(path))


def parts_in(top: str, permit: Permit) -> list[Part]:
    """Return all that is in a folder, by name."""
    found: list[Part] = []
    todo = [top]
    while todo:
        folder = todo.pop()
        permit()
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            part = part_at(path, os.fsencode(os.path.relpath(path, top)))
            found.append(part)
            if stat.S_ISDIR(part.found.st_mode):
                todo.append(path)
    return sorted(found, key=lambda part: part.name)


def measure(path: str, permit: Permit = no_limit) -> Content:
    """Return what a file or a folder holds: of a folder the total size, and a checksum of its tree.

    A folder's checksum is over the sorted relative names with kind, and each file's own checksum;
    rights and times do not count. NotPlain if there is anything that has no content of its own.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        size_bytes, checksum = _measure_file(path, permit)
        return Content(size_bytes=size_bytes, checksum=checksum)
    if not stat.S_ISDIR(mode):
        raise NotPlain(f"`{path}` is {kind_of(mode)}")
    total = 0
    tree = xxhash.xxh3_128()
    digests = bytearray()
    for size_bytes, record in (_read(part, permit) for part in parts_in(path, permit)):
        total += size_bytes
        tree.update(record)
        digests += xxhash.xxh3_64_digest(record)
    return Content(size_bytes=total, checksum=f"xxh3:{tree.hexdigest()}", parts=bytes(digests))


def digest(part: Part, permit: Permit) -> bytes:
    """Return the eight bytes that stand for this part with its name and content."""
    return xxhash.xxh3_64_digest(_read(part, permit)[1])


def split(parts: bytes) -> Iterator[bytes]:
    """Yield the digests of a folder's parts."""
    for at in range(0, len(parts), DIGEST_BYTES):
        yield parts[at : at + DIGEST_BYTES]


def _read(part: Part, permit: Permit) -> tuple[int, bytes]:
    """Return the size of a part, and what its folder's checksum has of it."""
    mode = part.found.st_mode
    permit()
    if stat.S_ISLNK(mode):
        return 0, b"l" + part.name + b"\0" + os.fsencode(os.readlink(part.path)) + b"\0"
    if stat.S_ISDIR(mode):
        return 0, b"d" + part.name + b"\0"
    if not stat.S_ISREG(mode):
        raise NotPlain(f"`{part.path}` is {kind_of(mode)}")
    size_bytes, checksum = _measure_file(part.path, permit)
    return size_bytes, b"f" + part.name + b"\0" + checksum.encode() + b"\0"


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
