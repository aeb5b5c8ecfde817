"""Names from files and streams: lists with a line or a NUL after each name."""

import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

_BLOCK = 1 << 20


def lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a list as names, without their ends; empty ones are left out."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    for line in file:
        name = line.rstrip(b"\r\n")
        if name:
            yield name.decode(encoding, errors)  # as os.fsdecode, which asks for both every time


def numbered(content: bytes) -> Iterator[tuple[int, str]]:
    """Yield the names in a list with their lines; with a NUL anywhere in it, a NUL ends each."""
    separator = b"\0" if b"\0" in content else b"\n"
    for line, name in enumerate(content.split(separator), start=1):
        plain = name if separator == b"\0" else name.rstrip(b"\r")
        if plain.strip(b"\n"):
            yield line, os.fsdecode(plain)


def nul_separated(file: BinaryIO) -> Iterator[str]:
    """Yield the names of a list in which a NUL byte follows each, as `find -print0` writes it."""
    rest = b""
    while block := file.read(_BLOCK):
        *names, rest = (rest + block).split(b"\0")
        for name in names:
            if name:
                yield os.fsdecode(name)
    if rest.strip(b"\n"):
        yield os.fsdecode(rest)
