"""Files that say themselves whether they are whole: their text beside its own SHA-256.

A half-written, damaged, odd or far too large file is distinguished from a sound one by reading it, whatever
a file system or a copy has done to it.
"""

import hashlib
import json
import os
import stat
from contextlib import suppress
from secrets import token_hex
from typing import Any

from stoker.failpoints import hit

MOST_BYTES = 8 * 1024 * 1024
HIDDEN = ".tmp-"  # begins the name of what is not whole yet


class Broken(ValueError):
    """What is at a path is no sealed file; the text says why."""


def seal(value: Any) -> bytes:
    """Return the content of a file that holds the value."""
    body = json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    sealed = json.dumps({"body": body, "sha": hashlib.sha256(body.encode()).hexdigest()})
    return sealed.encode()


def unseal(content: bytes) -> Any:
    """Return what was sealed; Broken if it is not what was written."""
    try:
        outer = json.loads(content)
        body, sha = outer["body"], outer["sha"]
        is_whole = hashlib.sha256(body.encode()).hexdigest() == sha
        found = json.loads(body) if is_whole else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Broken(f"it is not whole, or was not written by Stoker ({error})") from None
    if not is_whole:
        raise Broken("its checksum is not that of its content")
    return found


def read(path: str) -> Any:
    """Return what the file holds. FileNotFoundError, or Broken for anything that is no sealed file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Broken(f"it cannot be opened: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Broken("it is no file")
        if found.st_size > MOST_BYTES:
            raise Broken(f"it has {found.st_size:,} bytes")
        content = b""
        while piece := os.read(descriptor, MOST_BYTES + 1 - len(content)):
            content += piece
    except OSError as error:
        raise Broken(f"it cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return unseal(content)


def write(path: str, value: Any, *, is_synced: bool = True) -> None:
    """The file is at the path, whole and durable, or not at all; its name only if it `is_synced`."""
    folder = os.path.dirname(path)
    hidden = os.path.join(folder, f"{HIDDEN}{token_hex(8)}")
    try:
        write_in_place(hidden, value)
        hit("outpost.written")
        try:
            os.rename(hidden, path)
        except FileNotFoundError:  # NFS says so of what it has done, if its first answer was lost
            if not os.path.lexists(path):
                raise
    except BaseException:
        with suppress(OSError):
            os.unlink(hidden)
        raise
    if is_synced:
        sync_folder(folder)


def write_in_place(path: str, value: Any) -> None:
    """The file is at the path and durable; not from one moment to the next. Its name must be new."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:
        file.write(seal(value))
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: str) -> None:
    """What was renamed in the folder survives a power cut, if its file system can promise that."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
