"""Owns the content of files here: size and SHA-256, and a name that nothing else has."""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass

from stoker.errors import Conflict, NotFound, Refused, UserError

_CHUNK = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a path on the other host: `none`, `file`, `folder`, `other`; `denied`: it may not be written.

    `path` is absolute. `holds` is missing where the content was not asked for or cannot be read.
    """

    kind: str
    path: str = ""
    size_bytes: int = 0
    holds: Contents | None = None


def read(path: str) -> Contents:
    """Return what the file at the path holds. NotFound, Refused, or UserError for what is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound(f"there is no file `{path}`") from None
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise Refused(f"`{path}` may not be read by this account") from None
        raise UserError(f"`{path}` cannot be read: {error.strerror}") from None
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            what = "a folder; pack it first" if stat.S_ISDIR(before.st_mode) else "not a file"
            raise UserError(f"`{path}` is {what}")
        digest = hashlib.sha256()
        size = 0
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
            size += len(chunk)
        if _stamp(os.fstat(descriptor)) != _stamp(before):
            raise Conflict(f"`{path}` changed while it was read")
    finally:
        os.close(descriptor)
    return Contents(size, digest.hexdigest())


def stamp(path: str) -> tuple[int, ...]:
    """Return what changes when the file does."""
    return _stamp(os.stat(path))


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def name_new(part: str, target: str) -> None:
    """The file `part` is at `target`, durable; FileExistsError, and nothing has changed, if that is taken."""
    sync(part)
    rename_new(part, target)
    sync(os.path.dirname(target))


def rename_new(part: str, target: str) -> None:
    """The file `part` is at `target`; FileExistsError, and nothing has changed, if that is taken."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(part, target)
    else:
        os.unlink(part)


def sync(path: str) -> None:
    """The file is on the disk; or the folder, where its file system can do that for a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
