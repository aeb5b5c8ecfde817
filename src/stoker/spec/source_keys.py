"""The keys that say where items come from, and what must be true of one before it is taken."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from stoker.model import bounds
from stoker.model.source import TEMPORARY
from stoker.spec.shapes import Name, Size, Table, Time, within


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
    "description": "the parts that make an item: what `{part}` may be in their names",
}
Parts = Annotated[dict[Name, str], BeforeValidator(_parts), WithJsonSchema(_PARTS_SCHEMA)]


class SourceTable(Table):
    """Where items come from: a folder, a table, a list, a command that prints names, or a feed."""

    folder: str | None = Field(default=None, description="the folder to look in")
    glob: str = Field(default="**/*", description="which files in it, relative to the folder")
    exclude: list[str] = Field(default=[], description="globs of files to leave out")
    settle: Time = 10.0
    temporary: list[str] = Field(
        default=list(TEMPORARY), description="ends of names that files have while they are written"
    )
    complete_when: str | None = Field(
        default=None,
        description="a file that is there once the item is complete, as `{item}.done`",
    )
    manifest: str | None = Field(
        default=None,
        description="names of files, by glob, that list which others in their folder are complete",
    )
    fields: str | None = Field(
        default=None,
        description="how names are made, as `{run}_{part}.fastq`, or with a slash the paths in the "
        "folder; chooses the files, and is kept in `meta`",
    )
    parts: Parts = Field(default={})
    overdue: Annotated[Time, Field(gt=0)] = 86_400.0
    table: str | None = Field(
        default=None,
        description="a CSV or TSV file with a header and a row for each item, or a glob for several",
    )
    listing: str | None = Field(
        default=None, alias="list", description="a file with the name of an item in each line"
    )
    command: str | None = Field(
        default=None, description="shell text that prints the name of an item in each line"
    )
    every: Annotated[Time, Field(gt=0)] = 60.0
    timeout: Annotated[Time, Field(gt=0)] = 300.0
    feed: str | None = Field(
        default=None,
        description="the URL of a database of CouchDB's protocol, without a password; `${NAME}` in it "
        "stands for a variable of the environment",
    )
    selector: dict[str, Any] = Field(
        default={}, description='which documents are items, as in `{ status = "closed" }`'
    )
    params: dict[Name, str] = Field(
        default={}, description="the field of a document that holds a parameter, as `run.number`"
    )
    path: str | None = Field(
        default=None, description="the field of a document that holds the path of the item's file"
    )
    password_file: str | None = Field(
        default=None,
        description="a file whose first line is the password to the feed; others may not read it",
    )
    max_open: Annotated[int, within(bounds.OPEN_ITEMS)] | None = Field(
        default=None, description="how many of its items may be open; it waits for room"
    )


class RulesTable(Table):
    """What must be true of an item's file; one that breaks a rule is quarantined."""

    min_size: Size | None = Field(default=None, description="the smallest allowed")
    max_size: Size | None = Field(default=None, description="the largest allowed")
    magic: str | None = Field(
        default=None,
        min_length=1,
        description=r"what the file begins with; `\x89HDF` for bytes that are no letters",
    )
    checksum: str | None = Field(
        default=None, description="a file with the checksum, as `{item}.md5`; its suffix says which"
    )
    command: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description='exits with status 0 if the item is good: `["h5check", "{item}"]`'
    )
