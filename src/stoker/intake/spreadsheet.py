"""The first sheet of a spreadsheet file (`.xlsx`, `.xls`, `.ods`) as the records of a table."""

import datetime as dt
import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from stoker.errors import UserError
from stoker.model.source import TableForm

MAX_BYTES = 100 << 20  # of the file, and ten times as much unpacked
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


def is_spreadsheet(first: bytes) -> bool:
    """Whether a file that begins so is a spreadsheet, whatever its name is."""
    return first.startswith((_ZIP, _OLE))


class SheetRecords:
    """Reads a sheet as `Records` reads text: first `titles`, then the rows that are not empty.

    UserError if it is too large, has no titles, or the library that reads it is not installed.
    """

    skipped = 0

    def __init__(self, file: BinaryIO, *, name: str, form: TableForm) -> None:
        content = file.read(MAX_BYTES + 1)
        _check_size(content, name)
        self._rows = iter(enumerate(_rows(content, name), start=1))
        self._has_header = not form.columns
        self.title_line = 0
        self.titles = list(form.columns)
        if self._has_header:
            self.title_line, self.titles = next(self._filled(), (0, []))
            while self.titles and not self.titles[-1]:
                self.titles.pop()
        if not self.titles:
            raise UserError(
                f"the first sheet of `{name}` is empty; its first row names the columns"
            )

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and cells of each row that is not empty."""
        width = len(self.titles)
        for number, cells in self._filled():
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if cells[0].startswith("#"):
                continue
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
            yield number, cells

    def _filled(self) -> Iterator[tuple[int, list[str]]]:
        for number, row in self._rows:
            cells = [_text(cell).strip() for cell in row]
            if any(cells):
                yield number, cells


def _check_size(content: bytes, name: str) -> None:
    size = len(content)
    if content.startswith(_ZIP) and size <= MAX_BYTES:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                size = sum(one.file_size for one in packed.infolist()) // 10
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise UserError(
                f"the table `{name}` cannot be read as a spreadsheet: {error}"
            ) from None
    if size > MAX_BYTES:
        raise UserError(f"the spreadsheet `{name}` is too large; save its table as CSV")


def _rows(content: bytes, name: str) -> Sequence[Sequence[object]]:
    try:
        import python_calamine
    except ImportError:
        raise UserError(
            f"the table `{name}` is a spreadsheet; save it as CSV, or install what reads it: "
            '`pip install "stoker[excel]"`'
        ) from None
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheet = book.get_sheet_by_index(0)
        return sheet.to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError, ValueError, IndexError) as error:
        raise UserError(f"the table `{name}` cannot be read as a spreadsheet: {error}") from None


def _text(cell: object) -> str:
    """Return a cell as one would write it in a CSV file."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, dt.datetime | dt.date | dt.time):
        return cell.isoformat()
    return str(cell)
