"""What passes through a spool: bundles, which hold a task for one attempt, and results."""

from dataclasses import dataclass, field
from typing import Any

from stoker.model.task import Claimed, Result

PROTOCOL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One attempt: the task as it was claimed, and the name of its pipeline's version in `versions`.

    Of a group, `pages` of its members are in `members`. `epoch` is the state of the store that sent it.
    """

    claimed: Claimed
    version: str
    pages: int = 0
    epoch: int = 0
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An output that waits in the spool to be published: which of its step's, and under which name."""

    name: str
    position: int  # of the folder in which it waits
    basename: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """How an attempt ended there, with what its start has staged. `result` has no outputs itself.

    `batch_id` is the batch job in which it ran; `epoch` is that of its bundle.
    """

    result: Result
    start: str
    node: str
    staged: tuple[Staged, ...] = ()
    batch_id: str | None = None
    epoch: int = 0
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A pipeline as one version has it, with its folder at the outpost, as canonical text."""

    spec: str
    protocol: int = PROTOCOL
    more: dict[str, Any] = field(default_factory=dict)
