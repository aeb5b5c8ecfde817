"""Owns the way of outputs from an attempt's scratch to their published paths.

An output appears whole or not at all, and publishing again after a crash ends in the same place: on
one file system by rename; across two by a copy under a hidden name beside the target, made durable,
then renamed. Every hidden name is noted in the worker's folder before it is made. What Stoker did
not write is never replaced, unless the step's `overwrite` says so.

Publishing can take longer than the attempt did. `permit` is asked before each file and while a long
one is read, and raises what ends it: a lost lease, a time limit, a person's order. What was published
until then stays; the task owns it.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from stoker.errors import OutputConflict
from stoker.failpoints import hit
from stoker.model.task import Published
from stoker.work.copying import copy_tree
from stoker.work.durable import parts_of, sync_all
from stoker.work.measure import measure
from stoker.work.outputs import OutputError, Piece
from stoker.work.permit import Permit, in_threads, no_limit
from stoker.work.placing import hidden_beside, place
from stoker.work.room import is_full_error
from stoker.work.scratch import WorkerFolder, wipe
from stoker.work.tree import Settling


def publish(
    pieces: Sequence[Piece],
    folder: WorkerFolder,
    *,
    own: Sequence[str],
    reserve: Callable[[Mapping[str, bool]], frozenset[str]],
    permit: Permit = no_limit,
    wait_for_room: Callable[[str], None] | None = None,
) -> tuple[Published, ...]:
    """Return the outputs as they are at their published paths.

    `own` are the folders of the attempt, of which its outputs are made. `reserve` asks the store for
    the paths before anything is changed there, and returns those that the task owned already. It
    gets for each whether it may be taken by a task that does not own it yet: not where there is a
    file already, unless `overwrite` is set. OutputConflict if one belongs to somebody else;
    OutputError if an output has something that cannot be published, or a path cannot be written.
    Where a folder has no room `wait_for_room` is called, after which the piece is tried again;
    without it that is an OutputError.
    """
    published = _settle(pieces, own, permit)
    ours = reserve(
        {
            piece.target: piece.output.overwrite or not os.path.lexists(piece.target)
            for piece in pieces
        }
    )
    hit("reserved")
    placing = _Placing(folder, ours, permit, wait_for_room)
    placing.place_all(pieces)
    sync_all(sorted({os.path.dirname(piece.target) for piece in pieces}), permit)
    return published


def _settle(pieces: Sequence[Piece], own: Sequence[str], permit: Permit) -> tuple[Published, ...]:
    """Return the pieces as they will be published; they have that form, and are on disk."""
    settling = Settling(own, permit)
    for piece in pieces:
        with _described(f"output `{piece.output.name}` cannot be published"):
            settling.settle(piece.source, piece.output.name)
    published = []
    for piece in pieces:  # after all are settled: they may be made of the same files
        with _described(f"output `{piece.output.name}` cannot be read"):
            size_bytes, checksum = measure(piece.source, permit)
        name, path = piece.output.name, piece.target
        published.append(Published(name=name, path=path, size_bytes=size_bytes, checksum=checksum))
    with _described("the outputs cannot be written to disk"):
        # What the system could not write is lost, and no second call would report it.
        sync_all([part for piece in pieces for part in parts_of(piece.source, permit)], permit)
    return tuple(published)


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
    """Puts pieces at their published paths; `ours` are those that the task owned before."""

    def __init__(
        self,
        folder: WorkerFolder,
        ours: frozenset[str],
        permit: Permit,
        wait_for_room: Callable[[str], None] | None,
    ) -> None:
        self._folder = folder
        self._ours = ours
        self._permit = permit
        self._wait_for_room = wait_for_room

    def place_all(self, pieces: Sequence[Piece]) -> None:
        """Every piece is at its path: moved, or copied where that cannot be."""
        copied = [piece for piece in pieces if piece.is_shared or not self._is_moved(piece)]
        in_threads(self._place_copy, copied, self._permit)

    def _is_moved(self, piece: Piece) -> bool:
        """Whether the piece could be moved to its path; if not, nothing has changed."""
        self._check_kind(piece)
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
        self._check_kind(piece)
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
        may_replace = output.overwrite or target in self._ours
        try:
            place(source, target, self._folder, may_replace=may_replace)
        except FileExistsError:
            raise OutputConflict(
                f"`{target}` exists and Stoker did not write it; "
                f"move it away, or set `overwrite = true` on output `{output.name}`"
            ) from None
        hit("published")

    def _check_kind(self, piece: Piece) -> None:
        """OutputError where a folder is in the place of a file, or the other way round."""
        target = piece.target
        if os.path.lexists(target) and os.path.isdir(target) != os.path.isdir(piece.source):
            there = "folder" if os.path.isdir(target) else "file"
            raise OutputError(
                f"output `{piece.output.name}` cannot be published at `{target}`: "
                f"there is a {there} of that name"
            )
