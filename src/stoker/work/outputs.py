"""Owns the question of what there is to publish: the files and folders that an attempt left.

Nothing is opened and nothing is changed here. An output that is itself a symbolic link stands for
what it leads to in the scratch; one that leads elsewhere is refused, since it would publish a name
for somebody else's file.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from stoker.model.file_kinds import kind_of
from stoker.model.globs import matches
from stoker.model.pipeline import Output, Step

OUT = "out"  # the folder in the scratch for the paths that `{out.NAME}` gives


class OutputError(Exception):
    """An output is not as the step declares it, or cannot be put in place; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One file or folder of an output: its path now, without links, and its published path.

    `names` are the paths that lead to the published one, without links in its folder the last.
    `is_shared`: other pieces are made of the same files, so it has to be copied.
    """

    output: Output
    source: str
    target: str
    names: tuple[str, ...] = ()
    is_shared: bool = False


def find_pieces(
    step: Step,
    *,
    scratch: str,
    made: Mapping[str, str],
    targets: Mapping[str, str],
    own: Sequence[str] = (),
    demanded: bool = True,
) -> list[Piece]:
    """Return what there is to publish. OutputError if a declared output is missing or ambiguous.

    Unless they are `demanded`, outputs may be missing. `made` gives the path that `{out.NAME}` had, `targets` the published path of each output, `own`
    the attempt's folders beside its scratch.
    """
    pieces: list[Piece] = []
    for output in step.outputs:
        target = targets[output.name]
        if output.pick is not None:
            pieces += _picked(output, scratch, target, demanded=demanded)
        elif os.path.lexists(made[output.name]):
            pieces.append(Piece(output, made[output.name], target.rstrip("/")))
        elif demanded and not output.optional:
            raise OutputError(f"output `{output.name}` was not made (`{made[output.name]}`)")
    folders = [os.path.realpath(folder) for folder in (scratch, *own)]
    real = cache(os.path.realpath)  # of the folders, which many pieces may have in common
    pieces = [
        replace(_resolved(piece, folders), names=names_of(piece.target, real)) for piece in pieces
    ]
    _check_targets(pieces)
    shared = _shared([piece.source for piece in pieces])
    return [replace(piece, is_shared=piece.source in shared) for piece in pieces]


def staged(pieces: Sequence[Piece], folder: str) -> list[Piece]:
    """Return the pieces as they are to be in `folder` until others publish them, one a folder."""
    found = []
    for at, piece in enumerate(pieces):
        target = os.path.join(folder, str(at), os.path.basename(piece.target))
        found.append(replace(piece, target=target, names=names_of(target)))
    return found


def _picked(output: Output, scratch: str, target: str, *, demanded: bool) -> list[Piece]:
    pattern = output.pick or ""
    inside = os.path.realpath(scratch)
    found = [
        path for path in _matching(scratch, pattern) if is_inside(os.path.realpath(path), inside)
    ]
    if not found:
        if output.optional or not demanded:
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


def _matching(scratch: str, pattern: str) -> list[str]:
    """Return what fits the pattern below the scratch, but for the folder of other outputs; sorted.

    Each folder is read once, whatever the pattern is, and links to folders are not entered: an
    attempt can make a loop of them. Names that begin with a dot need a pattern with such a name.
    """
    wanted = os.path.normpath(pattern)
    is_hidden_too = any(part.startswith(".") for part in wanted.split("/"))
    depth = None if "**" in wanted else wanted.count("/")
    found: list[str] = []
    todo = [""]
    while todo:
        at = todo.pop()
        with suppress(OSError), os.scandir(os.path.join(scratch, at)) as entries:
            for entry in entries:
                path = at + entry.name
                if path == OUT or (entry.name.startswith(".") and not is_hidden_too):
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if matches(path, wanted) and (is_folder or not pattern.endswith("/")):
                    found.append(entry.path)
                if is_folder and (depth is None or path.count("/") < depth):
                    todo.append(path + "/")
    return sorted(found)


def is_inside(path: str, folder: str) -> bool:
    """Whether `path` is below `folder`, or below one of its subfolders; both without links."""
    return path.startswith(folder.rstrip("/") + "/")


def _resolved(piece: Piece, folders: Sequence[str]) -> Piece:
    """Return the piece with a source that is no link; OutputError if it is not the attempt's own."""
    name, source = piece.output.name, os.path.realpath(piece.source)
    if os.path.islink(piece.source):
        is_own = any(is_inside(source, folder) for folder in folders)
        if not (is_own and os.path.lexists(source)):
            raise OutputError(
                f"output `{name}` is a symbolic link that leads out of the scratch "
                f"(`{piece.source}` to `{os.readlink(piece.source)}`)"
            )
    mode = os.lstat(source).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OutputError(
            f"output `{name}` is neither a file nor a folder but {kind_of(mode)} (`{source}`)"
        )
    wants_folder = piece.output.is_folder and piece.output.pick is None
    if wants_folder and not stat.S_ISDIR(mode):
        raise OutputError(
            f"output `{name}` is a file, and `to` ends with a slash, which names a folder"
        )
    return replace(piece, source=source)


def names_of(target: str, real: Callable[[str], str] = os.path.realpath) -> tuple[str, ...]:
    """Return the paths that lead to a published one: itself, and without links in its folder."""
    folder, name = os.path.split(target)
    return tuple(dict.fromkeys((target, os.path.join(real(folder), name))))


def _check_targets(pieces: Sequence[Piece]) -> None:
    """No two pieces have one published path, or one inside the other's; OutputError otherwise."""
    taken: dict[str, str] = {}
    for piece in pieces:
        other = taken.setdefault(piece.names[-1], piece.output.name)
        if other != piece.output.name:
            raise OutputError(
                f"outputs `{other}` and `{piece.output.name}` would both be `{piece.target}`"
            )
    for piece in pieces:
        around = next((folder for folder in _parents(piece.names[-1]) if folder in taken), None)
        if around is not None:
            raise OutputError(
                f"output `{piece.output.name}` would be inside output `{taken[around]}` "
                f"(`{piece.target}`); publish them at separate paths"
            )


def _shared(sources: Sequence[str]) -> set[str]:
    """Return the sources that are others too, or are inside others, or hold others."""
    counts = Counter(sources)
    shared = {source for source, count in counts.items() if count > 1}
    for source in counts:
        around = {folder for folder in _parents(source) if folder in counts}
        if around:
            shared |= {source, *around}
    return shared


def _parents(path: str) -> Iterator[str]:
    """Yield the folders around `path`, from the inside out."""
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder
