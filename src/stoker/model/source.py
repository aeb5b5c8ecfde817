"""Where the items of a pipeline come from, and what must be true of one before it is taken."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FIELD = re.compile(r"\{([a-z][a-z0-9_]*)\}")  # in `fields`
TEMPORARY = (".part", ".tmp", ".temp", ".filepart", ".partial", ".crdownload", ".swp", "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A shell text that prints the names of items, asked again and again."""

    text: str
    every_s: float = 60.0
    timeout_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A database of CouchDB's protocol, of which the documents that fit `selector` are items.

    `params` says in which field of a document a parameter is, where that is not its own name;
    `path` in which the path of the item's file is. `url` may have `${NAME}` for what the environment
    knows; a password is there or in `password_file`.
    """

    url: str
    selector: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that items come from: exactly one of the fields before `settle_s` says which.

    A file is complete once two looks, `settle_s` apart, found it unchanged, and what else is set
    here agrees: its companion is there (`complete_when`), a `manifest` beside it lists it, its name
    has no suffix of a `temporary` file. With `parts`, files whose names agree in all `fields` but the
    part's are one item, complete when all parts are there.
    """

    name: str
    folder: str | None = None
    table: str | None = None  # a path, or a glob for several
    listing: str | None = None  # `list` in the file
    command: Command | None = None
    feed: Feed | None = None
    settle_s: float = 10.0
    glob: str = "**/*"
    exclude: tuple[str, ...] = ()
    temporary: tuple[str, ...] = TEMPORARY
    complete_when: str | None = None  # a template for the companion's path
    manifest: str | None = None  # a glob for names of files that list others, in the same folder
    fields: str | None = None  # how names are made, as `{run}_{part}.fastq`
    parts: Mapping[str, str] = field(default_factory=dict)  # name in `meta` -> what `{part}` is
    overdue_s: float = 86_400.0  # what is incomplete for longer is trouble
    max_open: int | None = None  # items that are not at an end

    @property
    def field_names(self) -> tuple[str, ...]:
        """What the names of files tell of an item."""
        return tuple(FIELD.findall(self.fields or ""))

    @property
    def kind(self) -> str:
        """What the source reads: its cursor means something to sources of this kind."""
        if self.table is not None:
            return "table"
        if self.listing is not None:
            return "list"
        if self.command is not None:
            return "command"
        return "folder" if self.feed is None else "feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What must be true of an item's file; one that breaks a rule is quarantined.

    `checksum` is a template for the path of a file with the sum; `command` one of words for a command
    that ends with 0 for a good file, and says on stderr what is wrong with another.
    """

    min_bytes: int = 0
    max_bytes: int | None = None
    magic: str = ""  # what the file begins with, in hexadecimal digits
    checksum: str | None = None
    command: tuple[str, ...] = ()
