"""Owns the way of outputs from an attempt's scratch to their published paths.

An output appears whole or not at all, and publishing again after a crash ends in the same place: on
one file system by rename; across two by a copy under a hidden name beside the target, made durable,
then renamed. Every hidden name is noted in the worker's folder before it is made. What Stoker did
not write, or somebody changed since, is never replaced, unless the output's `overwrite` says so.

Publishing can take longer than the attempt did. `permit` is asked before each file and while a long
one is read, and raises what ends it: a lost lease, a time limit, a person's order. What was published
until then stays; the task owns it.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from stoker.errors import OutputConflict
from stoker.failpoints import hit
from stoker.model.task import Content, Published, Wanted
from stoker.work.copying import copy_tree
from stoker.work.durable import parts_of, sync_all
from stoker.work.measure import measure
from stoker.work.outputs import OutputError, Piece
from stoker.work.permit import Permit, in_threads, no_limit
from stoker.work.placing import HiddenNames, hidden_beside, place
from stoker.work.room import is_full_error
from stoker.work.scratch import wipe
from stoker.work.standing import Stamps, Standing, look, reach
from stoker.work.tree import Settling


class Record(Protocol):
    """What the store has of published paths, for one attempt."""

    def contents_of(self, paths: Sequence[str]) -> Mapping[str, Sequence[Content]]:
        """Return what the task may have published at these paths; others' are left out."""

    def reserve(self, wanted: Sequence[Wanted]) -> None:
        """The task owns these paths; OutputConflict if it may not."""


def publish(
    pieces: Sequence[Piece],
    folder: HiddenNames,
    record: Record,
    *,
    own: Sequence[str],
    permit: Permit = no_limit,
    wait_for_room: Callable[[str], None] | None = None,
) -> tuple[Published, ...]:
    """Return the outputs as they are at their published paths.

    `own` are the folders of the attempt, of which its outputs are made. The paths are reserved before
    anything is changed there. OutputConflict if one belongs to another task, or there is something
    that may not be replaced; OutputError if an output has something that cannot be published, or a
    path cannot be written. Where a folder has no room `wait_for_room` is called, after which the
    piece is tried again; without it that is an OutputError.
    """
    contents = _settle(pieces, own, permit)
    standings = _look(pieces, record, permit)
    record.reserve(
        [
            Wanted(
                names=piece.names,
                content=content,
                found=standing.content if standing else None,
                refusal=standing.refusal if standing else None,
                reach=tuple(map(reach, piece.names)),
            )
            for piece, content, standing in zip(pieces, contents, standings, strict=True)
        ]
    )
    hit("reserved")
    replaced = {
        piece.target: standing.stamps
        for piece, standing in zip(pieces, standings, strict=True)
        if standing is not None
    }
    _Placing(folder, replaced, permit, wait_for_room).place_all(pieces)
    sync_all(sorted({os.path.dirname(piece.names[-1]) for piece in pieces}), permit)
    return tuple(
        Published(
            name=piece.output.name,
            path=piece.target,
            size_bytes=content.size_bytes,
            checksum=content.checksum,
        )
        for piece, content in zip(pieces, contents, strict=True)
    )


def _settle(pieces: Sequence[Piece], own: Sequence[str], permit: Permit) -> list[Content]:
    """Return what the pieces hold; they have the form that is published, and are on disk."""
    settling = Settling(own, permit)
    for piece in pieces:
        with _described(f"output `{piece.output.name}` cannot be published"):
            settling.settle(piece.source, piece.output.name)
    contents = []
    for piece in pieces:  # after all are settled: they may be made of the same files
        with _described(f"output `{piece.output.name}` cannot be read"):
            contents.append(measure(piece.source, permit))
    with _described("the outputs cannot be written to disk"):
        # What the system could not write is lost, and no second call would report it.
        sync_all([part for piece in pieces for part in parts_of(piece.source, permit)], permit)
    return contents


def _look(pieces: Sequence[Piece], record: Record, permit: Permit) -> list[Standing | None]:
    """Return for each piece what is at its published path already."""
    there = [name for piece in pieces if os.path.lexists(piece.target) for name in piece.names]
    known = record.contents_of(there) if there else {}
    found = []
    for piece in pieces:
        own = [content for name in piece.names for content in known.get(name, ())]
        with _described(f"what is at `{piece.target}` cannot be read"):
            found.append(look(piece, own, permit))
    return found


@contextmanager
def _described(what: str) -> Iterator[None]:
    """An error of the file system inside becomes an OutputError that begins with `what`."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOTDIR, errno.EEXIST):
            raise OutputError(f"{what}: a part of the path is a file, not a folder") from problem
        where = f" (`{os.fsdecode(problem.filename)}`)" if problem.filename else ""
        raise OutputError(f"{what}: {problem.strerror or problem}{where}") from problem


class _Placing:
    """Puts pieces at their published paths; `replaced` is what is there and may be deleted."""

    def __init__(
        self,
        folder: HiddenNames,
        replaced: Mapping[str, Stamps],
        permit: Permit,
        wait_for_room: Callable[[str], None] | None,
    ) -> None:
        self._folder = folder
        self._replaced = replaced
        self._permit = permit
        self._wait_for_room = wait_for_room

    def place_all(self, pieces: Sequence[Piece]) -> None:
        """Every piece is at its path: moved, or copied where that cannot be."""
        copied = [piece for piece in pieces if piece.is_shared or not self._is_moved(piece)]
        in_threads(self._place_copy, copied, self._permit)

    def _is_moved(self, piece: Piece) -> bool:
        """Whether the piece could be moved to its path; if not, nothing has changed."""
        self._permit()
        try:
            self._in_room(piece, lambda: self._place(piece.source, piece))
        except OutputError as problem:
            if getattr(problem.__cause__, "errno", None) != errno.EXDEV:
                raise
            return False
        return True

    def _place_copy(self, piece: Piece) -> None:
        """A durable copy, made hidden beside the target, is at the target."""
        hidden = hidden_beside(piece.target)

        def copy() -> None:
            try:
                os.makedirs(os.path.dirname(hidden), exist_ok=True)
                copy_tree(piece.source, hidden, self._permit)
                sync_all(parts_of(hidden, self._permit), self._permit)
                hit("copied")
                self._permit()
                self._place(hidden, piece)
            finally:
                wipe(hidden)

        with self._folder.hidden(hidden):
            self._in_room(piece, copy)

    def _in_room(self, piece: Piece, act: Callable[[], None]) -> None:
        """`act` is done, again where there was no room, once there may be; OutputError if it fails."""
        while True:
            try:
                with _described(
                    f"output `{piece.output.name}` cannot be published at `{piece.target}`"
                ):
                    act()
            except OutputError as problem:
                cause = problem.__cause__
                if cause is None or self._wait_for_room is None or not is_full_error(cause):
                    raise
            else:
                return
            self._wait_for_room(os.path.dirname(piece.target))

    def _place(self, source: str, piece: Piece) -> None:
        target, output = piece.target, piece.output
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            place(source, target, self._folder, replaced=self._replaced.get(target))
        except FileExistsError:
            raise OutputConflict(
                f"`{target}` was written by somebody else while output `{output.name}` was "
                "published; move it away, then `stoker retry`"
            ) from None
        hit("published")
