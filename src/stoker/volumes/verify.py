"""Verifying a volume: its blocks in a folder, or what a tape or another copy gives back of them."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from stoker.errors import NotFound, UserError
from stoker.model.encoding import Answer
from stoker.transfer import contents
from stoker.volumes.catalogue import INDEX, read_sums

_CHUNK = 1024 * 1024
_HEAD = 512  # of a file in a tar


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Answer):
    """A file of a volume that is missing or differs: `where` is its path, or the stream."""

    volume: str
    name: str
    where: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified(Answer):
    """What was read of a volume, and what is wrong with it; `size_bytes` counts what is as it should be."""

    volume: str
    files: int
    size_bytes: int
    is_stream: bool
    problems: tuple[Problem, ...]


def verify(folder: str, stream: BinaryIO | None = None) -> Verified:
    """Return how the volume in the folder, or what the stream holds of it, compares with its checksums.

    The stream is the blocks one after another in the order of their names, or a tar file with them; what
    follows them may be zeros. Every byte is read. NotFound where the folder holds no volume.
    """
    folder = os.path.abspath(folder)
    volume, sums = read_sums(folder)
    checking = _Checking(volume, sums, "the stream" if stream is not None else folder)
    if stream is None:
        checking.folder(folder)
    else:
        checking.stream(folder, stream)
    return checking.verified(is_stream=stream is not None)


class _Checking:
    """Compares files of a volume with its checksums."""

    def __init__(self, volume: str, sums: dict[str, str], where: str) -> None:
        self._volume = volume
        self._sums = sums
        self._where = where
        self._problems: list[Problem] = []
        self._files = self._bytes = 0

    def verified(self, *, is_stream: bool) -> Verified:
        """Return what was found."""
        return Verified(
            volume=self._volume,
            files=self._files,
            size_bytes=self._bytes,
            is_stream=is_stream,
            problems=tuple(self._problems),
        )

    def folder(self, folder: str) -> None:
        """Read all files of the volume in the folder."""
        for name, wanted in self._sums.items():
            path = os.path.join(folder, name)
            try:
                found = contents.read(path)
            except NotFound:
                self._wrong(name, path, "it is missing")
            except (UserError, OSError) as error:
                self._wrong(name, path, str(error))
            else:
                self._compare(name, path, found.sha256, wanted, found.size_bytes)

    def stream(self, folder: str, stream: BinaryIO) -> None:
        """Read what comes."""
        reading = _Stream(stream)
        blocks = {name: one for name, one in self._sums.items() if not name.endswith(INDEX)}
        first = reading.peek(_HEAD)
        if not first:
            self._wrong("", self._where, "it is empty: nothing was read back")
            return
        if _first_name(first).partition("/")[0] + ".tar" in blocks:
            seen = self._one_after_another(folder, reading, blocks)
        else:
            seen = self._as_tar(reading)
        for name in blocks:
            if name not in seen:
                self._wrong(name, self._where, "it is missing")

    def _as_tar(self, reading: "_Stream") -> set[str]:
        """Read a tar file with the files of the volume."""
        seen: set[str] = set()
        try:
            with tarfile.open(fileobj=reading, mode="r|") as tar:  # type: ignore[call-overload]
                for info in tar:
                    name = info.name.rpartition("/")[2]
                    file = tar.extractfile(info) if info.isreg() and name in self._sums else None
                    if file is not None:
                        seen.add(name)
                        digest = hashlib.sha256()
                        while data := file.read(_CHUNK):
                            digest.update(data)
                        self._compare(
                            name, self._where, digest.hexdigest(), self._sums[name], info.size
                        )
        except (tarfile.TarError, EOFError) as error:
            self._wrong("", self._where, f"it breaks off, or is damaged: {error}")
        reading.drain()
        return seen

    def _one_after_another(
        self, folder: str, reading: "_Stream", blocks: dict[str, str]
    ) -> set[str]:
        """Read the blocks; how long each is says the folder."""
        seen: set[str] = set()
        for name, wanted in blocks.items():
            path = os.path.join(folder, name)
            try:
                size = os.lstat(path).st_size
            except OSError:
                self._wrong(name, path, "it is missing, so that nobody knows its length")
                return set(blocks)
            digest = hashlib.sha256()
            n = 0
            for data in reading.some(size):
                digest.update(data)
                n += len(data)
            if n < size:
                self._wrong(
                    name, self._where, f"it breaks off: {n:,} of {size:,} bytes were read back"
                )
                return set(blocks)
            seen.add(name)
            self._compare(name, self._where, digest.hexdigest(), wanted, size)
        if not reading.is_zero_to_the_end():
            self._wrong("", self._where, "more follows after the last block")
        return seen

    def _compare(self, name: str, where: str, found: str, wanted: str, size: int) -> None:
        self._files += 1
        if found == wanted:
            self._bytes += size
        else:
            self._wrong(name, where, f"its SHA-256 is {found[:16]}…, and should be {wanted[:16]}…")

    def _wrong(self, name: str, where: str, problem: str) -> None:
        self._problems.append(Problem(volume=self._volume, name=name, where=where, problem=problem))


def _first_name(head: bytes) -> str:
    try:
        return tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape").name
    except tarfile.TarError:
        return ""


class _Stream:
    """A stream that can be looked at before it is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """Return what comes next, and keep it."""
        while len(self._ahead) < size and (data := self._stream.read(size - len(self._ahead))):
            self._ahead += data
        return self._ahead[:size]

    def read(self, size: int = _CHUNK) -> bytes:
        """Return what comes next, up to `size` bytes."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._stream.read(size)

    def some(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes; fewer at the end."""
        while size and (data := self.read(min(size, _CHUNK))):
            size -= len(data)
            yield data

    def is_zero_to_the_end(self) -> bool:
        """Read the rest; return whether it is nothing but zeros."""
        is_zero = True
        while data := self.read(_CHUNK):
            is_zero = is_zero and not data.strip(b"\0")
        return is_zero

    def drain(self) -> None:
        """Read the rest, so that its writer is not broken off."""
        while self.read(_CHUNK):
            pass


def stream_of(descriptor: int) -> Any:
    """Return what is redirected to a descriptor, to be read; None for a terminal or `/dev/null`."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    is_nothing = stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev
    if is_nothing or os.isatty(descriptor):
        return None
    return os.fdopen(os.dup(descriptor), "rb")
