"""The keys that say where items come from, and what must be true of one before it is taken."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from stoker.model import bounds
from stoker.model.source import TEMPORARY
from stoker.spec.shapes import Name, Size, Table, Time, explained, within


def _parts(value: object) -> object:
    """A list of parts names them as they are written; a table gives them names of their own."""
    if isinstance(value, list):
        return {part.lower() if isinstance(part, str) else part: part for part in value}
    return value


_PARTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ],
}
Parts = Annotated[dict[Name, str], BeforeValidator(_parts), WithJsonSchema(_PARTS_SCHEMA)]


Title = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]


def _number_or_name(value: object) -> object:
    """A number of at least 1, or a text that names one."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not is_number and not isinstance(value, str):
        raise ValueError("`count` is a number of at least 1, or a name such as `{meta.files}`")
    return value


_COUNT_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}],
}
Count = Annotated[Any, BeforeValidator(_number_or_name), WithJsonSchema(_COUNT_SCHEMA)]


class SourceTable(Table):
    """A place that items come from: a folder, table, list, command, feed, or another pipeline.

    Exactly one of `folder`, `table`, `list`, `command`, `feed`, `pipeline`. The other keys belong to
    some of these kinds only; `stoker check` reports one that does not fit.
    """

    folder: str | None = explained(
        "The folder that items come from.",
        "`stoker up` watches it; `stoker run` looks once. Every complete file in it, or every folder "
        'with `items = "folders"`, is an item.',
        example="incoming",
    )
    glob: str = explained(
        "The files of the folder that are items, by their path in it.",
        "Other files are ignored. `**` stands for any folders.",
        default="**/*",
        example="**/*.csv",
    )
    exclude: list[str] = explained(
        "Globs of files that are not items, although `glob` matches them.",
        "They are ignored.",
        default=[],
        example=["**/test-*"],
    )
    settle: Time = explained(
        "How long a file, or a group, must stay unchanged before it counts as complete.",
        "A file is taken when two looks that are this far apart find the same size and time, so choose "
        "more than the longest pause of its writer. A file that is renamed into place is taken at once. "
        "A group is complete when no new member has come for this long.",
        default=10.0,
        example="2m",
        absent="`10s` for files; `1s` for tables and lists; `10m` for groups without another condition",
    )
    temporary: list[str] = explained(
        "Endings of names that files have while they are written.",
        "Files with such a name are not items. The list replaces the default one.",
        default=list(TEMPORARY),
        example=[".writing"],
    )
    complete_when: str | None = explained(
        "A file that exists once the item, or the group, is complete.",
        "The item waits until this file exists. The name is a template.",
        example="{item}.done",
        absent="a file is complete after `settle`",
    )
    manifest: str | None = explained(
        "A glob for files that list which others in their folder are complete.",
        "Only listed files are taken. If the manifest has checksums, they are verified, and a file with "
        "another checksum is quarantined.",
        example="*.md5",
    )
    fields: str | None = explained(
        "A pattern for the names of the files; with a slash, for their paths in the folder.",
        "Files that do not match are not items. The parts of the name are kept in `meta`, here as "
        "`{meta.run}`.",
        example="{run}_{part}.fastq",
    )
    parts: Parts = explained(
        "The files that make one item: the values that `{part}` has in `fields`.",
        "The item is complete when all its parts are, and `{meta.r1}` is the path of the part `R1`.",
        default={},
        example=["R1", "R2"],
        absent="each file is an item",
    )
    overdue: Annotated[Time, Field(gt=0)] = explained(
        "How long an item or a group may stay incomplete before it is reported.",
        "`stoker status` lists it with what it lacks. Nothing is given up.",
        default=86_400.0,
        example="6h",
    )
    table: str | None = explained(
        "A CSV, TSV or spreadsheet file with one row for each item; or a glob for several.",
        "The first column is the key, columns named as parameters set them, all others go into `meta`. "
        "`stoker up` reads the table whenever it is saved and writes a report beside it.",
        example="blocks.csv",
    )
    columns: Annotated[list[Title], Field(min_length=1)] | None = explained(
        "The titles of the columns, for a table without a header line.",
        "The first line is then a row. Lines with fewer fields are skipped and counted.",
        example=["block", "omit"],
        absent="the table's first line",
    )
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = explained(
        "The character between the fields of a table, if it cannot be recognised.",
        "A blank stands for any run of blanks and tabs.",
        example=";",
        absent="recognised",
    )
    listing: str | None = explained(
        "A file with the name of one item per line.",
        "Each name is an item. `stoker up` reads the list whenever it is saved and writes a report "
        "beside it.",
        example="chosen.txt",
        alias="list",
    )
    command: str | None = explained(
        "Shell text that prints the name of one item per line.",
        "It runs again after `every`, and may always print everything: known names are registered once.",
        example="./list_new.sh",
    )
    every: Annotated[Time, Field(gt=0)] = explained(
        "The time between two runs of `command`.",
        "A shorter time brings new items sooner and asks the program more often.",
        default=60.0,
        example="5m",
    )
    timeout: Annotated[Time, Field(gt=0)] = explained(
        "The longest time that `command` may run.",
        "After it the command is killed and reported as trouble; what it has printed counts.",
        default=300.0,
        example="10m",
    )
    feed: str | None = explained(
        "The URL of a database that speaks CouchDB's protocol, without a password.",
        "Each document that fits `selector` is an item, and its progress is written back to it. "
        "`${NAME}` stands for a variable of the environment.",
        example="http://stoker@127.0.0.1:5984/runs",
    )
    selector: dict[str, Any] = explained(
        "The documents of the feed that are items, as a selector of CouchDB.",
        "Other documents are ignored until they fit.",
        default={},
        example={"status": "closed"},
        absent="all documents",
    )
    params: dict[Name, str] = explained(
        "Where parameters are found: the title of a table's column, or a field of a feed's document.",
        "A parameter that is not named here is read from the column or field of its own name.",
        default={},
        example={"sample_id": "Sample_ID"},
    )
    path: str | None = explained(
        "The field of a document that holds the path of the item's file.",
        "Relative paths are relative to the folder of `stoker.toml`. The item waits until the file exists.",
        example="raw.file",
    )
    password_file: str | None = explained(
        "A file whose first line is the password to the feed.",
        "It is refused if others may read it.",
        example="/etc/stoker/couch-password",
    )
    states: dict[str, str] = explained(
        "Your own words for the states of items, as a feed's documents have them.",
        "They are written to `status` instead of Stoker's words, so that existing readers go on working. "
        "`{step}` is the step that runs, failed or comes next.",
        default={},
        example={"done": "good", "running": "{step} in progress"},
        absent="Stoker's words",
    )
    logs: bool = explained(
        "Whether documents get the end of what each step wrote to stdout and stderr.",
        "If true, the record of each step has its last 4,000 bytes.",
        default=False,
        example=True,
    )
    pipeline: Name | None = explained(
        "The pipeline whose items are gathered into groups.",
        'Each complete group is an item of this pipeline, which has `items = "groups"`.',
        example="rnaseq",
    )
    step: Name | None = explained(
        "The step at whose end a member counts.",
        "Later steps of the member are not waited for.",
        example="quant",
        absent="the end of the whole item",
    )
    group_by: str | None = explained(
        "What the members of a group have in common, as a template.",
        "Items with the same text form one group, and the text is its key. `{day}` and `{month}` are "
        "those of the registration.",
        example="{meta.accession}",
        absent="one group, `all`",
    )
    where: str | None = explained(
        "A condition in CEL for members.",
        "Items for which it is false belong to no group.",
        example="meta.layout == 'PAIRED'",
        absent="all items",
    )
    members: str | None = explained(
        "A file that names all members of the group `{key}`, one name or key per line.",
        "The group waits until every named member is over.",
        example="/a/meta/{key}_content",
    )
    count: Count | None = explained(
        "The number of members of a complete group; or `{meta.NAME}`, on which they must agree.",
        "The group waits until it has so many.",
        example=12,
    )
    allow_failed: bool = explained(
        "Whether a group may be complete although members have failed.",
        "If false, the group waits until they are repaired. If true, failed and cancelled members are "
        "listed in `{members}` with their reason.",
        default=False,
        example=True,
    )
    volume: Size | None = explained(
        "The size of an archive volume.",
        "Members fill one volume after another, in order of arrival. Each full volume is an item.",
        example="2050G",
    )
    pack: list[str] = explained(
        "The outputs of the members that go into a volume.",
        "Their sizes fill it. A change puts members into new volumes; old ones are never packed again.",
        default=[],
        example=["outputs.convert.fq"],
    )
    max_open: Annotated[int, within(bounds.OPEN_ITEMS)] | None = explained(
        "How many of the source's items may be waiting, held or running.",
        "Beyond that the source takes nothing more until some are over.",
        example=1000,
        absent="no limit",
    )


class RulesTable(Table):
    """Rules for a file. An item that breaks one is quarantined: it is registered, and has no tasks."""

    min_size: Size | None = explained(
        "The smallest size allowed.",
        "With 1, empty files are refused.",
        example=1,
        absent="any size",
    )
    max_size: Size | None = explained(
        "The largest size allowed.",
        "A larger file is refused before anything reads it.",
        example="40G",
        absent="any size",
    )
    magic: str | None = explained(
        "The bytes that the file begins with.",
        r"A file that begins with others is refused. `\x89` stands for a byte that is not a letter.",
        example=r"\x89HDF",
        min_length=1,
    )
    checksum: str | None = explained(
        "A file with the checksum, as a template; its suffix names the kind of sum.",
        "The file is read once and compared. MD5, SHA-1, SHA-2 and XXH3 are known.",
        example="{item}.md5",
    )
    command: Annotated[list[str], Field(min_length=1)] | None = explained(
        "A command that exits with status 0 if the file is good.",
        "With another status the file is refused, and the command's last words are the reason.",
        example=["h5check", "{item}"],
    )
