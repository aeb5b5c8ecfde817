"""Owns what is in an output before it is published, and brings it into the form that is published.

A tree is read by `lstat` alone: nothing but regular files, folders and symbolic links may be in it,
and nothing else is ever opened. Links are settled by where they lead: one that stays inside the
output is kept and made relative; one that leads elsewhere into the attempt's own folders is replaced
by what it leads to; any other is an error. A file that has names outside of the attempt's folders
(hard links) is replaced by a copy, so that no later write under such a name changes the output.
Rights to act as another account or group do not survive.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from secrets import token_hex

from stoker.model.file_kinds import kind_of
from stoker.work.copying import copy_file
from stoker.work.outputs import OutputError, is_inside
from stoker.work.permit import Permit
from stoker.work.scratch import HIDDEN

_FOREIGN_RIGHTS = stat.S_ISUID | stat.S_ISGID
_CAPABILITY = "security.capability"


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an output: its name within it, and the path that its content has now.

    `link` is what a symbolic link is to read; None for files and folders.
    """

    name: str
    path: str
    found: os.stat_result
    link: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.found.st_mode)


@dataclass(frozen=True, slots=True)
class _Root:
    """A folder that is published: its path now, and its name in the output."""

    path: str
    name: str
    device: int


class Settling:
    """Settles the outputs of one attempt, whose folders are `own`. `permit` is asked all the time."""

    def __init__(self, own: Sequence[str], permit: Permit) -> None:
        self._own = [os.path.realpath(folder) for folder in own]
        self._permit = permit
        self._foreign: dict[tuple[int, int], bool] = {}

    def settle(self, source: str, output: str) -> None:
        """What is at `source` is as it is to be published as part of `output`.

        OutputError, which names what is wrong, before anything is changed. `source` has no links in
        its path.
        """
        nodes = list(_Survey(source, output, self._own, self._permit).nodes())
        names = Counter(_identity(node) for node in nodes if node.link is None)
        for node in nodes:
            self._permit()
            path = os.path.join(source, node.name) if node.name else source
            if node.link is not None:
                _make_link(node, path)
            elif node.is_folder:
                _make_folder(node, path)
            elif node.path != path or self._is_foreign(node, names):
                _renew(path, partial(copy_file, node.path, permit=self._permit))
            _drop_rights(path, os.lstat(path))

    def _is_foreign(self, node: Node, names: Counter[tuple[int, int]]) -> bool:
        """Whether the file has names elsewhere than in the attempt's folders."""
        count = node.found.st_nlink
        if count == 1:
            return False
        identity = _identity(node)
        if identity not in self._foreign:  # asked once: each copy takes a name away
            self._foreign[identity] = names[identity] < count and self._names[identity] < count
        return self._foreign[identity]

    @cached_property
    def _names(self) -> Counter[tuple[int, int]]:
        """How many names each file has in the attempt's folders; a look at all of them."""
        found: Counter[tuple[int, int]] = Counter()
        for top in self._own:
            for folder, _, files in os.walk(top):
                self._permit()
                for name in files:
                    seen = os.lstat(os.path.join(folder, name))
                    found[seen.st_dev, seen.st_ino] += 1
        return found


def _identity(node: Node) -> tuple[int, int]:
    return node.found.st_dev, node.found.st_ino


class _Survey:
    """Goes through an output and what its links lead to."""

    def __init__(self, source: str, output: str, own: Sequence[str], permit: Permit) -> None:
        self._source = source
        self._output = output
        self._own = own
        self._permit = permit
        self._roots: list[_Root] = []

    def nodes(self) -> Iterator[Node]:
        """Yield all parts, folders before what is in them."""
        todo: list[tuple[str, str, tuple[_Root, ...]]] = [("", self._source, ())]
        while todo:
            self._permit()
            name, path, around = todo.pop()
            found = os.lstat(path)
            if around and found.st_dev != around[-1].device:
                raise self._wrong(name, "has another file system mounted on it")
            if stat.S_ISLNK(found.st_mode):
                link, real = self._follow(name, path, around)
                if link is not None:
                    yield Node(name, path, found, link)
                    continue
                path, found = real, os.lstat(real)
            if stat.S_ISREG(found.st_mode):
                yield Node(name, path, found)
            elif stat.S_ISDIR(found.st_mode):
                if not around or not is_inside(path, around[-1].path):
                    self._roots.append(_Root(path, name, found.st_dev))
                    around = (*around, self._roots[-1])
                yield Node(name, path, found)
                inner = sorted(os.listdir(path), reverse=True)
                todo += [(os.path.join(name, n), os.path.join(path, n), around) for n in inner]
            else:
                raise self._wrong(name, f"is {kind_of(found.st_mode)}, which cannot be published")

    def _follow(self, name: str, path: str, around: Sequence[_Root]) -> tuple[str | None, str]:
        """Return what the link is to read; None, and the path to what replaces it, if it goes."""
        text = os.readlink(path)
        try:
            real = os.path.realpath(path, strict=True)
        except OSError:
            raise self._wrong(name, f"is a symbolic link that leads nowhere (`{text}`)") from None
        if not any(real == folder or is_inside(real, folder) for folder in self._own):
            raise self._wrong(
                name,
                f"is a symbolic link that leads out of the scratch (`{text}`); copy what it leads to",
            )
        for goal in (_next_of(path, text), real):
            for root in self._roots:
                if goal == root.path or is_inside(goal, root.path):
                    inside = os.path.normpath(
                        os.path.join(root.name, os.path.relpath(goal, root.path))
                    )
                    return os.path.relpath(inside, os.path.dirname(name) or "."), real
        if any(is_inside(root.path, real) for root in around):
            raise self._wrong(
                name, f"is a symbolic link to a folder that it is itself published from (`{text}`)"
            )
        return None, real

    def _wrong(self, name: str, what: str) -> OutputError:
        if not name:
            return OutputError(f"output `{self._output}` {what}")
        return OutputError(f"`{name}` in output `{self._output}` {what}")


def _next_of(path: str, text: str) -> str:
    """Return the path that a link's text names, which may be a link again, in a real folder."""
    joined = os.path.join(os.path.dirname(path), text).rstrip("/") or "/"
    folder, name = os.path.split(joined)
    if name in ("", ".", ".."):
        return os.path.realpath(joined)
    return os.path.join(os.path.realpath(folder), name)


def _make_link(node: Node, path: str) -> None:
    link = node.link or "."
    if node.path != path or os.readlink(path) != link:
        _renew(path, lambda new: os.symlink(link, new))


def _make_folder(node: Node, path: str) -> None:
    if node.path != path:
        with suppress(FileNotFoundError):
            os.unlink(path)  # the link that led to it
        os.mkdir(path, stat.S_IMODE(node.found.st_mode) | 0o700)


def _renew(path: str, make: Callable[[str], None]) -> None:
    """What `make` makes is at `path`, in place of a link or a file of the attempt's own."""
    new = os.path.join(os.path.dirname(path), f"{HIDDEN}{token_hex(8)}")
    make(new)
    os.replace(new, path)


def _drop_rights(path: str, found: os.stat_result) -> None:
    """Running the file gives nobody another account."""
    mode = found.st_mode
    if stat.S_ISLNK(mode):
        return
    if mode & _FOREIGN_RIGHTS:
        os.chmod(path, stat.S_IMODE(mode) & ~_FOREIGN_RIGHTS)
    if stat.S_ISREG(mode) and mode & 0o111:
        with suppress(OSError):  # no such attribute, or none on this file system
            os.removexattr(path, _CAPABILITY, follow_symlinks=False)
