"""Owns the sizes and checksums of what attempts publish: of files, and of whole folders."""

import os

import xxhash

_CHUNK = 1024 * 1024


def measure(path: str) -> tuple[int, str]:
    """Return size and checksum of a file, or of a folder: the total, and a checksum of its tree.

    A folder's checksum is over the sorted relative names with kind, and each file's own checksum;
    rights and times do not count.
    """
    if not os.path.isdir(path):
        return _measure_file(path)
    total = 0
    tree = xxhash.xxh3_128()
    for name, entry in _walk(path):
        if os.path.islink(entry):
            tree.update(b"l" + name + b"\0" + os.fsencode(os.readlink(entry)) + b"\0")
        elif os.path.isdir(entry):
            tree.update(b"d" + name + b"\0")
        else:
            size_bytes, checksum = _measure_file(entry)
            total += size_bytes
            tree.update(b"f" + name + b"\0" + checksum.encode() + b"\0")
    return total, f"xxh3:{tree.hexdigest()}"


def _walk(top: str) -> list[tuple[bytes, str]]:
    found: list[tuple[bytes, str]] = []
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found.append((os.fsencode(os.path.relpath(path, top)), path))
    return sorted(found)


def _measure_file(path: str) -> tuple[int, str]:
    digest = xxhash.xxh3_128()
    size_bytes = 0
    with open(path, "rb", buffering=0) as file:
        buffer = memoryview(bytearray(_CHUNK))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            size_bytes += count
    return size_bytes, f"xxh3:{digest.hexdigest()}"
