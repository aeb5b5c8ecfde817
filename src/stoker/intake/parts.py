"""What in a folder makes one item: a file, or the files that belong together by their names."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from stoker.errors import UserError
from stoker.intake.fields import PART, Fields, gathered, lack_of
from stoker.intake.pushed import Listing
from stoker.intake.sources.source import Refusal
from stoker.model.item import NewItem
from stoker.model.source import Source


class Seen(NamedTuple):
    """A file of a folder, as it was just now."""

    name: str
    found: os.stat_result


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that may be complete: its files, and what is missing for certain."""

    item: NewItem
    files: tuple[Seen, ...]
    lack: str | None = None


class Grouping:
    """Makes candidates of the files of a folder."""

    def __init__(self, source: Source, listing: Listing) -> None:
        self._fields = Fields(source)
        self._parts = source.parts
        self._root = (source.folder or "").rstrip("/")
        self._listing = listing

    @property
    def needs_all(self) -> bool:
        """Whether the files of a folder can only be judged together."""
        return bool(self._parts)

    def candidates(self, folder: str, files: Iterable[Seen]) -> Iterator[Candidate | Refusal]:
        """Yield what may be items of the files in `folder`, an absolute path."""
        for named, found in self._groups(folder, files):
            try:
                if self._parts:
                    yield self._group(folder, named, found)
                else:
                    (one,) = found.values()
                    item = self._listing.file_at(f"{folder}/{one.name}", one.found, meta=named)
                    yield Candidate(item, (one,))
            except UserError as error:
                yield Refusal(message=str(error))

    def _groups(
        self, folder: str, files: Iterable[Seen]
    ) -> Iterator[tuple[dict[str, str], dict[str, Seen]]]:
        """Yield fields in common, and the files by what is in their field `part`."""
        groups: dict[tuple[str, ...], tuple[dict[str, str], dict[str, Seen]]] = {}
        inside = folder.removeprefix(self._root).lstrip("/")
        for seen in files:
            named = self._fields.of(f"{inside}/{seen.name}" if inside else seen.name)
            if named is None:
                continue
            if not self._parts:
                yield named, {"": seen}
                continue
            part = named.pop(PART)
            groups.setdefault(tuple(named.values()), (named, {}))[1][part] = seen
        yield from groups.values()

    def _group(self, folder: str, named: dict[str, str], found: dict[str, Seen]) -> Candidate:
        """Return the candidate of files that belong together."""
        parts = {name: found[part] for name, part in self._parts.items() if part in found}
        stats = {name: seen.found for name, seen in parts.items()}
        item = gathered(self._fields, folder, named, stats, self._listing.file_at)
        return Candidate(item, tuple(parts.values()), lack_of(self._fields, parts))
