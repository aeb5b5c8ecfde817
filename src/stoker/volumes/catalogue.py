"""The index of a volume, and the list of checksums of its blocks: files for people and programs.

`NAME.csv` has a row for each file that is packed, `NAME.sha256` a line for each block and for the index,
as `sha256sum` writes it. Both are in the folder of the volume; the index also wherever it is kept.
"""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from stoker.errors import NotFound, UserError

COLUMNS = (
    "volume", "block", "offset", "position", "size_bytes", "sha256", "checksum", "key", "output", "path", "name",
)  # fmt: skip
INDEX, SUMS = ".csv", ".sha256"
_SUM = re.compile(r"([0-9a-f]{64}) [ *]([^/\0]+)")
_LONGEST_BYTES = 64 * 1024 * 1024  # of a list of checksums


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A packed file: in which block, and at which byte of it its header begins.

    `position` is that byte where the blocks are one after another, as on a tape. `name` is what the
    block calls it, `path` where it was published, `checksum` what was recorded of the whole output
    then. A link has no `sha256`.
    """

    volume: str
    block: str
    offset: int
    position: int
    size_bytes: int
    sha256: str
    checksum: str
    key: str
    output: str
    path: str
    name: str


class IndexWriter:
    """Writes an index, row by row."""

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def add(self, entry: Entry) -> None:
        """Append a row."""
        self._writer.writerow([getattr(entry, name) for name in COLUMNS])


def open_text(path: str, mode: str) -> TextIO:
    """Open a text that may hold names of any bytes."""
    return cast(
        "TextIO", Path(path).open(mode, encoding="utf-8", errors="surrogateescape", newline="")
    )


def is_index(path: str) -> bool:
    """Whether the file at the path is the index of a volume."""
    with suppress(OSError):
        if os.path.isfile(path):
            with open_text(path, "r") as file:
                return file.readline(1_000).rstrip("\r\n") == ",".join(COLUMNS)
    return False


def read_index(path: str) -> Iterator[Entry]:
    """Yield the rows of an index. UserError, with the line, where it is damaged."""
    with open_text(path, "r") as file:
        reader = csv.reader(file)
        if next(reader, None) != list(COLUMNS):
            raise UserError(f"`{path}` is not the index of a volume: its first line differs")
        try:
            for row in reader:
                try:
                    named: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
                    named |= {one: int(named[one]) for one in ("offset", "position", "size_bytes")}
                except ValueError:
                    raise UserError(
                        f"`{path}`, line {reader.line_num}: the row is damaged"
                    ) from None
                yield Entry(**named)
        except csv.Error as error:
            raise UserError(f"`{path}`, line {reader.line_num}: {error}") from None


def write_sums(path: str, sums: Mapping[str, str]) -> None:
    """The file has these SHA-256 by name, in the order of the names."""
    with open_text(path, "x") as file:
        file.writelines(f"{sums[name]}  {name}\n" for name in sorted(sums))
        file.flush()
        os.fsync(file.fileno())


def read_sums(folder: str) -> tuple[str, dict[str, str]]:
    """Return the name of the volume in a folder, and the SHA-256 of its files by name.

    NotFound where there is none; UserError where there are several, or the list is damaged.
    """
    try:
        found = sorted(name for name in os.listdir(folder) if name.endswith(SUMS))
    except FileNotFoundError:
        raise NotFound(f"there is no folder `{folder}`") from None
    except OSError as error:
        raise UserError(f"`{folder}` cannot be read: {error.strerror}") from None
    if not found:
        raise NotFound(f"`{folder}` holds no volume: there is no `NAME{SUMS}` in it")
    if len(found) > 1:
        raise UserError(f"`{folder}` holds several volumes: {', '.join(found)}")
    path = os.path.join(folder, found[0])
    if not os.path.isfile(path) or os.path.getsize(path) > _LONGEST_BYTES:
        raise UserError(f"`{path}` is not a list of checksums")
    sums: dict[str, str] = {}
    with open_text(path, "r") as file:
        for number, line in enumerate(file, start=1):
            match = _SUM.fullmatch(line.rstrip("\n"))
            if match is None:
                raise UserError(f"`{path}`, line {number}: the line is damaged")
            sums[match[2]] = match[1]
    return found[0].removesuffix(SUMS), sums
