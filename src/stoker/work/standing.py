"""Owns the look at what is at a published path already, and whether it may be replaced.

Only what Stoker published is replaced, known by its content: a file by its checksum, a folder by
every file, folder and link in it. What somebody changed or put there is theirs.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

from stoker.model.file_kinds import kind_of
from stoker.model.task import Content
from stoker.work.measure import NotPlain, Part, digest, measure, part_at, parts_in, split
from stoker.work.outputs import Piece
from stoker.work.permit import Permit

Stamps = frozenset[tuple[bytes, int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is at a path. `refusal` says why it may not be replaced; None if it may.

    `content` is which of the task's own contents it is, or a part of; `stamps` are how everything
    there looked.
    """

    refusal: str | None = None
    content: Content | None = None
    stamps: Stamps = field(default=frozenset())


def stamps_of(path: str) -> Stamps:
    """Return how everything at a path looks now, the path itself as a part without a name."""
    top = part_at(path)
    inside = parts_in(path, lambda: None) if stat.S_ISDIR(top.found.st_mode) else []
    return frozenset(part.stamp for part in (top, *inside))


def reach(path: str) -> str:
    """Return what is there of the path: itself, or the nearest folder above it."""
    while not os.path.lexists(path) and path != (above := os.path.dirname(path)):
        path = above
    return path


def look(piece: Piece, own: Sequence[Content], permit: Permit) -> Standing | None:
    """Return what is at the piece's path, if anything. `own` is what the task may have put there."""
    try:
        top = part_at(piece.target)
    except (FileNotFoundError, NotADirectoryError):
        return None
    mode = top.found.st_mode
    may_overwrite = piece.output.overwrite
    if stat.S_ISDIR(mode) != os.path.isdir(piece.source):
        return Standing(_refusal(piece, "", kind_of(mode), is_known=False))
    if not stat.S_ISDIR(mode):
        stamps = frozenset((top.stamp,))
        if may_overwrite:
            return Standing(None, None, stamps)
        content = _same_file(top, own, permit) if stat.S_ISREG(mode) else None
        refusal = None if content else _refusal(piece, "", kind_of(mode), is_known=bool(own))
        return Standing(refusal, content, stamps)
    parts = parts_in(piece.target, permit)
    stamps = frozenset(part.stamp for part in (top, *parts))
    folders = [one for one in own if one.parts is not None]
    if not (folders or may_overwrite):
        return Standing(_refusal(piece, "", "a folder", is_known=bool(own)), None, stamps)
    new = {part.name for part in parts_in(piece.source, permit)} if may_overwrite else set()
    foreign, content = _compare([part for part in parts if part.name not in new], folders, permit)
    refusal = None
    if foreign is not None:
        refusal = _refusal(piece, os.fsdecode(foreign.name), "", is_known=bool(folders))
    return Standing(refusal, content, stamps)


def _same_file(part: Part, own: Sequence[Content], permit: Permit) -> Content | None:
    """Return which of the contents the file has; it is read only if one has its size."""
    size_bytes = part.found.st_size
    if not any(one.parts is None and one.size_bytes == size_bytes for one in own):
        return None
    there = measure(part.path, permit)
    return next((one for one in own if one == there), None)


def _compare(
    parts: Sequence[Part], own: Sequence[Content], permit: Permit
) -> tuple[Part | None, Content | None]:
    """Return the content that all these parts are of; or the first part that is of none."""
    possible = [(one, frozenset(split(one.parts or b""))) for one in own]
    for part in parts:
        try:
            found = digest(part, permit)
        except NotPlain:
            return part, None
        possible = [(one, digests) for one, digests in possible if found in digests]
        if not possible:
            return part, None
    return None, possible[0][0] if possible else None


def _refusal(piece: Piece, name: str, kind: str, *, is_known: bool) -> str:
    target, output = piece.target, piece.output.name
    if name:
        return (
            f"`{name}` in `{target}` is not as Stoker published it; move it away, "
            "then `stoker retry`"
        )
    if is_known:
        return (
            f"`{target}` is not what Stoker published there; move it away, or set "
            f"`overwrite = true` on output `{output}`"
        )
    what = "exists" if kind == "a file" else f"exists, as {kind},"
    return (
        f"`{target}` {what} and Stoker did not write it; move it away, or set "
        f"`overwrite = true` on output `{output}`"
    )
