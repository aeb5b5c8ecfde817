"""The records of a CSV or TSV file, each with the line on which it begins.

A quote that is never closed spoils the record it stands in, and none that comes after it.
"""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import BinaryIO

from stoker.errors import UserError
from stoker.intake.decoding import decoded_lines
from stoker.model.source import TableForm

MAX_COLUMNS = 10_000
_LINES_IN_A_RECORD = 1_000  # a quoted cell longer than this is a quote that somebody forgot
_SAMPLE = 100  # lines by which a separator is recognised
_USUAL = ("\t", ";", ",", " ")  # a blank stands for any run of blanks and tabs
_SECTION = re.compile(r"\[([^\]]*)\][\s,;]*")  # of a sample sheet
_AS_IS = TableForm()


class Records:
    """Reads a table: first `titles`, then the records. `refuse` is called with a line and what is wrong.

    Lines that begin with `#` are comments. Where the form has the columns, lines with fewer fields
    are left out; `skipped` counts them. UserError if the file has no first line, is not text that can
    be decoded, or is not a table.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        name: str,
        refuse: Callable[[int, str], None],
        form: TableForm = _AS_IS,
        has_lists: bool = False,
    ) -> None:
        self._refuse = refuse
        self._has_lists = has_lists  # so that commas are likely within fields
        self._name = name
        self._lines = decoded_lines(file, name=name, newline="")
        self._again: deque[str] = deque()
        self._line = 0
        self._comment = ""  # the one just before the line that was read last
        self._is_sheet = False
        self._has_header = not form.columns
        self.skipped = 0
        head = self._head()
        if form.columns:
            self.titles = list(form.columns)
            self.separator = form.separator or self._recognise(head)
            self.title_line = 0
            self._put_back(head)
            return
        self.separator = form.separator or _separator(head) or self._blanks(head)
        self.titles = [title.strip() for title in self._record(head) or []]
        while self.titles and not self.titles[-1]:
            self.titles.pop()  # a spreadsheet writes separators up to its last used column
        if not self.titles:
            raise UserError(f"the table `{name}` has no titles; its first line names the columns")
        self.title_line = self._line
        self._check_comment()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield line and cells of each record that is not empty, without blanks around the cells."""
        width = len(self.titles)
        while (text := self._next()) is not None:
            if text.startswith("#"):
                continue
            if self._is_sheet and _SECTION.fullmatch(text.strip()):
                return
            begins = self._line
            cells = self._record(text)
            if cells is None:
                continue
            cells = [cell.strip() for cell in cells]
            while len(cells) > width and not cells[-1]:
                cells.pop()
            if not any(cells):
                continue
            if len(cells) < width and not self._has_header:
                self.skipped += 1
                continue
            yield begins, cells

    # ------------------------------------------------------------------------ where the table begins

    def _head(self) -> str:
        """Return the first line that is neither empty nor a comment. UserError if there is none."""
        head = self._first()
        section = _SECTION.fullmatch(head.strip()) if self._has_header else None
        if section is None:
            return head
        self._is_sheet = True
        while section is None or not section[1].lower().endswith("data"):
            head = self._first(
                f"is a sample sheet without a section `[Data]`; it has `{head.strip()}`"
            )
            section = _SECTION.fullmatch(head.strip())
        return self._first("has nothing after its section `[Data]`")

    def _first(self, otherwise: str = "is empty; its first line names the columns") -> str:
        self._comment = ""
        while (line := self._next()) is not None:
            if line.startswith("#"):
                self._comment = line
            elif line.strip():
                return line
        raise UserError(f"the table `{self._name}` {otherwise}")

    def _check_comment(self) -> None:
        """UserError if the titles seem to be in the comment before the line that was taken for them."""
        written = self._comment.lstrip("# \t")
        if not written or self.separator not in written:
            return
        cells = [cell.strip() for cell in self._record(written) or []]
        if len(cells) == len(self.titles) and all(map(_is_word, cells)):
            raise UserError(
                f"the table `{self._name}`, line {self.title_line}: are the titles in the line before "
                "it, which begins with `#`? Lines that do so are comments: remove that `#`, or give the "
                "source `columns`"
            )

    # ---------------------------------------------------------------------------------- separators

    def _recognise(self, head: str) -> str:
        """Return the separator by which most lines have as many fields as there are columns."""
        lines = [head, *self._ahead(_SAMPLE)]
        width = len(self.titles)
        if width == 1:
            return "\t"
        fitting = {mark: sum(len(_split(line, mark)) == width for line in lines) for mark in _USUAL}
        best = max(fitting.values())
        found = [mark for mark in _USUAL if fitting[mark] == best]
        if not best:
            columns = ", ".join(f"`{title}`" for title in self.titles)
            raise UserError(
                f"the table `{self._name}`, line {self._line}: no separator makes the {width} columns "
                f"{columns} of `{head.strip()[:60]}`; set `separator` or put `columns` right"
            )
        if found[0] in "\t;" or len(found) == 1:
            return found[0]
        if self._has_lists:
            return " "
        raise UserError(
            f"the table `{self._name}`: its fields may be separated by commas or by blanks; set "
            'the source\'s `separator` to "," or " "'
        )

    def _blanks(self, head: str) -> str:
        """Return the separator of a header without a tab, semicolon or comma."""
        width = len(head.split())
        following = next((line for line in self._ahead(_SAMPLE) if not line.startswith("#")), "")
        is_split = width > 1 and len(following.split()) == width
        return " " if is_split and '"' not in head else ","

    def _ahead(self, most: int) -> list[str]:
        """Return lines that come next, and leave them to be read."""
        lines: list[str] = []
        for _ in range(most):
            line = self._next()
            if line is None:
                break
            lines.append(line)
        for line in reversed(lines):
            self._put_back(line)
        return [line for line in lines if line.strip() and not line.startswith("#")]

    # --------------------------------------------------------------------------------------- lines

    def _next(self) -> str | None:
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is not None:
            self._line += 1
        return line

    def _put_back(self, line: str) -> None:
        self._again.appendleft(line)
        self._line -= 1

    def _record(self, text: str) -> list[str] | None:
        """Return the cells of the record that begins with the line `text`; None if refused."""
        if '"' not in text:
            return _split(text, self.separator)
        begins, lines, trouble = self._line, [text], ""
        while not trouble:
            try:
                return next(_quoted(lines, self.separator), [])
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


def _quoted(lines: list[str], separator: str) -> Iterator[list[str]]:
    if separator != " ":
        return csv.reader(iter(lines), delimiter=separator, strict=True)
    even = [line.strip("\r\n\t ").replace("\t", " ") for line in lines]
    return csv.reader(iter(even), delimiter=" ", skipinitialspace=True, strict=True)


def _split(text: str, separator: str) -> list[str]:
    return text.split() if separator == " " else text.rstrip("\r\n").split(separator)


def _separator(head: str) -> str:
    """Return what separates the titles, if it is in their line; otherwise nothing."""
    if "\t" in head:
        return "\t"
    if ";" not in head and "," not in head:
        return ""
    return ";" if head.count(";") > head.count(",") else ","


def _is_word(cell: str) -> bool:
    """Whether a cell looks like a title rather than a value."""
    return bool(cell) and (cell[0].isalpha() or cell[0] == "_")
