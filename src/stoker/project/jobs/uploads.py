"""Files that clients upload, in a folder that every worker sees.

An upload arrives under `parts/ID` and is renamed to `files/ID` as a whole, once its content and its
description are on disk: a half one can never be named. Its id is random, and knowing it is what
entitles a client to use it. A job that names an upload gets a link of its own (`job_files`), so an
upload may be removed at any time after that.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from stoker.errors import NotFound, Unavailable, UserError
from stoker.model.encoding import Answer
from stoker.project.jobs.job_files import uploads_folder

if TYPE_CHECKING:
    from stoker.project.opened import Opened

KEEP_S = 86_400.0  # unfinished, or finished and not submitted (again) since
SPARE_BYTES, SPARE_SHARE = 1 << 30, 0.05  # the lesser of them stays free on the disk
_LOOK_BYTES = 64 << 20  # written between two looks at the free disk
_BEGIN_BYTES = 8 << 20  # written until the disk begins with them
_ID = re.compile(r"[0-9a-f]{32}")
_NAME_CHARACTERS = 255
_FULL = (errno.ENOSPC, errno.EDQUOT)


class TooLarge(UserError):
    """A file exceeds the limit for uploads."""


class NoRoom(Unavailable):
    """The disk of the uploads is full, or would be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Answer):
    """A file that has arrived completely. `media` is None where the client did not name a type."""

    id: str
    name: str
    size_bytes: int
    sha256: str
    media: str | None
    uploaded_at: datetime
    kept_until: datetime


class Uploads:
    """The uploads of a project."""

    def __init__(self, project: "Opened") -> None:
        self._rights = project.store.rights
        folder = uploads_folder(project.settings, project.store)
        self.parts = os.path.join(folder, "parts")
        self._files = os.path.join(folder, "files")

    def begin(self, *, limit_bytes: int | None = None, expected_bytes: int = 0) -> "Arriving":
        """Return a new upload to write to. TooLarge or NoRoom if it cannot become that large."""
        if limit_bytes is not None and expected_bytes > limit_bytes:
            raise too_large(limit_bytes)
        try:
            self.make_folders()
            check_room(self.parts, expected_bytes)
            return Arriving(self, limit_bytes)
        except OSError as error:
            raise unavailable(error) from error

    def make_folders(self) -> None:
        """There are the folders for uploads that arrive, and that have arrived."""
        self._rights.make_folder(self.parts)
        self._rights.make_folder(self._files)

    def get(self, upload: str) -> Upload:
        """Return the upload of that id; NotFound if there is none, or it has not arrived yet."""
        folder = self.folder_of(upload)
        try:
            used_s = os.stat(folder).st_mtime
            with open(os.path.join(folder, "upload.json"), encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            raise unknown(upload) from None
        except OSError as error:
            raise unavailable(error) from error
        return Upload(
            id=upload,
            name=found["name"],
            size_bytes=found["size_bytes"],
            sha256=found["sha256"],
            media=found["media"],
            uploaded_at=datetime.fromisoformat(found["uploaded_at"]),
            kept_until=datetime.fromtimestamp(used_s, UTC) + timedelta(seconds=KEEP_S),
        )

    def path_of(self, upload: str) -> str:
        """Return where the content of an upload is."""
        return os.path.join(self.folder_of(upload), "content")

    def touch(self, upload: str) -> None:
        """The upload is kept for another day."""
        with suppress(OSError):
            os.utime(self.folder_of(upload))

    def remove(self, upload: str) -> None:
        """The upload cannot be named any more; jobs that have it keep it. NotFound if it is unknown."""
        folder = self.folder_of(upload)
        if not os.path.isdir(folder):
            raise unknown(upload)
        shutil.rmtree(folder, ignore_errors=True)

    def folder_of(self, upload: str) -> str:
        """Return the folder of an upload; NotFound for what is not an id."""
        if _ID.fullmatch(upload) is None:
            raise unknown(upload)
        return os.path.join(self._files, upload)

    def part_of(self, upload: str) -> str:
        """Return the folder of an upload while it arrives."""
        return os.path.join(self.parts, upload)

    def make_part(self) -> tuple[str, int]:
        """Return the id of a new upload and the descriptor of its empty file."""
        upload = secrets.token_hex(16)
        self._rights.make_inner_folder(self.part_of(upload))
        path = os.path.join(self.part_of(upload), "content")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return upload, self._rights.open(path, flags)

    def describe(
        self, upload: str, said: dict[str, object], *, file_name: str = "upload.json"
    ) -> None:
        """The description of an arriving upload is on disk."""
        path = os.path.join(self.part_of(upload), file_name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = self._rights.open(path, flags)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())

    def publish(self, upload: str) -> None:
        """The upload has arrived, durably."""
        _sync(self.part_of(upload))
        os.rename(self.part_of(upload), self.folder_of(upload))
        _sync(self._files)

    def sweep(self, *, now_s: float | None = None) -> Iterator[str]:
        """Remove uploads that are older than a day, one at each step; yield their ids."""
        until_s = (time.time() if now_s is None else now_s) - KEEP_S
        for folder in (self.parts, self._files):
            with suppress(FileNotFoundError), os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        is_old = _last_written_s(entry.path) < until_s
                    except OSError:
                        continue  # it has just been published, or removed
                    if is_old:
                        shutil.rmtree(entry.path, ignore_errors=True)
                        yield entry.name


class Arriving:
    """An upload on its way: written in pieces, hashed on the way, and then finished or discarded."""

    def __init__(self, uploads: Uploads, limit_bytes: int | None) -> None:
        self._uploads = uploads
        self._limit_bytes = limit_bytes
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._looked_bytes = 0
        self._begun_bytes = 0
        self._id, self._descriptor = uploads.make_part()

    def write(self, piece: bytes) -> None:
        """The piece is appended. TooLarge or NoRoom where it cannot be; then discard it."""
        self._size_bytes += len(piece)
        if self._limit_bytes is not None and self._size_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        try:
            if self._size_bytes - self._looked_bytes >= _LOOK_BYTES:
                self._looked_bytes = self._size_bytes
                check_room(self._uploads.part_of(self._id), 0)
            left = memoryview(piece)
            while left:
                left = left[os.write(self._descriptor, left) :]
            self._begun_bytes = begin_writing(self._descriptor, self._begun_bytes, self._size_bytes)
        except OSError as error:
            raise unavailable(error) from error
        self._hash.update(piece)

    def finish(self, *, name: str, media: str | None = None) -> Upload:
        """The upload is complete and durable, and can be named."""
        said = {
            "name": plain_name(name),
            "size_bytes": self._size_bytes,
            "sha256": self._hash.hexdigest(),
            "media": media,
            "uploaded_at": datetime.now(UTC).isoformat(),
        }
        try:
            os.fsync(self._descriptor)
            self._close()
            self._uploads.describe(self._id, said)
            self._uploads.publish(self._id)
        except OSError as error:
            raise unavailable(error) from error
        return self._uploads.get(self._id)

    def discard(self) -> None:
        """Nothing is left of it; one that was finished stays."""
        self._close()
        shutil.rmtree(self._uploads.part_of(self._id), ignore_errors=True)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def check_room(folder: str, wanted_bytes: int) -> None:
    """NoRoom unless the disk has this much, and some more that has to stay free."""
    found = os.statvfs(folder)
    free_bytes, size_bytes = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if free_bytes - wanted_bytes < min(SPARE_BYTES, size_bytes * SPARE_SHARE):
        raise NoRoom("the disk for uploads is full; try again later")


def begin_writing(descriptor: int, begun_bytes: int, size_bytes: int) -> int:
    """The disk has begun with what is new, once it is much: so the wait for it at the end is short.

    Return up to where it has begun. (Linux writes what it is advised that nobody needs.)
    """
    new_bytes = size_bytes - begun_bytes
    if new_bytes < _BEGIN_BYTES:
        return begun_bytes
    os.posix_fadvise(descriptor, begun_bytes, new_bytes, os.POSIX_FADV_DONTNEED)
    return size_bytes


def _last_written_s(folder: str) -> float:
    """Return when something last arrived: the folder of a part is older than its content."""
    times = [os.stat(folder).st_mtime]
    if os.path.basename(os.path.dirname(folder)) == "parts":
        times += [entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(folder)]
    return max(times)


def plain_name(name: str) -> str:
    """Return the last component of a client's name for a file, as text that can be shown."""
    last = re.split(r"[/\\]", name.encode("utf-8", "replace").decode("utf-8"))[-1]
    return last.strip()[:_NAME_CHARACTERS] or "file"


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def too_large(limit_bytes: int) -> TooLarge:
    """Return what to raise for a file that exceeds the limit."""
    return TooLarge(f"the file is larger than the limit of {limit_bytes:,} bytes")


def unknown(upload: str) -> NotFound:
    """Return what to raise where there is no such upload."""
    return NotFound(f"there is no upload `{upload[:60]}`; it may be older than a day")


def unavailable(error: OSError) -> Unavailable:
    """Return what to raise where the disk refuses something."""
    if error.errno in _FULL:
        return NoRoom("the disk for uploads is full; try again later")
    return Unavailable(f"the folder for uploads cannot be used: {error.strerror}")
