"""Ids that are unique without asking anybody: UUID version 7 (RFC 9562, section 5.7)."""

import hashlib
import os
import threading
import time
from uuid import UUID

from stoker.model.id_types import AttemptId

_lock = threading.Lock()
_last_us = 0


def new_attempt_id() -> AttemptId:
    """Return 16 bytes that sort after every id this process made before.

    48 bits of milliseconds, 12 bits of the microseconds within it, 62 random bits. Where the clock
    stands still or steps back, time is counted on by one microsecond an id.
    """
    global _last_us  # noqa: PLW0603 - one counter a process is what makes the ids ascend
    with _lock:
        now_us = max(time.time_ns() // 1000, _last_us + 1)
        _last_us = now_us
    milliseconds, microseconds = divmod(now_us, 1000)
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = milliseconds << 80 | 0x7 << 76 | (microseconds << 2) << 64 | 0b10 << 62 | random
    return AttemptId(value.to_bytes(16, "big"))


def first_attempt_id(at_us: int) -> AttemptId:
    """Return an id that sorts before all that are made from that time on, by the clock of their host."""
    return AttemptId((max(at_us, 0) // 1000 << 80).to_bytes(16, "big"))


def digest_of(path: bytes) -> bytes:
    """Return 16 bytes that stand for a path, which may be longer than a database's keys."""
    return hashlib.blake2b(path, digest_size=16).digest()


def text_of(attempt: bytes) -> str:
    """Return an attempt's id as people see it."""
    text = attempt.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def id_of(text: str) -> AttemptId:
    """Return the id that `text` shows; ValueError if it is none."""
    return AttemptId(UUID(text).bytes)
