"""Uploads that go on where they broke off: each has a length from the beginning, and grows to it.

It is among the uploads that arrive, with a description of its own, and is published as they are. Its
offset is the size of its file, so that it holds whatever ends a process. What has not become whole
within a day of its last byte is removed.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from stoker.errors import LimitReached, NotFound, WrongState
from stoker.model.encoding import Answer
from stoker.project.jobs.uploads import (
    KEEP_S,
    NoRoom,
    Upload,
    Uploads,
    begin_writing,
    check_room,
    plain_name,
    too_large,
    unavailable,
    unknown,
)

if TYPE_CHECKING:
    from hashlib import _Hash

    from stoker.project.opened import Opened

MOST = 10_000  # that have not become whole, of all clients
_LOOK_BYTES = 64 << 20  # written between two looks at the free disk
_READ_BYTES = 1 << 20
_HASHES = 1_000  # that are remembered from one request to the next
_hashes: "OrderedDict[str, tuple[int, _Hash]]" = OrderedDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial(Answer):
    """An upload of `size_bytes` of which `offset` bytes are there."""

    id: str
    name: str
    media: str | None
    size_bytes: int
    offset: int
    kept_until: datetime


class WrongOffset(WrongState):
    """A piece does not begin where the upload ends."""


class Busy(WrongState):
    """Another process writes to the upload."""


class Resumable:
    """The unfinished uploads of a project that may go on."""

    def __init__(self, project: "Opened") -> None:
        self._uploads = Uploads(project)

    def create(
        self, *, size_bytes: int, name: str, media: str | None, limit_bytes: int | None
    ) -> Partial:
        """There is an empty upload that is going to have this size. TooLarge or NoRoom if it cannot.

        LimitReached where too many are unfinished.
        """
        if limit_bytes is not None and size_bytes > limit_bytes:
            raise too_large(limit_bytes)
        try:
            self._uploads.make_folders()
            check_room(self._uploads.parts, size_bytes)
            if sum(1 for _ in os.scandir(self._uploads.parts)) >= MOST:
                raise LimitReached("too many uploads are unfinished; try again later", after_s=60)
            upload, descriptor = self._uploads.make_part()
            os.close(descriptor)
            said: dict[str, object] = {
                "name": plain_name(name),
                "media": media,
                "size_bytes": size_bytes,
            }
            self._uploads.describe(upload, said, file_name="partial.json")
        except OSError as error:
            raise unavailable(error) from error
        return self.get(upload)

    def get(self, upload: str) -> Partial:
        """Return how far it is; NotFound if there is no such upload.

        One of which everything has come can be named, also where a crash came in between.
        """
        try:
            partial = self._unfinished(upload)
            if partial.offset < partial.size_bytes:
                return partial
            self.open(upload, offset=partial.offset).close()
        except NotFound:
            pass  # it has become whole, maybe just now
        found = self._uploads.get(upload)
        return Partial(
            id=upload,
            name=found.name,
            media=found.media,
            size_bytes=found.size_bytes,
            offset=found.size_bytes,
            kept_until=found.kept_until,
        )

    def remove(self, upload: str) -> None:
        """Nothing is left of it, whole or not. NotFound if there is none."""
        try:
            self._unfinished(upload)
        except NotFound:
            self._uploads.remove(upload)
            return
        self._forget(upload)

    def open(self, upload: str, *, offset: int) -> "Growing":
        """Return the upload, to write to from this offset on, which has to be its size.

        WrongOffset if it is another, Busy while another process writes, NotFound if there is none.
        """
        found = self._unfinished(upload)
        path = os.path.join(self._uploads.part_of(upload), "content")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise unknown(upload) from None
        except OSError as error:
            raise unavailable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(descriptor).st_size
            _check_offset(size, offset)
        except BlockingIOError:
            os.close(descriptor)
            raise Busy("another request writes to this upload; try again in a moment") from None
        except BaseException:
            os.close(descriptor)
            raise
        return Growing(self, found, descriptor)

    def finish(self, partial: Partial, digest: "_Hash") -> Upload:
        """The upload is whole and durable, and can be named."""
        said: dict[str, object] = {
            "name": partial.name,
            "size_bytes": partial.size_bytes,
            "media": partial.media,
            "sha256": digest.hexdigest(),
            "uploaded_at": datetime.now(UTC).isoformat(),
        }
        try:
            self._uploads.describe(partial.id, said)
            self._uploads.publish(partial.id)
        except OSError as error:
            raise unavailable(error) from error
        _hashes.pop(partial.id, None)
        return self._uploads.get(partial.id)

    def hash_until(self, partial: Partial, descriptor: int, offset: int) -> "_Hash":
        """Return the digest of the first bytes: remembered, or computed from the file."""
        known = _hashes.pop(partial.id, None)
        if known is not None and known[0] == offset:
            return known[1]
        digest, at = hashlib.sha256(), 0
        while at < offset and (piece := os.pread(descriptor, min(_READ_BYTES, offset - at), at)):
            digest.update(piece)
            at += len(piece)
        return digest

    def remember(self, upload: str, offset: int, digest: "_Hash") -> None:
        """What has come until now has this digest."""
        _hashes[upload] = offset, digest
        if len(_hashes) > _HASHES:
            _hashes.popitem(last=False)

    def check_room(self) -> None:
        """NoRoom where the disk is about to be full."""
        check_room(self._uploads.parts, 0)

    def drop(self, upload: str) -> None:
        """Nothing is left of an unfinished upload."""
        self._forget(upload)

    def _forget(self, upload: str) -> None:
        _hashes.pop(upload, None)
        shutil.rmtree(self._uploads.part_of(upload), ignore_errors=True)

    def _unfinished(self, upload: str) -> Partial:
        self._uploads.folder_of(upload)  # NotFound for what is not an id
        folder = self._uploads.part_of(upload)
        try:
            with open(os.path.join(folder, "partial.json"), encoding="utf-8") as file:
                said: dict[str, Any] = json.load(file)
            there = os.stat(os.path.join(folder, "content"))
        except FileNotFoundError:
            raise unknown(upload) from None
        except OSError as error:
            raise unavailable(error) from error
        return Partial(
            id=upload,
            name=said["name"],
            media=said["media"],
            size_bytes=said["size_bytes"],
            offset=there.st_size,
            kept_until=datetime.fromtimestamp(there.st_mtime, UTC) + timedelta(seconds=KEEP_S),
        )


def _check_offset(size: int, offset: int) -> None:
    if size != offset:
        raise WrongOffset(f"{size:,} bytes are there; go on at `Upload-Offset: {size}`")


class Growing:
    """An upload while a request adds to it; `close` it in the end, whatever came."""

    def __init__(self, owner: Resumable, partial: Partial, descriptor: int) -> None:
        self._owner = owner
        self._partial = partial
        self._descriptor = descriptor
        self.offset = partial.offset
        self._digest = owner.hash_until(partial, descriptor, self.offset)
        self._looked_bytes = self._begun_bytes = self.offset

    def write(self, piece: bytes) -> None:
        """The piece is appended. TooLarge where it is too long; NoRoom, and then nothing is left."""
        if self.offset + len(piece) > self._partial.size_bytes:
            raise too_large(self._partial.size_bytes)
        left = memoryview(piece)
        try:
            if self.offset - self._looked_bytes >= _LOOK_BYTES:
                self._looked_bytes = self.offset
                self._owner.check_room()
            while left:
                written = os.write(self._descriptor, left)
                self._digest.update(left[:written])
                self.offset += written
                left = left[written:]
            self._begun_bytes = begin_writing(self._descriptor, self._begun_bytes, self.offset)
        except NoRoom:
            self._owner.drop(self._partial.id)
            raise
        except OSError as error:
            problem = unavailable(error)
            if isinstance(problem, NoRoom):
                self._owner.drop(self._partial.id)
            raise problem from error

    def close(self) -> Upload | None:
        """What has come is kept; return the upload if it is whole now, and durable."""
        try:
            if self.offset < self._partial.size_bytes:
                self._owner.remember(self._partial.id, self.offset, self._digest)
                return None
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise unavailable(error) from error
            return self._owner.finish(self._partial, self._digest)
        finally:
            os.close(self._descriptor)
