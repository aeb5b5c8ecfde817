"""What the names of files and folders say: fields of an item, and which files make one together.

A pattern with a slash is compared with the path in the source's folder, any other with the name alone.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import xxhash

from stoker.errors import UserError
from stoker.model.item import NewItem, key_from_name
from stoker.model.patterns import Pattern, compiled
from stoker.model.source import FIELD, Source

_OF_PARTS = "parts-"
PART = "part"  # the field that distinguishes the files of one item


class FileAt(Protocol):
    """Makes the item of one file that was found at a path; its key ends with `own_name`."""

    def __call__(
        self, path: str, found: os.stat_result, *, meta: Mapping[str, Any], own_name: str
    ) -> NewItem:
        """Return the item."""


class Fields:
    """Reads the fields in names, as `{run}_{part}.fastq` has them; without a pattern there are none."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._template = source.fields or ""
        self._is_path = "/" in self._template
        self._in_name = FIELD.findall(self._template.rpartition("/")[2])
        self._pattern: Pattern | None = None
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
        self._pattern = compiled(made, flags="s", keeps_groups=True)

    def of(self, path: str) -> dict[str, str] | None:
        """Return the fields in a path in the source's folder; None if it is no item's."""
        if self._pattern is None:
            return {}
        return self._pattern.fields(path if self._is_path else path.rpartition("/")[2])

    def read(self, path: str) -> dict[str, str]:
        """Return the fields in a path in the source's folder. UserError if it is no item's."""
        found = self.of(path)
        if found is None:
            raise UserError(
                f"`{path}` is not named as source `{self.source.name}` has it, `{self._template}`; "
                "rename it, or change `fields`"
            )
        return found

    def names(self, fields: Mapping[str, str]) -> dict[str, str]:
        """Return the file names of the parts of the item with these fields, by the parts' own names."""
        template = self._template.rpartition("/")[2]
        names = {}
        for name, part in self.source.parts.items():
            values = {**fields, PART: part}
            texts = FIELD.split(template)  # in turns what is written, and the name of a field
            texts[1::2] = [values[field] for field in texts[1::2]]
            names[name] = "".join(texts)
        return names

    def key_end(self, fields: Mapping[str, str]) -> str:
        """Return what the key of an item of several parts ends with; nothing if that is its folder."""
        return key_from_name("_".join(fields[name] for name in self._in_name if name != PART))


def gathered(
    fields: Fields,
    folder: str,
    named: Mapping[str, str],
    found: Mapping[str, os.stat_result],
    file_at: FileAt,
) -> NewItem:
    """Return the item of the files in `folder` that have these fields, `found` by the parts' names.

    `{item}` is the first part that is there; the path of each is in `meta`. UserError if there can be
    no key.
    """
    names = fields.names(named)
    paths = {part: f"{folder}/{names[part]}" for part in fields.source.parts if part in found}
    meta = {**named, **paths}
    end = fields.key_end(named)
    made = [file_at(path, found[part], meta=meta, own_name=end) for part, path in paths.items()]
    first = made[0]
    return replace(
        first,
        size_bytes=sum(one.size_bytes or 0 for one in made),
        mtime_us=max(one.mtime_us or 0 for one in made),
        fingerprint=content_of((one.path or "", one.content) for one in made) + first.mark,
    )


def found_parts(fields: Fields, folder: str, named: Mapping[str, str]) -> dict[str, os.stat_result]:
    """Return the files in `folder` that have these fields, by the names of their parts."""
    found = {}
    for part, name in fields.names(named).items():
        with suppress(FileNotFoundError):
            seen = os.stat(f"{folder}/{name}")
            if stat.S_ISREG(seen.st_mode):
                found[part] = seen
    return found


def lack_of(fields: Fields, found: Collection[str]) -> str | None:
    """Return which parts are missing, in words; None if none is."""
    missing = [f"`{name}`" for name in fields.source.parts if name not in found]
    return f"its part {' and '.join(missing)} is not there" if missing else None


def content_of(parts: Iterable[tuple[str, str]]) -> str:
    """Return the content of an item of several parts, of their true paths and their contents."""
    marks = "|".join(f"{path}:{content}" for path, content in parts)
    return _OF_PARTS + xxhash.xxh3_128_hexdigest(os.fsencode(marks))


def is_of_parts(fingerprint: str) -> bool:
    """Whether it is the fingerprint of an item of several parts, and not of one file or folder."""
    return fingerprint.startswith(_OF_PARTS)
