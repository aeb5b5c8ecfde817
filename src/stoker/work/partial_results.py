"""Owns what an error folder keeps of a failed attempt's scratch: the files that its globs pick.

An attempt can leave anything there: links to other people's files, named pipes, a million files, a
file larger than the disk. Only regular files are taken, no link is followed out of the scratch, and
number and size are bounded. What is not taken is named, with the reason.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from stoker.model.file_kinds import kind_of
from stoker.model.globs import matches
from stoker.model.item import key_from_name
from stoker.work.copying import copy_file
from stoker.work.outputs import is_inside
from stoker.work.permit import Permit
from stoker.work.room import is_full_error

MOST_FILES = 100_000
MOST_NAMED = 1_000  # of those that are left out; of the others there is the number
_FOREIGN_RIGHTS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(slots=True)
class LeftOut:
    """What was not taken: the lines that name it, and how many there are in all."""

    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str, why: str, size_bytes: int | None = None) -> None:
        """One more is not taken."""
        self.count += 1
        if len(self.lines) < MOST_NAMED:
            size = "" if size_bytes is None else f"{size_bytes}\t"
            self.lines.append(f"{key_from_name(name)}\t{size}{why}")

    @property
    def text(self) -> str:
        """The list for people: name, size where that is why, reason."""
        more = self.count - len(self.lines)
        lines = [*self.lines, f"and {more} more"] if more else self.lines
        return "".join(f"{line}\n" for line in lines)


class Keeping:
    """Moves what the globs pick from the scratch into the folder `target`, which is ours alone.

    `taken` are names in that folder that are not to be used: a file with such a name goes into the
    folder `scratch` there. OSError for a full disk; anything else is left out.
    """

    def __init__(
        self,
        scratch: str,
        target: str,
        *,
        max_size_bytes: int,
        taken: Sequence[str],
        permit: Permit,
    ) -> None:
        self.left_out = LeftOut()
        self._scratch = os.path.realpath(scratch)
        self._target = target
        self._taken = frozenset((*taken, "scratch"))
        self._permit = permit
        self._room_bytes = max_size_bytes
        self._room_files = MOST_FILES
        self._max_size_bytes = max_size_bytes
        self._moved: dict[str, str] = {}  # which links may lead to

    def keep(self, picks: Sequence[str]) -> None:
        """What `picks` choose is in the target, as far as there is room."""
        if not picks:
            return
        for name, entry in _picked(self._scratch, picks, self.left_out):
            self._permit()
            try:
                self._take(name, entry)
            except OSError as problem:
                if is_full_error(problem):
                    raise
                self.left_out.add(name, problem.strerror or str(problem))

    def _take(self, name: str, entry: "os.DirEntry[str]") -> None:
        path = entry.path
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            self._make_folder(name)
            return
        is_link = stat.S_ISLNK(found.st_mode)
        if is_link:
            path = os.path.realpath(path)
            if path != self._scratch and not is_inside(path, self._scratch):
                self.left_out.add(name, f"a link that leads out of the scratch, to `{path}`")
                return
            path = self._moved.get(path, path)
            found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            what = f"a link to {kind_of(found.st_mode)}" if is_link else kind_of(found.st_mode)
            self.left_out.add(name, f"not a file but {what}")
        elif found.st_size > self._room_bytes:
            limit = f"more than `max_size` ({self._max_size_bytes} bytes in all) has room for"
            self.left_out.add(name, limit, found.st_size)
        elif not self._room_files:
            self.left_out.add(name, f"more than {MOST_FILES:,} files", found.st_size)
        else:
            self._move(path, self._place_of(name), found, is_shared=is_link)
            self._room_bytes -= found.st_size
            self._room_files -= 1

    def _place_of(self, name: str) -> str:
        first = name.partition("/")[0]
        inner = os.path.join("scratch", name) if first in self._taken else name
        target = os.path.join(self._target, inner)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    def _make_folder(self, name: str) -> None:
        os.makedirs(self._place_of(name), exist_ok=True)

    def _move(self, path: str, target: str, found: os.stat_result, *, is_shared: bool) -> None:
        """The file is at `target`: renamed, or copied where it has other names or is elsewhere."""
        if not found.st_mode & stat.S_IRUSR:
            os.chmod(path, stat.S_IMODE(found.st_mode) | stat.S_IRUSR)
        if is_shared or found.st_nlink > 1 or not _is_renamed(path, target):
            try:
                copy_file(path, target, self._permit)
            except BaseException:
                with suppress(OSError):
                    os.unlink(target)
                raise
        else:
            self._moved[path] = target
        mode = stat.S_IMODE(os.lstat(target).st_mode)
        os.chmod(target, (mode & ~_FOREIGN_RIGHTS) | stat.S_IRUSR | stat.S_IWUSR)


def _is_renamed(path: str, target: str) -> bool:
    """Whether the file could be renamed; if not, it is where it was."""
    try:
        os.rename(path, target)
    except OSError:
        return False
    return True


def _picked(
    scratch: str, picks: Sequence[str], left_out: LeftOut
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield what fits one of the globs, and all that is in a folder that does, folders first.

    Each folder is read once, and links to folders are not entered. Names that begin with a dot need a
    glob with such a name, as everywhere.
    """
    wanted = [os.path.normpath(pick) for pick in picks]
    hidden = [one for one in wanted if any(part.startswith(".") for part in one.split("/"))]
    todo = [("", scratch, False)]
    while todo:
        at, path, is_wanted = todo.pop()
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as problem:
            left_out.add(at.rstrip("/") or ".", problem.strerror or str(problem))
            continue
        folders = []
        for entry in found:
            name = at + entry.name
            globs = hidden if entry.name.startswith(".") and not is_wanted else wanted
            fits = is_wanted or any(matches(name, one) for one in globs)
            if fits:
                yield name, entry
            if entry.is_dir(follow_symlinks=False):
                folders.append((name + "/", entry.path, fits))
        todo += reversed(folders)
