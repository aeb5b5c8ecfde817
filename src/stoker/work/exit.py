"""How a process or a call ended: what was seen of it, before anybody says what that means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.work.capture import NOTHING, Captured


@dataclass(slots=True, kw_only=True)
class Exit:
    """How a process or a call ended, and what it used."""

    exit_code: int | None = None
    signal: int | None = None
    problem: str | None = None  # it could not start, or what it returned is wrong
    stated: str | None = None  # the line in STOKER_REASON
    error: str | None = None  # the exception of a python step
    values: Mapping[str, Any] = field(default_factory=dict)
    started_us: int = 0
    ended_us: int = 0
    user_us: int = 0
    system_us: int = 0
    max_rss_bytes: int = 0
    is_silent: bool = False  # its place's files were found empty
    stdout: Captured = NOTHING
    stderr: Captured = NOTHING
