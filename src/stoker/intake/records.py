"""The records of a CSV or TSV file, each with the line on which it begins.

A quote that is never closed spoils the record it stands in, and none that comes after it.
"""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO

from stoker.errors import UserError
from stoker.intake.decoding import decoded_lines

_LINES_IN_A_RECORD = 1_000  # a quoted cell longer than this is a quote that somebody forgot


class Records:
    """Reads a table: first `titles`, then the records. `refuse` hears of a line and what is wrong.

    UserError if the file has no first line, or is not text that can be decoded.
    """

    def __init__(self, file: BinaryIO, *, name: str, refuse: Callable[[int, str], None]) -> None:
        self._refuse = refuse
        self._lines = decoded_lines(file, name=name, newline="")
        self._again: deque[str] = deque()
        self._line = 0
        head = self._next() or ""
        while head and not head.strip():
            head = self._next() or ""
        if not head:
            raise UserError(f"the table `{name}` is empty; its first line names the columns")
        self.separator = _separator(head)
        self.titles = [title.strip() for title in self._record(head) or []]
        while self.titles and not self.titles[-1]:
            self.titles.pop()  # a spreadsheet writes separators up to its last used column
        if not self.titles:
            raise UserError(f"the table `{name}` has no titles; its first line names the columns")
        self.title_line = self._line

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells of each record that is not empty, without blanks around the cells."""
        width = len(self.titles)
        while (text := self._next()) is not None:
            begins = self._line
            cells = self._record(text)
            if cells is None:
                continue
            cells = [cell.strip() for cell in cells]
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if any(cells):
                yield begins, cells

    def _next(self) -> str | None:
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is not None:
            self._line += 1
        return line

    def _record(self, text: str) -> list[str] | None:
        """Return the cells of the record that begins with the line `text`; None if refused."""
        if '"' not in text:
            return text.rstrip("\r\n").split(self.separator)
        begins, lines, trouble = self._line, [text], ""
        while not trouble:
            try:
                return next(csv.reader(iter(lines), delimiter=self.separator, strict=True), [])
            except csv.Error as error:
                trouble = str(error)
            if trouble.startswith("unexpected end") and self._go_on(lines):
                trouble = ""
        if trouble.startswith("unexpected end"):
            trouble = "a quote is opened and never closed"
        self._refuse(begins, f"{trouble}; quote a cell that holds quotes, and double them")
        self._again.extendleft(reversed(lines[1:]))
        self._line = begins
        return None

    def _go_on(self, lines: list[str]) -> bool:
        """Add lines up to the next that has a quote, which may close the cell; False if none has."""
        while len(lines) < _LINES_IN_A_RECORD and (line := self._next()) is not None:
            lines.append(line)
            if '"' in line:
                return True
        return False


def _separator(head: str) -> str:
    if "\t" in head:
        return "\t"
    return ";" if head.count(";") > head.count(",") else ","
