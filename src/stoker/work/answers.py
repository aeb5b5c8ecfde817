"""Owns the reading of files that an attempt may have made: its values, its reason, its environment.

An attempt can put anything at such a path. Only a regular file is ever opened, never through a link,
and no more of it is read than was asked for, so that reading can neither hang nor have effects.
"""

import os
import stat
from typing import Any

from stoker.model.strict_json import read_json
from stoker.work.slot import Seat

VALUES_BYTES = 64 * 1024
REASON_BYTES = 4096
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class BadAnswer(ValueError):
    """What an attempt left at a path cannot be what it was asked for there; the message says why."""


def read_regular(path: str, limit_bytes: int) -> bytes | None:
    """Return up to `limit_bytes` + 1 bytes of a regular file; None if nothing is there.

    BadAnswer names what is there instead, or why it cannot be read.
    """
    try:
        _check_kind(os.lstat(path))  # before it is opened: opening a device may have effects
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise BadAnswer(f"cannot be read: {problem.strerror}") from problem
    try:
        _check_kind(os.fstat(descriptor))
        return os.read(descriptor, limit_bytes + 1)
    except OSError as problem:
        raise BadAnswer(f"cannot be read: {problem.strerror}") from problem
    finally:
        os.close(descriptor)


def _check_kind(found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind != stat.S_IFREG:
        raise BadAnswer(f"is {_KINDS.get(kind, 'something else')}, where a file is expected")


def read_reason(seat: Seat) -> str | None:
    """Return the first line that the attempt wrote into STOKER_REASON, if it did. Or BadAnswer."""
    try:
        content = read_regular(seat.reason, REASON_BYTES)
    except BadAnswer as problem:
        raise BadAnswer(f"STOKER_REASON {problem}; write one line into it") from problem
    if not content:
        return None
    lines = content[:REASON_BYTES].decode("utf-8", "replace").split("\n")
    return lines[0].strip() or None


def read_values(seat: Seat) -> dict[str, Any]:
    """Return what the attempt wrote into STOKER_VALUES. BadAnswer says what is wrong with it.

    Numbers that JSON does not have, as NaN, become null.
    """
    try:
        content = read_regular(seat.values, VALUES_BYTES)
    except BadAnswer as problem:
        raise BadAnswer(f"STOKER_VALUES {problem}; write a JSON object into it") from problem
    if not content or not content.strip():
        return {}
    if len(content) > VALUES_BYTES:
        raise BadAnswer(f"the file STOKER_VALUES has more than {VALUES_BYTES} bytes")
    try:
        values = read_json(content)
    except ValueError as problem:
        raise BadAnswer(f"the file STOKER_VALUES is not JSON: {problem}") from problem
    if not isinstance(values, dict):
        raise BadAnswer("the file STOKER_VALUES does not contain a JSON object")
    return values
