"""Tables: a row is an item, a column a parameter. A bad row is refused with line and column.

The header is believed as a whole or not at all: with a title that means nothing, or without a column
that every row needs, no row is taken, since each would be taken with other values than its author
meant. A column whose title begins with `#` is for people.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import xxhash

from stoker.errors import UserError
from stoker.intake.decoding import wrong_bytes
from stoker.intake.nearest_name import Nearby
from stoker.intake.pushed import Listing
from stoker.intake.records import Records
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Param
from stoker.spec.params import check_value
from stoker.spec.problems import suggest

OnRow = Callable[[int, NewItem], None]


def table_items(
    listing: Listing,
    file: BinaryIO,
    *,
    name: str,
    folder: str,
    on_row: OnRow | None = None,
) -> Iterator[NewItem]:
    """Yield an item for each row of a table with a header: the first column is the key (or path).

    A column that is named like a parameter is that parameter, the first one too. `folder` is what
    paths are relative to. UserError for a header that cannot be believed; a bad row is refused, with
    file, line and column, and the rest is taken. `on_row` hears of each row that is yielded, before.
    """
    table = Table(listing, file, name=name, folder=folder)
    for line, item in table.items():
        if on_row is not None:
            on_row(line, item)
        yield item


class Table:
    """One reading of one table."""

    def __init__(self, listing: Listing, file: BinaryIO, *, name: str, folder: str) -> None:
        self._listing = listing
        self._name = name
        self._folder = folder
        self._nearby = Nearby()
        self._params = {param.name: param for param in listing.pipeline.params}
        self._records = Records(file, name=name, refuse=self._refuse)
        self._titles = self._records.titles
        self._check_titles()
        self._columns = [
            (number, title) for number, title in enumerate(self._titles) if title in self._params
        ]
        self._told = tuple(title for _, title in self._columns)
        self._lines: dict[int, tuple[int, int]] = {}  # of each key, by digest: line and content

    def items(self) -> Iterator[tuple[int, NewItem]]:
        """Yield the item of each good row, with its line."""
        for line, cells in self._records:
            if len(cells) != len(self._titles):
                self._refuse(line, f"{len(cells)} columns where the header has {len(self._titles)}")
                continue
            item = self._item(line, cells)
            if item is not None and self._is_new_or_same(line, item):
                yield line, item

    def _item(self, line: int, cells: list[str]) -> NewItem | None:
        """Return the row's item; None if it was refused."""
        given = {title: cells[number] for number, title in self._columns if cells[number]}
        key, first = cells[0], self._titles[0]
        where = f"`{self._name}`, line {line}"
        try:
            self._check_texts(cells)
            return self._listing.row(
                key, given, where=where, folder=self._folder, columns=self._told
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

    def _check_texts(self, cells: list[str]) -> None:
        """Hold that the item is named, and texts are UTF-8; a file's path may have any bytes."""
        if not cells[0]:
            raise _BadCell("is empty; it names the item", self._titles[0])
        is_path = self._listing.pipeline.items is not ItemKind.RECORDS
        for number, cell in enumerate(cells):
            if number == 0 and is_path:
                continue
            shown = wrong_bytes(cell)
            if shown is not None:
                raise _BadCell(
                    f"has bytes that are no UTF-8 (in Latin-1 they are `{shown}`); save the table "
                    "as UTF-8",
                    self._titles[number],
                )

    def _refuse_cells(
        self, line: int, cells: list[str], given: dict[str, str], message: str
    ) -> None:
        """Refuse a row cell by cell where cells are at fault, else with the `message` as it is."""
        is_told = False
        for title, cell in given.items():
            try:
                check_value(self._params[title], cell)
            except ValueError as error:
                self._refuse(line, str(error), title)
                is_told = True
        for param in self._params.values():
            if param.required and param.name in self._titles and param.name not in given:
                self._refuse(line, "is empty and required", param.name)
                is_told = True
        if not is_told and self._listing.pipeline.items is not ItemKind.RECORDS:
            message += self._nearby.hint(self._folder, cells[0])
            self._refuse(line, message, self._titles[0])
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

    def _check_titles(self) -> None:
        titles = self._titles
        where = f"the table `{self._name}`, line {self._records.title_line}:"
        doubled = sorted({title for title in titles if titles.count(title) > 1})
        if doubled:
            raise UserError(f"{where} there are two columns `{doubled[0]}`; rename one of them")
        pipeline, declared = self._listing.pipeline, list(self._params)
        for title in titles[1:]:
            if title not in declared and not title.startswith("#"):
                missing = [name for name in declared if name not in titles]
                hint = suggest(title, missing) or f"declare it in `{pipeline.name}`'s params"
                raise UserError(
                    f"{where} column `{title}` is no parameter of pipeline `{pipeline.name}`; "
                    f"{hint} (a title that begins with `#` is for people)"
                )
        for param in self._params.values():
            if self._is_needed(param) and param.name not in titles:
                raise UserError(
                    f"{where} there is no column `{param.name}`, which pipeline "
                    f"`{pipeline.name}` requires; {_renamed(titles, param.name)}"
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


def _renamed(titles: list[str], name: str) -> str:
    """Say which title may have been meant for a column that is missing."""
    near = suggest(name, titles)
    return near.replace("did you mean", "is it") if near.startswith("did you") else "add it"
