"""Results of a job as a page shows them: pictures, the first rows of tables, texts, downloads."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.web import archives
from stoker.web.files import SHOWN, open_path
from stoker.web.ogc.results import Found
from stoker.web.problems import Problem

ROWS, COLUMNS, CELL = 200, 60, 300
TEXT_BYTES = 64 << 10
FILES = 200  # of one output, that are listed
_PICTURES = (*(one for one in SHOWN if one.startswith("image/")), "image/svg+xml")
_SEPARATORS = {"text/tab-separated-values": "\t", "text/csv": ","}
_PAGES = ("text/html", "text/xml", "text/javascript", "text/css")  # are saved, and never shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One result. `kind` is the name of its part of the template; `is_cut`: there is more of it.

    `files` are pairs of name and size, of all files of the output.
    """

    name: str
    title: str
    kind: str
    media: str = ""
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    files: Sequence[tuple[str, int]] = ()
    n_files: int = 1
    is_cut: bool = False


def card_of(found: Found) -> Card:
    """Return the result as a card. What cannot be read any more says so in its place."""
    if found.is_value:
        return _value(found)
    names = [(one.path.rpartition("/")[2], one.size_bytes) for one in found.files]
    common: dict[str, Any] = {
        "name": found.name,
        "title": found.title,
        "media": found.media,
        "files": names[:FILES],
        "n_files": len(names),
    }
    plain = found.media.partition(";")[0]
    if len(names) > 1:
        return Card(kind="files", is_cut=len(names) > FILES, **common)
    if not archives.is_one_file([found.files[0].path]):
        return Card(kind="folder", **common)
    if plain in _PICTURES:
        return Card(kind="picture", **common)
    if plain == "application/json" or (plain.startswith("text/") and plain not in _PAGES):
        return _text(found, plain, common)
    return Card(kind="file", **common)


def _text(found: Found, plain: str, common: dict[str, Any]) -> Card:
    """Return a file of text as a table, or as its beginning."""
    try:
        content, is_cut = _begin(found.files[0].path, found.name)
    except Problem as problem:
        return Card(kind="missing", text=problem.detail, **common)
    if b"\0" in content:
        return Card(kind="file", **common)
    text = content.decode("utf-8", "replace")
    if plain in _SEPARATORS:
        head, rows, has_more = _table(text, _SEPARATORS[plain], is_cut=is_cut)
        return Card(kind="table", head=head, rows=rows, is_cut=has_more, **common)
    shown = text[:TEXT_BYTES]
    return Card(kind="text", text=shown, is_cut=is_cut or len(text) > len(shown), **common)


def _value(found: Found) -> Card:
    is_plain = isinstance(found.value, str | int | float) and not isinstance(found.value, bool)
    text = str(found.value) if is_plain else json.dumps(found.value, indent=2, ensure_ascii=False)
    shown = text[:TEXT_BYTES]
    return Card(
        name=found.name, title=found.title, kind="value", text=shown, is_cut=len(text) > len(shown)
    )


def _begin(path: str, name: str) -> tuple[bytes, bool]:
    """Return how the file begins, and whether there is more of it."""
    there = open_path(path, name=name)
    try:
        content = there.read()
    except OSError as error:
        raise Problem(410, f"the file of `{name}` cannot be read: {error.strerror}") from None
    finally:
        there.close()
    return content, len(content) < there.size_bytes


def _table(text: str, separator: str, *, is_cut: bool) -> tuple[list[str], list[list[str]], bool]:
    """Return the head and the first rows of a table, and whether there is more of it."""
    lines = text.splitlines()
    if is_cut and lines:
        lines = lines[:-1]  # half of it may be missing
    rows: list[list[str]] = []
    try:
        for row in _reader(lines, separator):
            rows.append([cell[:CELL] for cell in row[:COLUMNS]])
            if len(rows) > ROWS + 1:
                break
    except csv.Error:
        is_cut = True  # a cell of more than 128 kB: the rows before it are shown
    if not rows:
        return [], [], is_cut
    return rows[0], rows[1 : ROWS + 1], is_cut or len(rows) > ROWS + 1


def _reader(lines: Sequence[str], separator: str) -> Iterator[list[str]]:
    """A quote is an ordinary character between tabs."""
    if separator == "\t":
        return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=separator)
