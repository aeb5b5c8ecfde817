"""Members of a group, as the steps of the group get to see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stoker.model.volume import PackedFile


class MemberOutput(NamedTuple):
    """One output of a member, at its published path; a temporary one may be `removed` by now."""

    path: str
    size_bytes: int
    checksum: str
    removed: bool = False


@dataclass(slots=True, kw_only=True)  # not frozen: that takes twice as long to make, of 100,000
class Member:
    """One member, as it was when its group was complete; `state` is a word. Nobody changes it.

    `values` and `outputs` are by step; an output may be several files. `pack` is what goes into a
    volume, None elsewhere; `superseded` where the member was done again, and is in a later volume too.
    """

    key: str
    state: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, tuple[MemberOutput, ...]]] = field(default_factory=dict)
    reason: str | None = None
    pack: tuple[PackedFile, ...] | None = None
    superseded: bool = False
