"""Text of files that people and programs write: decoded for tables and lists alike.

UTF-8 with or without a byte order mark, or UTF-16 with one. Names of files may have any bytes: those
that are not UTF-8 stand as lone surrogates, as the system's calls take them.
"""

import codecs
import io
import os
from collections.abc import Iterator
from typing import BinaryIO, NoReturn, cast

from stoker.errors import UserError

_BLOCK = 1 << 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # the first begins as UTF-16 does


def decoded_lines(file: BinaryIO, *, name: str, newline: str = "\n") -> Iterator[str]:
    """Yield the lines of the text `name` with their ends, which `newline` names as `open` does.

    UserError where the encoding is not what the first bytes promise, or text has NUL characters.
    """
    buffered = _buffered(file)
    encoding = _encoding_of(buffered.peek(4)[:4], name)
    errors = "strict" if encoding == "utf-16" else "surrogateescape"
    text = io.TextIOWrapper(buffered, encoding=encoding, errors=errors, newline=newline)
    try:
        for line in text:
            if "\0" in line:
                _refuse_nul(name)
            yield line
    except UnicodeError as error:
        raise UserError(
            f"`{name}` begins as UTF-16 does and is something else ({error}); save it as UTF-8"
        ) from None
    finally:
        if not text.closed:
            text.detach()  # the file is the caller's, standard input too


def numbered(file: BinaryIO, *, name: str) -> Iterator[tuple[int, str]]:
    """Yield the names in a list with their lines; empty lines are left out. UserError as above."""
    for number, line in enumerate(decoded_lines(file, name=name), start=1):
        written = line.rstrip("\r\n")
        if written:
            yield number, written


def numbered_in(content: bytes, *, name: str) -> Iterator[tuple[int, str]]:
    """Return the names in a whole list with their lines, or with a NUL after each.

    With NULs only if every name looks like a path: text in another encoding has NULs too, and would
    fall into single letters. UserError before the first name is yielded.
    """
    if b"\0" in content and not content.startswith(_UTF16):
        names = [one for one in content.split(b"\0") if one.strip(b"\n")]
        if all(map(_looks_like_path, names)):
            return enumerate(map(os.fsdecode, names), start=1)
    return iter(list(numbered(io.BytesIO(content), name=name)))


def nul_separated(file: BinaryIO, *, name: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered names of a list with a NUL after each, as `find -print0` writes it."""
    buffered = _buffered(file)
    if _encoding_of(buffered.peek(4)[:4], name) == "utf-16":
        raise UserError(f"`{name}` is UTF-16, where `-0` means nothing; leave out `-0`")
    rest, number = b"", 0
    while block := buffered.read(_BLOCK):
        *names, rest = (rest + block).split(b"\0")
        for one in filter(None, names):
            number += 1
            yield number, os.fsdecode(one)
    if rest.strip(b"\n"):
        yield number + 1, os.fsdecode(rest)


def wrong_bytes(text: str) -> str | None:
    """Return how Latin-1 reads `text` if it has bytes that are not UTF-8; else None."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return None
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _buffered(file: BinaryIO) -> io.BufferedReader:
    if isinstance(file, io.BufferedReader):
        return file
    return io.BufferedReader(cast("io.RawIOBase", file))


def _encoding_of(first: bytes, name: str) -> str:
    """Return the encoding that the first bytes promise. UserError for one that is not read."""
    if first.startswith(_UTF32):
        raise UserError(f"`{name}` is UTF-32; save it as UTF-8")
    return "utf-16" if first.startswith(_UTF16) else "utf-8-sig"


def _looks_like_path(name: bytes) -> bool:
    """Whether the name has a slash or a dot, and more: no letter of another encoding does."""
    return (b"/" in name or b"." in name) and bool(name.strip(b"/."))


def _refuse_nul(name: str) -> NoReturn:
    raise UserError(
        f"`{name}` has NUL characters, so it is not text in UTF-8; save it as UTF-8 (names with a NUL "
        "after each are read by `push --from … -0`, and by a source if each has a slash or a dot)"
    )
