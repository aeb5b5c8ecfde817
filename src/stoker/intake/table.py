"""Tables: a row is an item, a column a parameter. A bad row is refused with line and column.

A column that is not a parameter goes into `meta`; one whose title begins with `#` is for people. The
header is believed as a whole or not at all: with a title that resembles a parameter's name, or
without a column that every row needs, no row is taken, since each would be taken with other values
than its author meant.
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import xxhash

from stoker.errors import UserError
from stoker.intake.decoding import wrong_bytes
from stoker.intake.nearest_name import Nearby
from stoker.intake.pushed import Listing
from stoker.intake.records import MAX_COLUMNS, Records
from stoker.intake.spreadsheet import SheetRecords, is_spreadsheet
from stoker.model.item import NewItem
from stoker.model.pipeline import Param, ParamType
from stoker.model.source import TableForm
from stoker.spec.params import Places, check_params
from stoker.spec.problems import nearest

OnRow = Callable[[int, NewItem], None]
_AS_IS = TableForm()
_NOT_KNOWN = "n/a"  # as BIDS writes it; in a column of texts it is a text
_NO_NAME = re.compile(r"[^a-z0-9]+")


def table_items(
    listing: Listing,
    file: BinaryIO,
    *,
    name: str,
    folder: str,
    form: TableForm = _AS_IS,
    on_row: OnRow | None = None,
) -> Iterator[NewItem]:
    """Yield an item for each row of a table: the first column is the key (or path).

    A column that is named like a parameter is that parameter, the first one too. `folder` is what
    paths are relative to. UserError for a header that cannot be believed; a bad row is refused, with
    file, line and column, and the rest is taken. `on_row` is called with each row before it is
    yielded.
    """
    table = Table(listing, file, name=name, folder=folder, form=form)
    for line, item in table.items():
        if on_row is not None:
            on_row(line, item)
        yield item


class Table:
    """One reading of one table. With `key_title`, that column names the items, not the first one."""

    def __init__(
        self,
        listing: Listing,
        file: BinaryIO,
        *,
        name: str,
        folder: str,
        form: TableForm = _AS_IS,
        key_title: str | None = None,
    ) -> None:
        self._listing = listing
        self._name = name
        self._folder = folder
        self._nearby = Nearby()
        self._params = {param.name: param for param in listing.pipeline.params}
        self._title_of = {name: form.titles.get(name, name) for name in self._params}
        self._records = self._read(file, form)
        self._titles = self._records.titles
        if len(self._titles) > MAX_COLUMNS:
            raise UserError(
                f"the table `{name}` has {len(self._titles):,} columns and {MAX_COLUMNS:,} are allowed; "
                "are its rows and columns exchanged?"
            )
        self._check_titles()
        self._key_at = self._titles.index(key_title) if key_title in self._titles else 0
        places = {title: number for number, title in enumerate(self._titles)}
        self._columns = [
            (places[title], param) for param, title in self._title_of.items() if title in places
        ]
        self._told = tuple(param for _, param in self._columns)
        self._meta = self._meta_columns()
        self._lines: dict[int, tuple[int, int]] = {}  # of each key, by digest: line and content

    def _read(self, file: BinaryIO, form: TableForm) -> Records | SheetRecords:
        buffered = file if isinstance(file, io.BufferedReader) else None
        if buffered is None:
            buffered = io.BufferedReader(cast("io.RawIOBase", file))
        if is_spreadsheet(buffered.peek(4)[:4]):
            return SheetRecords(buffered, name=self._name, form=form)
        types = {self._title_of[name]: param.type for name, param in self._params.items()}
        has_lists = any(types.get(title) is ParamType.LIST for title in form.columns)
        return Records(
            buffered, name=self._name, refuse=self._refuse, form=form, has_lists=has_lists
        )

    @property
    def key_title(self) -> str:
        """The title of the column that names the items."""
        return self._titles[self._key_at]

    @property
    def skipped(self) -> int:
        """How many lines were left out so far, as they have too few fields to mean anything."""
        return self._records.skipped

    def items(self) -> Iterator[tuple[int, NewItem]]:
        """Yield the item of each good row, with its line."""
        for line, cells in self._records:
            if len(cells) != len(self._titles):
                self._refuse(
                    line, f"{len(cells)} columns where there are {len(self._titles)} titles"
                )
                continue
            item = self._item(line, cells)
            if item is not None and self._is_new_or_same(line, item):
                yield line, item

    def _meta_columns(self) -> list[tuple[int, str]]:
        """Return the columns that go into `meta`, with their names there."""
        taken = set(self._title_of.values())
        is_path = self._listing.pipeline.items.has_path
        columns: dict[str, int] = {}
        for number, title in enumerate(self._titles):
            if title in taken or title.startswith("#") or (is_path and number == self._key_at):
                continue
            name = name_in_meta(title, number)
            if name in columns:
                raise UserError(
                    f"{self._where} the columns `{self._titles[columns[name]]}` and `{title}` would both "
                    f"be `meta.{name}`; rename one of them"
                )
            columns[name] = number
        return [(number, name) for name, number in columns.items()]

    def _item(self, line: int, cells: list[str]) -> NewItem | None:
        """Return the row's item; None if it was refused."""
        given = {
            param: cells[number]
            for number, param in self._columns
            if cells[number] and not self._is_missing(param, cells[number])
        }
        meta: dict[str, Any] = {name: cells[number] for number, name in self._meta if cells[number]}
        key, first = cells[self._key_at], self.key_title
        where = f"`{self._name}`, line {line}"
        try:
            self._check_texts(cells)
            return self._listing.row(
                key, given, where=where, folder=self._folder, columns=self._told, meta=meta
            )
        except _BadCell as bad:
            self._refuse(line, str(bad), bad.title)
        except UserError as error:
            self._refuse_cells(line, cells, given, str(error).removeprefix(f"{where}: "))
        except OSError as error:
            self._refuse(line, f"`{key}`: {error.strerror}", first)
        except ValueError:
            self._refuse(line, f"{key!r} has a NUL byte", first)
        return None

    def _is_missing(self, param: str, cell: str) -> bool:
        """Whether the cell says that there is no value."""
        return cell == _NOT_KNOWN and self._params[param].type is not ParamType.STRING

    def _check_texts(self, cells: list[str]) -> None:
        """Hold that the item is named, and texts are UTF-8; a file's path may have any bytes."""
        if not cells[self._key_at]:
            raise _BadCell("is empty; it names the item", self.key_title)
        is_path = self._listing.pipeline.items.has_path
        for number, cell in enumerate(cells):
            if number == self._key_at and is_path:
                continue
            shown = wrong_bytes(cell)
            if shown is not None:
                raise _BadCell(
                    f"has bytes that are not UTF-8 (in Latin-1 they are `{shown}`); save the table "
                    "as UTF-8",
                    self._titles[number],
                )

    def _refuse_cells(
        self, line: int, cells: list[str], given: dict[str, str], message: str
    ) -> None:
        """Refuse a row cell by cell where cells are at fault, else with the `message` as it is."""
        is_told = False
        places = Places(given=self._folder, defaults=self._listing.pipeline.folder)
        for name, cell in given.items():
            try:
                check_params((self._params[name],), {name: cell}, where=name, places=places)
            except UserError as error:
                why = str(error).removeprefix(f"{name}: parameter `{name}` ")
                self._refuse(line, why, self._title_of[name])
                is_told = True
        for param in self._params.values():
            title = self._title_of[param.name]
            if param.required and title in self._titles and param.name not in given:
                self._refuse(line, "is empty and required", title)
                is_told = True
        if not is_told and self._listing.pipeline.items.has_path:
            message += self._nearby.hint(self._folder, cells[self._key_at])
            self._refuse(line, message, self.key_title)
        elif not is_told:
            self._refuse(line, message)

    def _is_new_or_same(self, line: int, item: NewItem) -> bool:
        """Whether no row before has this key with other values; such a row is refused."""
        key, content = _digest(item.key), _digest(item.fingerprint)
        first, known = self._lines.setdefault(key, (line, content))
        if known != content:
            message = f"the item `{item.key}` has line {first} already, with other values; "
            self._refuse(line, message + "leave one of them")
        return known == content

    def _refuse(self, line: int, message: str, title: str | None = None) -> None:
        column = f", column `{title}`" if title is not None else ""
        self._listing.refuse(f"`{self._name}`, line {line}{column}: {message}")

    @property
    def _where(self) -> str:
        line = self._records.title_line
        return f"the table `{self._name}`, line {line}:" if line else f"the table `{self._name}`:"

    def _check_titles(self) -> None:
        """UserError for titles of which Stoker cannot know what is meant."""
        titles, where = self._titles, self._where
        doubled = sorted({title for title in titles if title and titles.count(title) > 1})
        if doubled:
            raise UserError(f"{where} there are two columns `{doubled[0]}`; rename one of them")
        for name, title in self._title_of.items():
            if title != name and title not in titles:
                near = nearest(title, titles)
                hint = f"; is it `{near}`?" if near else ""
                raise UserError(
                    f"{where} there is no column `{title}`, which holds the parameter `{name}`{hint}"
                )
        missing = [name for name, title in self._title_of.items() if title not in titles]
        for title in titles[1:]:
            if title in self._title_of.values() or title.startswith("#"):
                continue
            near = nearest(title, missing) or nearest(title.lower(), missing)
            if near is not None:
                raise UserError(
                    f"{where} column `{title}` resembles the parameter `{near}`; rename the column, or "
                    f'write `params.{near} = "{title}"` in the source (a column whose title begins '
                    "with `#` is for people)"
                )
        for param in self._params.values():
            if self._is_needed(param) and self._title_of[param.name] not in titles:
                raise UserError(
                    f"{where} there is no column `{param.name}`, which pipeline "
                    f"`{self._listing.pipeline.name}` requires; {_renamed(titles, param.name)}"
                )

    def _is_needed(self, param: Param) -> bool:
        return param.required and self._listing.given.get(param.name) is None


class _BadCell(Exception):
    """What is wrong with one cell."""

    def __init__(self, message: str, title: str) -> None:
        super().__init__(message)
        self.title = title


def _digest(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def name_in_meta(title: str, number: int) -> str:
    """Return what a column is called in `meta`: its title in small letters, digits and `_`."""
    name = _NO_NAME.sub("_", title.lower()).strip("_")
    if not name:
        return f"column_{number + 1}"
    return name if name[0].isalpha() else f"column_{name}"


def _renamed(titles: list[str], name: str) -> str:
    """Say which title may have been meant for a column that is missing."""
    near = nearest(name, titles)
    return f"is it `{near}`?" if near is not None else "add it"
