"""Owns the way of outputs from an attempt's scratch to their published paths.

An output appears whole or not at all, and publishing again after a crash ends in the same place: on
one file system by rename; across two by a copy under a hidden name beside the target, made durable,
then renamed. Every hidden name is noted in the worker's folder before it is made. What Stoker did
not write is never replaced, unless the step's `overwrite` says so.

An output that is a symbolic link is published as what it points to when that lies in the scratch
(the link is followed once, here), and refused otherwise: a link out of the scratch would publish a
name for somebody else's file.
"""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from glob import escape, glob
from secrets import token_hex

from stoker.errors import OutputConflict, StaleAttempt
from stoker.failpoints import hit
from stoker.model.pipeline import Output, Step
from stoker.model.task import Published
from stoker.work.measure import measure
from stoker.work.room import is_full_error, speaks_of_room
from stoker.work.scratch import HIDDEN, WorkerFolder, wipe

OUT = "out"  # the folder in the scratch for the paths that `{out.NAME}` gives
_AT_FDCWD = -100
_NOREPLACE, _EXCHANGE = 1, 2


class OutputError(Exception):
    """An output is not as the step declares it, or cannot be put in place; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One file or folder of an output: where it lies now, and where it is to be."""

    output: Output
    source: str
    target: str


def find_pieces(
    step: Step, *, scratch: str, made: Mapping[str, str], targets: Mapping[str, str]
) -> list[Piece]:
    """Return what there is to publish. OutputError if a declared output is missing or ambiguous.

    `made` gives the path that `{out.NAME}` had, `targets` the published path of each output.
    """
    pieces: list[Piece] = []
    for output in step.outputs:
        target = targets[output.name]
        if output.pick is not None:
            pieces += _picked(output, scratch, target)
        elif os.path.lexists(made[output.name]):
            pieces.append(Piece(output, made[output.name], target.rstrip("/")))
        elif not output.optional:
            raise OutputError(f"output `{output.name}` was not made (`{made[output.name]}`)")
    for piece in pieces:
        _check_kind(piece, scratch)
    taken: dict[str, str] = {}
    for piece in pieces:
        other = taken.setdefault(piece.target, piece.output.name)
        if other != piece.output.name:
            raise OutputError(
                f"outputs `{other}` and `{piece.output.name}` would both be `{piece.target}`"
            )
    return pieces


def _picked(output: Output, scratch: str, target: str) -> list[Piece]:
    pattern = output.pick or ""
    found = sorted(glob(os.path.join(escape(scratch), pattern), recursive=True))
    made = os.path.join(scratch, OUT)
    found = [
        path
        for path in found
        if _is_inside(path, scratch) and path != made and not path.startswith(made + "/")
    ]
    if not found:
        if output.optional:
            return []
        raise OutputError(f"output `{output.name}` was not made (nothing matches `{pattern}`)")
    if output.is_folder or target.endswith("/"):
        names: dict[str, str] = {}
        for path in found:
            name = os.path.basename(path.rstrip("/"))
            if name in names:
                raise OutputError(
                    f"output `{output.name}`: `{pattern}` matches two files named `{name}`"
                )
            names[name] = path
        return [Piece(output, path, os.path.join(target, name)) for name, path in names.items()]
    if len(found) > 1:
        raise OutputError(
            f"output `{output.name}`: `{pattern}` matches {len(found)} files and `to` names one; "
            "end `to` with a slash to take all"
        )
    return [Piece(output, found[0], target)]


def _is_inside(path: str, folder: str) -> bool:
    real, of = os.path.realpath(path), os.path.realpath(folder)
    return real.startswith(of + "/")


def _check_kind(piece: Piece, scratch: str) -> None:
    """The piece is a file or folder of the attempt's own; OutputError otherwise."""
    name, source = piece.output.name, piece.source
    if os.path.islink(source) and not (os.path.exists(source) and _is_inside(source, scratch)):
        raise OutputError(f"output `{name}` is a symbolic link that leads out of the scratch")
    mode = os.stat(source).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OutputError(f"output `{name}` is neither a file nor a folder (`{source}`)")
    wants_folder = piece.output.is_folder and piece.output.pick is None
    if wants_folder and not stat.S_ISDIR(mode):
        raise OutputError(
            f"output `{name}` is a file, and `to` ends with a slash, which names a folder"
        )


def publish(
    pieces: Sequence[Piece],
    folder: WorkerFolder,
    *,
    reserve: Callable[[Mapping[str, bool]], frozenset[str]],
    is_ours: Callable[[], bool] = lambda: True,
    wait_for_room: Callable[[str], None] | None = None,
) -> tuple[Published, ...]:
    """Return the outputs as they lie at their published paths.

    `reserve` asks the store for the paths before anything is changed, and returns those that the
    task owned already. It is told for each whether it may be taken by one that does not own it yet:
    not where there is a file already, unless `overwrite` is set. OutputConflict if one belongs to
    somebody else; OutputError if a path cannot be written. What was published before a failure
    stays: the task owns it. StaleAttempt as soon as `is_ours` says that another attempt may have
    begun: a copy can take longer than a lease. Where a folder has no room `wait_for_room` is called,
    after which the piece is tried again; without it that is an OutputError.
    """
    ours = reserve(
        {
            piece.target: piece.output.overwrite or not os.path.lexists(piece.target)
            for piece in pieces
        }
    )
    hit("reserved")
    published: list[Published] = []
    for piece in pieces:
        may_replace = piece.output.overwrite or piece.target in ours
        try:
            published.append(
                _publish_piece(
                    piece,
                    folder,
                    may_replace=may_replace,
                    is_ours=is_ours,
                    wait_for_room=wait_for_room,
                )
            )
        except OSError as problem:
            raise OutputError(_describe(piece, problem)) from problem
        hit("published")
    return tuple(published)


def _describe(piece: Piece, problem: OSError) -> str:
    what = f"output `{piece.output.name}` cannot be published at `{piece.target}`"
    if problem.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{what}: a part of the path is a file, not a folder"
    return f"{what}: {problem.strerror}"


def _publish_piece(
    piece: Piece,
    folder: WorkerFolder,
    *,
    may_replace: bool,
    is_ours: Callable[[], bool],
    wait_for_room: Callable[[str], None] | None,
) -> Published:
    source = os.path.realpath(piece.source)
    if os.path.lexists(piece.target) and os.path.isdir(piece.target) != os.path.isdir(source):
        there = "folder" if os.path.isdir(piece.target) else "file"
        raise OutputError(
            f"output `{piece.output.name}` cannot be published at `{piece.target}`: "
            f"there is a {there} of that name"
        )
    size_bytes, checksum = measure(source)
    _sync(source)  # what the system could not write is lost, and no second call would say so
    while True:
        _check_right(is_ours)
        try:
            _place_anywhere(source, piece, folder, may_replace=may_replace, is_ours=is_ours)
        except OSError as problem:
            if wait_for_room is None or not is_full_error(problem):
                raise
        else:
            break
        wait_for_room(os.path.dirname(piece.target))
    _sync_one(os.path.dirname(piece.target))
    return Published(
        name=piece.output.name, path=piece.target, size_bytes=size_bytes, checksum=checksum
    )


def _place_anywhere(
    source: str,
    piece: Piece,
    folder: WorkerFolder,
    *,
    may_replace: bool,
    is_ours: Callable[[], bool],
) -> None:
    """`source`, or a copy of it, is at the target; OSError, and nothing has changed, if not."""
    os.makedirs(os.path.dirname(piece.target), exist_ok=True)
    try:
        _place(source, piece, folder, may_replace=may_replace)
    except OSError as problem:
        if problem.errno != errno.EXDEV:
            raise
        _place_copy(source, piece, folder, may_replace=may_replace, is_ours=is_ours)


def _check_right(is_ours: Callable[[], bool]) -> None:
    if not is_ours():
        raise StaleAttempt("the lease has run out; this attempt publishes nothing more")


def _place_copy(
    source: str,
    piece: Piece,
    folder: WorkerFolder,
    *,
    may_replace: bool,
    is_ours: Callable[[], bool],
) -> None:
    """A durable copy, made hidden beside the target, is at the target."""
    hidden = os.path.join(os.path.dirname(piece.target), f"{HIDDEN}{token_hex(8)}")
    with folder.hidden(hidden):
        try:
            _copy(source, hidden)
            hit("copied")
            _check_right(is_ours)
            _place(hidden, piece, folder, may_replace=may_replace)
        finally:
            wipe(hidden)


def _place(source: str, piece: Piece, folder: WorkerFolder, *, may_replace: bool) -> None:
    """`source` is at the target from one moment to the next; what was there before is gone."""
    target = piece.target
    try:
        _rename_new(source, target)
    except FileExistsError:
        if not may_replace:
            raise OutputConflict(
                f"`{target}` exists and Stoker did not write it; "
                f"move it away, or set `overwrite = true` on output `{piece.output.name}`"
            ) from None
        if os.path.isdir(source):
            _replace_folder(source, target, folder)
        else:
            os.replace(source, target)


_libc = ctypes.CDLL(None, use_errno=True)


def _renameat2(source: str, target: str, flags: int) -> None:
    result = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _rename_new(source: str, target: str) -> None:
    """Rename to a name that is free; FileExistsError if it is taken.

    File systems that cannot promise it in one call get a hard link (files), or a look before.
    """
    try:
        _renameat2(source, target, _NOREPLACE)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    else:
        return
    if os.path.isdir(source):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target)
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # no hard links either
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
        os.rename(source, target)
    else:
        os.unlink(source)


def _replace_folder(source: str, target: str, folder: WorkerFolder) -> None:
    """The folder `source` stands at `target` in place of our earlier one, which is removed."""
    aside = os.path.join(os.path.dirname(target), f"{HIDDEN}{token_hex(8)}")
    with folder.hidden(aside):
        os.rename(source, aside)
        try:
            _renameat2(aside, target, _EXCHANGE)
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise
            _swap_by_hand(aside, target, folder)
        else:
            hit("exchanged")
        finally:
            wipe(aside)


def _swap_by_hand(aside: str, target: str, folder: WorkerFolder) -> None:
    """Swap where the file system cannot exchange: for a moment there is nothing at `target`."""
    old = os.path.join(os.path.dirname(target), f"{HIDDEN}{token_hex(8)}")
    with folder.hidden(old):
        os.rename(target, old)
        os.rename(aside, target)
        wipe(old)


def _copy(source: str, target: str) -> None:
    """`target` is a durable copy with times and rights; symbolic links inside stay links."""
    if os.path.isdir(source):
        _copy_folder(source, target)
    else:
        shutil.copyfile(source, target)
        with suppress(OSError):
            shutil.copystat(source, target)
    _sync(target)


def _copy_folder(source: str, target: str) -> None:
    try:
        shutil.copytree(source, target, symlinks=True)
    except shutil.Error as several:  # in words only
        if speaks_of_room(str(several).encode("utf-8", "replace")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target) from several
        raise


def _sync(path: str) -> None:
    """The file, or the folder with every file in it, is on disk."""
    for folder, _, files in os.walk(path):
        for name in files:
            if not os.path.islink(os.path.join(folder, name)):
                _sync_one(os.path.join(folder, name))
    _sync_one(path)


def _sync_one(path: str) -> None:
    """One file or folder is on disk; file systems that cannot tell are believed."""
    with suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EROFS):
                raise
        finally:
            os.close(descriptor)
