"""Owns transfers of the files that a list names, many at once where that is possible."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stoker.errors import NotFound, StokerError, Unavailable, UserError
from stoker.model.encoding import Answer
from stoker.transfer.copy import transfer
from stoker.transfer.far import FarEnd
from stoker.transfer.fetching import Fetching
from stoker.transfer.many import Sending, batches, is_plain
from stoker.transfer.places import Place, absolute

_LONGEST = 64 * 1024  # bytes of a line
_MOST = 10_000_000  # files
_MOST_FAILED = 20  # of those that are copied alone


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferredList(Answer):
    """The files of a list that have arrived: on which host, in which folder, how many, and how large.

    `new` counts those that were not there before.
    """

    host: str
    path: str
    files: int
    new: int
    size_bytes: int

    @property
    def values(self) -> dict[str, object]:
        """What a step leaves for the next."""
        return {
            "host": self.host, "path": self.path, "files": self.files, "size_bytes": self.size_bytes,
        }  # fmt: skip


def transfer_listed(
    source: Place, target: Place, listing: str, *, dry_run: bool = False
) -> TransferredList:
    """Every file that the list names is in the target folder; return what has arrived.

    Names are relative to the source folder; here, a path in it may also be absolute. A file that cannot
    be copied does not stop the others: its error is raised at the end, with how many have arrived, and
    the same call goes on with the rest. A host that cannot be reached stops all at once. UserError,
    before anything is copied, for a name that leads out of the folder.
    """
    if source.is_far == target.is_far:
        raise UserError("one of the two has to be on another host: `HOST:PATH`")
    names = list(dict.fromkeys(_names(listing, source)))
    if not names:
        raise UserError(f"`{listing}` names no file")
    with FarEnd(target if target.is_far else source) as far:
        return _Listed(source, target, names, far, dry_run=dry_run).run()


class _Listed:
    """The copying of a list, and what has become of it so far."""

    def __init__(
        self, source: Place, target: Place, names: Sequence[str], far: FarEnd, *, dry_run: bool
    ) -> None:
        self._source, self._target, self._names = source, target, names
        self._far, self._dry_run = far, dry_run
        self._host, self._path = "", ""
        self._files = self._new = self._size_bytes = 0
        self._failed: list[StokerError] = []
        self._failed_alone = 0

    def run(self) -> TransferredList:
        """Return what has arrived."""
        try:
            alone = self._copy_together()
            for name in alone:
                self._copy(name)
        except StokerError as error:
            raise self._with_count(error) from error
        if self._failed:
            raise self._with_count(self._failed[0]) from self._failed[0]
        return TransferredList(
            host=self._host, path=self._path, files=self._files, new=self._new,
            size_bytes=self._size_bytes,
        )  # fmt: skip

    def _copy_together(self) -> list[str]:
        """Copy what can be copied in batches; return the names that have to be copied alone."""
        if shutil.which("rsync") is None:
            return list(self._names)
        kind = Sending if self._target.is_far else Fetching
        copying = kind(self._source, self._target, self._far.shell, dry_run=self._dry_run)
        alone = [name for name in self._names if not is_plain(name)]
        plain = (name for name in self._names if is_plain(name))
        for batch in batches(plain, copying.size_of):
            sent = copying.copy(batch)
            self._host, self._path = copying.host, sent.path or self._path
            self._files += len(sent.new) + len(sent.there)
            self._new += len(sent.new)
            self._size_bytes += sent.size_bytes
            self._failed += sent.failed.values()
            alone += sent.alone
        return alone

    def _copy(self, name: str) -> None:
        """Copy one file. Unavailable at once; others when too many have failed, each of which takes time."""
        source, target = self._source.below(name), self._target.below(name)
        try:
            one = transfer(source, target, dry_run=self._dry_run, far=self._far)
        except Unavailable:
            raise
        except StokerError as error:
            self._failed.append(error)
            self._failed_alone += 1
            if self._failed_alone >= _MOST_FAILED:
                raise
            return
        self._host, self._path = one.host, one.path.removesuffix(f"/{name}") or "/"
        self._files += 1
        self._new += one.is_new
        self._size_bytes += one.size_bytes

    def _with_count(self, error: StokerError) -> StokerError:
        others = len(self._failed) - (error in self._failed)
        more = f"; {others:,} more could not be copied" if others else ""
        return type(error)(
            f"{error}{more}; {self._files:,} of {len(self._names):,} files are there"
        )


def _names(listing: str, source: Place) -> Iterator[str]:
    """Yield the names in the list, relative to the source folder."""
    if not os.path.exists(listing):
        raise NotFound(f"there is no list `{listing}`")
    if not os.path.isfile(listing):
        raise UserError(f"`{listing}` is not a file with a list of names")
    folder = None if source.is_far else absolute(source.path).rstrip("/") + "/"
    with open(listing, "rb") as file:
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            name = os.fsdecode(line.rstrip(b"\n"))
            if folder is not None and name.startswith(folder):
                name = name.removeprefix(folder)
            wrong = _wrong(name)
            if wrong or number > _MOST:
                wrong = wrong or f"there are more than {_MOST:,}"
                raise UserError(f"`{listing}`, line {number}: {wrong}")
            if name:
                yield name


def _wrong(name: str) -> str | None:
    """Return what is wrong with a name, if anything."""
    if len(name) >= _LONGEST - 1:
        return "the name is too long"
    if name.startswith("/"):
        return f"`{name}` is not in the source folder"
    if ".." in name.split("/"):
        return f"`{name}` leads out of the folder"
    if name.endswith("/"):
        return f"`{name}` is a folder; name its files"
    return None
