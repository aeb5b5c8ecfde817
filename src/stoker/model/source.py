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
class TableForm:
    """How a table is written, where it is not a header and one of the usual separators.

    `columns` are the titles of a file that has no line for them. `titles` has the title of a
    parameter's column, where that is not the parameter's name. `separator` is one character; a blank
    stands for any run of blanks and tabs; None is recognised.
    """

    columns: tuple[str, ...] = ()
    separator: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A database of CouchDB's protocol, of which the documents that fit `selector` are items.

    `params` says in which field of a document a parameter is, where that is not its own name;
    `path` in which the path of the item's file is. `url` may have `${NAME}` for what the environment
    knows; a password is there or in `password_file`. `states` has a group's own words for states of
    items, in which `{step}` is the step that decides the state; with `logs`, the ends of what attempts
    wrote are put into the documents.
    """

    url: str
    selector: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    password_file: str | None = None
    states: Mapping[str, str] = field(default_factory=dict)
    logs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Items of another pipeline that have something in common: together they are one item.

    `by` is a template for what that is; empty, and there is one group, `all`. `where` is a condition;
    items for which it is false are not members. A member is over once `step` is, or without it the
    whole item. `members` and `complete_when` are templates for the paths of files, `count` is a
    number or a template for one. None: the condition is not set. With `volume_bytes`, groups are
    filled one after another, and `pack` names the outputs that count.
    """

    pipeline: str
    step: str | None = None
    by: str = ""
    where: str | None = None
    members: str | None = None
    count: int | str | None = None
    complete_when: str | None = None
    settle_s: float | None = None
    overdue_s: float | None = None
    allow_failed: bool = False
    volume_bytes: int | None = None
    pack: tuple[str, ...] = ()


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
    form: TableForm = TableForm()
    listing: str | None = None  # `list` in the file
    command: Command | None = None
    feed: Feed | None = None
    group: Group | None = None
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
        if self.group is not None:
            return "group"
        return "folder" if self.feed is None else "feed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What must be true of an item's file; one that breaks a rule is quarantined.

    `checksum` is a template for the path of a file with the sum; `command` one of words for a command
    that exits with status 0 for a good file, and says on stderr what is wrong with another.
    """

    min_bytes: int = 0
    max_bytes: int | None = None
    magic: str = ""  # what the file begins with, in hexadecimal digits
    checksum: str | None = None
    command: tuple[str, ...] = ()
