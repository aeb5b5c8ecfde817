"""One block of a volume: a tar file in the form of BagIt (RFC 8493), which needs nothing of Stoker.

    A0001.0043/bagit.txt
    A0001.0043/data/KEY/STEP.OUTPUT/NAME      the files
    A0001.0043/manifest-sha256.txt            their SHA-256

Written once from the beginning to the end, so that its own SHA-256 is known when it is complete.
"""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import xxhash

from stoker.errors import Conflict
from stoker.work.copying import open_file

_BAG = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_CHUNK = 1024 * 1024
_RIGHTS = 0o777


class Differs(Conflict):
    """A file is not as it was recorded; what was written of it is taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file in the block: where its header begins, and what it holds."""

    name: str
    offset: int
    size_bytes: int
    sha256: str
    checksum: str


class Block:
    """A block that is being written, at a path that nothing else has.

    In a rehearsal all files are read, and nothing is written.
    """

    def __init__(self, path: str, *, is_rehearsal: bool = False) -> None:
        self.name = os.path.basename(path)
        self.files = 0
        self._path = path
        self._top = self.name.removesuffix(".tar")
        self._out = _Counting() if is_rehearsal else _Hashing(path)
        self._tar = tarfile.open(  # noqa: SIM115 - closed by `close`
            fileobj=self._out,  # type: ignore[call-overload]  # it needs `write` and `tell` alone
            mode="w",
            format=tarfile.PAX_FORMAT,
        )
        self._sums: list[tuple[str, str]] = []
        self._add_bytes("bagit.txt", _BAG)

    @property
    def size_bytes(self) -> int:
        """How much is written so far."""
        return self._out.tell()

    def mark(self) -> Callable[[], None]:
        """Return what takes back all that is written from now on."""
        at, digest, n = self._out.tell(), self._out.digest.copy(), len(self._sums)
        files = self.files

        def take_back() -> None:
            self._out.take_back(at, digest)
            self._tar.offset = at
            self.files = files
            del self._sums[n:]

        return take_back

    def add(self, path: str, name: str) -> Written:
        """A file or a link is in the block as `data/NAME`. OSError where it cannot be read."""
        found = os.lstat(path)
        offset = self._out.tell()
        info = self._info(f"data/{name}")
        info.mtime = int(found.st_mtime)
        info.mode = stat.S_IMODE(found.st_mode) & _RIGHTS
        if stat.S_ISLNK(found.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
            self._tar.addfile(info)
            self.files += 1
            return Written(name=f"data/{name}", offset=offset, size_bytes=0, sha256="", checksum="")
        descriptor = open_file(path)
        with open(descriptor, "rb", buffering=0) as file:
            info.size = os.fstat(descriptor).st_size
            reading = _Reading(file)
            try:
                self._tar.addfile(info, reading)
            except OSError as error:
                if error.errno is None:  # it has become shorter
                    raise Differs(f"`{path}` changed while it was packed") from None
                raise
            if file.read(1):
                raise Differs(f"`{path}` changed while it was packed")
        sha256 = reading.sha256.hexdigest()
        self._sums.append((sha256, f"data/{name}"))
        self.files += 1
        return Written(
            name=f"data/{name}",
            offset=offset,
            size_bytes=info.size,
            sha256=sha256,
            checksum=f"xxh3:{reading.xxh3.hexdigest()}",
        )

    def add_folder(self, path: str, name: str) -> None:
        """A folder, without what is in it, is in the block."""
        info = self._info(f"data/{name}")
        info.type = tarfile.DIRTYPE
        info.mode = stat.S_IMODE(os.lstat(path).st_mode) & _RIGHTS
        self._tar.addfile(info)

    def close(self) -> str:
        """The block is whole and on disk; return its SHA-256."""
        lines = (f"{sha256}  {_escaped(name)}\n" for sha256, name in self._sums)
        self._add_bytes("manifest-sha256.txt", os.fsencode("".join(lines)))
        self._tar.close()
        return self._out.close()

    def abandon(self) -> None:
        """The block's file is closed, however much of it is written."""
        self._out.abandon()

    def _info(self, name: str) -> tarfile.TarInfo:
        info = tarfile.TarInfo(f"{self._top}/{name}")
        info.uid = info.gid = 0
        return info

    def _add_bytes(self, name: str, content: bytes) -> None:
        info = self._info(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


def _escaped(name: str) -> str:
    """Return a name as a line of a bag's manifest has it."""
    return name.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


class _Hashing:
    """A new file that knows the SHA-256 of all that was written into it."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "xb")  # noqa: SIM115 - closed by `close`
        self.digest: Any = hashlib.sha256()
        self._at = 0

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self._file.write(data)
        self.digest.update(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        """Return how much was written."""
        return self._at

    def take_back(self, at: int, digest: Any) -> None:
        """What was written after `at` is gone; `digest` is that of what stays."""
        self._file.flush()
        self._file.seek(at)
        self._file.truncate()
        self._at, self.digest = at, digest

    def close(self) -> str:
        """The file is on disk; return its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return str(self.digest.hexdigest())

    def abandon(self) -> None:
        """The file is closed, whatever of it is on disk; a full disk is no news by now."""
        with suppress(OSError):
            self._file.close()


class _Counting(_Hashing):
    """No file: it knows how much would be written."""

    def __init__(self) -> None:
        self.digest: Any = hashlib.sha256()
        self._at = 0

    def write(self, data: bytes) -> int:
        """Count all of it."""
        self._at += len(data)
        return len(data)

    def take_back(self, at: int, digest: Any) -> None:
        """What was counted after `at` does not count."""
        self._at, self.digest = at, digest

    def close(self) -> str:
        """Nothing is on disk."""
        return ""

    def abandon(self) -> None:
        """There is nothing to close."""


class _Reading:
    """A file of which all that is read counts for its checksums."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.xxh3 = xxhash.xxh3_128()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; fewer only at the end."""
        parts, left = [], size
        while left:
            data: bytes = self._file.read(min(left, _CHUNK) if left > 0 else _CHUNK)
            if not data:
                break
            self.sha256.update(data)
            self.xxh3.update(data)
            parts.append(data)
            left -= len(data)
        return b"".join(parts)
