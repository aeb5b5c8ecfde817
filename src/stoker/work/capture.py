"""Owns what attempts write to stdout and stderr: two files for each place, bounded while they grow.

The files are outside the scratch, which an attempt may delete, and are kept from one attempt to the
next: one that stayed empty costs two calls. They are opened for appending, so that emptying one is
safe, and what is written past the limit is given back to the disk while the attempt still runs.
"""

import ctypes
import os
from contextlib import suppress
from dataclasses import dataclass

from stoker.model.task import EMPTY_STREAM, Stream
from stoker.rights import PRIVATE, Rights

KEPT_BYTES = 10 * 1024 * 1024  # of one stream: half from its beginning, half from its end
TEXT_BYTES = 8 * 1024  # up to this size a stream is kept in the store, as text
_BLOCK = 4096
_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02


@dataclass(frozen=True, slots=True)
class Captured:
    """A stream after the end: `head` and `tail` are disjoint, `left_out` bytes are between them."""

    size_bytes: int = 0
    head: bytes = b""
    left_out: int = 0
    tail: bytes = b""

    @property
    def text(self) -> bytes:
        """Head and tail with a line between them that says what is missing, if anything is."""
        if not self.left_out:
            return self.head + self.tail
        notice = f"\n[… {self.left_out} bytes left out …]\n".encode()
        return self.head + notice + self.tail


NOTHING = Captured()


class StreamFile:
    """One stream of one place. `descriptor` is what the attempt gets."""

    def __init__(
        self, path: str, *, kept_bytes: int = KEPT_BYTES, rights: Rights = PRIVATE
    ) -> None:
        self._path = path
        self._half = kept_bytes // 2
        self._punched_to = 0
        self._cut = 0  # bytes removed by truncation, where holes cannot be punched
        self.descriptor = rights.open(
            path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        )

    @property
    def path(self) -> str:
        """Where the file is, for those who follow a running attempt."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """How much the file holds, counting what was given back to the disk."""
        return os.fstat(self.descriptor).st_size

    def bound(self) -> None:
        """The file takes little more than the limit on disk. Called often while an attempt runs."""
        size = os.fstat(self.descriptor).st_size
        if size < self._punched_to:  # emptied by its writer
            self._punched_to = 0
        start = max(self._half, self._punched_to)
        start -= start % -_BLOCK  # up to a whole block
        end = size - self._half
        end -= end % _BLOCK
        if end - start < self._half:
            return
        if _punch(self.descriptor, start, end - start):
            self._punched_to = end
        else:
            os.ftruncate(self.descriptor, self._half)
            self._cut += size - self._half

    def collect(self) -> Captured:
        """Return what the attempt wrote, bounded, and empty the file for the next one.

        Nothing may be left that could still write: the caller has swept.
        """
        size = os.fstat(self.descriptor).st_size
        if not size:
            return NOTHING
        captured = self._read(size)
        os.ftruncate(self.descriptor, 0)
        self._punched_to = self._cut = 0
        return captured

    def _read(self, size: int) -> Captured:
        total = size + self._cut
        if total <= 2 * self._half:
            return Captured(total, _read_range(self.descriptor, 0, total))
        tail_size = max(0, min(self._half, size - self._half))
        head = _read_range(self.descriptor, 0, self._half)
        tail = _read_range(self.descriptor, size - tail_size, tail_size)
        return Captured(total, head, total - len(head) - len(tail), tail)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


def _read_range(descriptor: int, start: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.pread(descriptor, size, start)):
        parts.append(part)
        start += len(part)
        size -= len(part)
    return b"".join(parts)


def _punch(descriptor: int, start: int, size: int) -> bool:
    """Whether the range was given back to the disk, reading as zeros from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.fallocate(
        descriptor, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_int64(start), ctypes.c_int64(size)
    )
    return bool(result == 0)


def keep(captured: Captured, path: str, *, rights: Rights = PRIVATE) -> Stream:
    """Return the stream's record; a big one is in a file at `path` from now on.

    The file is written beside and renamed, so that a log is whole or absent. OSError if there is no
    room: the caller decides what a lost log means.
    """
    if not captured.size_bytes:
        return EMPTY_STREAM
    truncated = captured.left_out > 0
    if captured.size_bytes <= TEXT_BYTES and not truncated:
        return Stream(size_bytes=captured.size_bytes, text=captured.text)
    rights.make_folder(os.path.dirname(path))
    hidden = path + ".part"
    try:
        with open(hidden, "wb", opener=rights.open) as file:
            file.write(captured.text)
        os.replace(hidden, path)
    except OSError:
        with suppress(OSError):
            os.unlink(hidden)
        raise
    return Stream(size_bytes=captured.size_bytes, truncated=truncated, path=path)
