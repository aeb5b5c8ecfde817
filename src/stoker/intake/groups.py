"""What in a folder makes one item: a file, or the files that belong together by their names."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import xxhash

from stoker.errors import UserError
from stoker.intake.listing import Listing
from stoker.intake.source import Refusal
from stoker.model.item import NewItem, key_from_name
from stoker.model.source import FIELD, Source

_OF_PARTS = "parts-"
PART = "part"  # the field that tells the files of one item apart


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


class Fields:
    """Reads the fields in names, as `{run}_{part}.fastq` has them; without a pattern there are none."""

    def __init__(self, source: Source) -> None:
        self._pattern: re.Pattern[str] | None = None
        if source.fields is None:
            return
        made = ""
        for at, text in enumerate(FIELD.split(source.fields)):
            if at % 2 == 0:
                made += re.escape(text)
            elif text == PART and source.parts:
                made += f"(?P<part>{'|'.join(map(re.escape, source.parts.values()))})"
            else:
                made += f"(?P<{text}>[^/]+?)"
        self._pattern = re.compile(made, re.DOTALL)

    def of(self, name: str) -> dict[str, str] | None:
        """Return the fields in a name; None if it is not made like that, and so no item's."""
        if self._pattern is None:
            return {}
        found = self._pattern.fullmatch(name)
        return None if found is None else found.groupdict()


def fingerprint_of(parts: Iterable[tuple[str, str]]) -> str:
    """Return the content of an item of several parts, of their true paths and their contents."""
    marks = "|".join(f"{path}:{content}" for path, content in parts)
    return _OF_PARTS + xxhash.xxh3_128_hexdigest(os.fsencode(marks))


def is_of_parts(fingerprint: str) -> bool:
    """Whether it is the fingerprint of an item of several parts, and not of one file or folder."""
    return fingerprint.startswith(_OF_PARTS)


class Grouping:
    """Makes candidates of the files of a folder."""

    def __init__(self, source: Source, listing: Listing) -> None:
        self._fields = Fields(source)
        self._parts = source.parts
        self._listing = listing

    @property
    def needs_all(self) -> bool:
        """Whether the files of a folder can only be judged together."""
        return bool(self._parts)

    def candidates(self, folder: str, files: Iterable[Seen]) -> Iterator[Candidate | Refusal]:
        """Yield what may be items of the files in `folder`, an absolute path."""
        for group in self._groups(files):
            try:
                if self._parts:
                    yield self._group(folder, *group)
                else:
                    fields, (one,) = group[0], group[1].values()
                    item = self._listing.file_at(f"{folder}/{one.name}", one.found, meta=fields)
                    yield Candidate(item, (one,))
            except UserError as error:
                yield Refusal(message=str(error))

    def _groups(self, files: Iterable[Seen]) -> Iterator[tuple[dict[str, str], dict[str, Seen]]]:
        """Yield fields in common, and the files by what is in their field `part`."""
        groups: dict[tuple[str, ...], tuple[dict[str, str], dict[str, Seen]]] = {}
        for seen in files:
            fields = self._fields.of(seen.name)
            if fields is None:
                continue
            if not self._parts:
                yield fields, {"": seen}
                continue
            part = fields.pop(PART)
            groups.setdefault(tuple(fields.values()), (fields, {}))[1][part] = seen
        yield from groups.values()

    def _group(self, folder: str, fields: dict[str, str], found: dict[str, Seen]) -> Candidate:
        """Return the candidate of files that belong together; `{item}` is the first part there is."""
        names = {name: found[part] for name, part in self._parts.items() if part in found}
        files = tuple(names.values())
        meta = fields | {name: f"{folder}/{seen.name}" for name, seen in names.items()}
        made = [self._listing.file_at(f"{folder}/{seen.name}", seen.found) for seen in files]
        first = self._listing.file_at(
            f"{folder}/{files[0].name}",
            files[0].found,
            meta=meta,
            own_name=key_from_name("_".join(fields.values())),
        )
        item = replace(
            first,
            size_bytes=sum(one.size_bytes or 0 for one in made),
            mtime_us=max(one.mtime_us or 0 for one in made),
            fingerprint=fingerprint_of((item.path or "", item.content) for item in made)
            + first.mark,
        )
        missing = [f"`{name}`" for name in self._parts if name not in names]
        lack = f"its part {' and '.join(missing)} is not there" if missing else None
        return Candidate(item, files, lack)
