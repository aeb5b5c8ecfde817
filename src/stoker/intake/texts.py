"""Names and rows from files: lists with a line or a NUL after each name, and tables."""

import csv
import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from stoker.errors import UserError
from stoker.intake.listing import Listing
from stoker.model.item import NewItem
from stoker.spec.problems import suggest

_BLOCK = 1 << 20


def lines(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a list as names, without their ends; empty ones are left out."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    for line in file:
        name = line.rstrip(b"\r\n")
        if name:
            yield name.decode(encoding, errors)  # as os.fsdecode, which asks for both every time


def nul_separated(file: BinaryIO) -> Iterator[str]:
    """Yield the names of a list in which a NUL byte follows each, as `find -print0` writes it."""
    rest = b""
    while block := file.read(_BLOCK):
        *names, rest = (rest + block).split(b"\0")
        for name in names:
            if name:
                yield os.fsdecode(name)
    if rest.strip(b"\n"):
        yield os.fsdecode(rest)


def table_items(listing: Listing, file: BinaryIO, *, name: str, folder: str) -> Iterator[NewItem]:
    """Yield an item for each row of a table with a header: the first column is the key (or path).

    A column that is named like a parameter is that parameter, the first one too. `folder` is what
    paths are relative to. UserError for a header with a column that means nothing; a bad row is
    refused, with file and line, and the rest is taken.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    head = text.readline()
    separator = _separator(head, name)
    header = next(csv.reader([head], delimiter=separator), [])
    titles = [title.strip() for title in header]
    _check_titles(listing, titles, name)
    rows = csv.reader(text, delimiter=separator, strict=True)
    declared = {param.name for param in listing.pipeline.params}
    for line, row in _numbered(rows, listing, name):
        where = f"`{name}`, line {line}"
        if len(row) != len(titles):
            listing.refuse(f"{where}: {len(row)} columns where the header has {len(titles)}")
            continue
        cells = [cell.strip() for cell in row]
        given = {
            title: cell
            for title, cell in zip(titles, cells, strict=True)
            if title in declared and cell
        }
        try:
            yield listing.row(cells[0], given, where=where, folder=folder)
        except UserError as error:
            message = str(error)
            listing.refuse(message if message.startswith(where) else f"{where}: {message}")
        except OSError as error:
            listing.refuse(f"{where}, column `{titles[0]}`: `{cells[0]}`: {error.strerror}")
        except ValueError:
            listing.refuse(f"{where}, column `{titles[0]}`: {cells[0]!r} has a NUL byte")


def _numbered(
    rows: Iterable[list[str]], listing: Listing, name: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty with their line; a row that is no CSV is refused."""
    reader = iter(rows)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            at = line + getattr(reader, "line_num", 0)
            listing.refuse(f"`{name}`, line {at}: {error}; quote cells that hold quotes")
            continue
        if any(cell.strip() for cell in row):
            yield line + getattr(reader, "line_num", 0), row


def _separator(head: str, name: str) -> str:
    if not head.strip():
        raise UserError(f"the table `{name}` is empty; its first line names the columns")
    if "\t" in head:
        return "\t"
    return ";" if head.count(";") > head.count(",") else ","


def _check_titles(listing: Listing, titles: list[str], name: str) -> None:
    declared = [param.name for param in listing.pipeline.params]
    doubled = sorted({title for title in titles if titles.count(title) > 1})
    if doubled:
        raise UserError(f"the table `{name}` has two columns `{doubled[0]}`; rename one of them")
    for title in titles[1:]:
        if title not in declared:
            hint = suggest(title, declared) or f"declare it in `{listing.pipeline.name}`'s params"
            raise UserError(
                f"the table `{name}`: column `{title}` is no parameter of pipeline "
                f"`{listing.pipeline.name}`; {hint}"
            )
