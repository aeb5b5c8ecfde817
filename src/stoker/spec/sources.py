"""Sources of the model from the file's: paths resolved, and keys that make no sense together reported."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from stoker.model.globs import matches
from stoker.model.pipeline import ItemKind
from stoker.model.source import FIELD, Command, Rules, Source
from stoker.spec.feeds import build_feed
from stoker.spec.group_sources import build_group
from stoker.spec.locations import absolute, holds
from stoker.spec.table_form import build_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stoker.model.pipeline import Pipeline
    from stoker.spec.locate import Path
    from stoker.spec.pipeline_keys import ParamTable
    from stoker.spec.source_keys import RulesTable, SourceTable
    from stoker.spec.validate import Findings

_PLACES = {
    "folder": "folder",
    "table": "table",
    "listing": "list",
    "command": "command",
    "feed": "feed",
    "pipeline": "pipeline",
}
_FOLDER, _FILES, _FEED = ("folder",), ("folder", "table", "listing"), ("feed",)
_TABLE, _GROUP = ("table",), ("pipeline",)
_OF = {  # keys that only make sense with some places
    **dict.fromkeys(("glob", "exclude", "temporary", "manifest", "fields", "parts"), _FOLDER),
    **dict.fromkeys(("complete_when", "overdue"), (*_FOLDER, *_GROUP)),
    **dict.fromkeys(("every", "timeout"), ("command",)),
    **dict.fromkeys(("selector", "path", "password_file", "states", "logs"), _FEED),
    **dict.fromkeys(("columns", "separator"), _TABLE),
    "params": ("feed", "table"),
    "settle": (*_FILES, *_GROUP),
    **dict.fromkeys(("step", "group_by", "where", "members", "count"), _GROUP),
    **dict.fromkeys(("allow_failed", "volume", "pack"), _GROUP),
}
_EDITED_SETTLE_S = 1.0  # a person waits for the answer
_IN_COMPANIONS = ("item", "name", "stem", "dir")


def build_source(
    name: str,
    table: SourceTable,
    *,
    items: str,
    params: Mapping[str, ParamTable],
    path: Path,
    folder: str,
    findings: Findings,
) -> Source:
    """Return the source, and tell `findings` what is wrong with it.

    `items` is what it must find, `params` are the pipeline's parameters.
    """
    given = [key for key in _PLACES if getattr(table, key) is not None]
    if len(given) != 1 and not findings.has(path):
        hint = f"write one of {', '.join(f'`{key}`' for key in _PLACES.values())}"
        findings.add(path, f"source `{name}` must have one place to look at", hint)
    for key, places in _OF.items():
        if key in table.model_fields_set and not set(given) & set(places):
            fitting = " or a ".join(f"`{_PLACES[place]}`" for place in places)
            message = f"`{key}` is for a source with a {fitting}"
            findings.add((*path, key), message)
    group = build_group(table, items=items, path=path, folder=folder, findings=findings)
    if given == ["folder"] and items == "records":
        hint = 'set `items = "files"`, or take records from a table'
        findings.add((*path, "folder"), "the items of this pipeline are records, not files", hint)
    elif given == ["folder"]:
        _check_names(table, items, path, findings)
    elif given in (["listing"], ["command"]):
        _check_required(params, _PLACES[given[0]], path, findings)
    is_edited = given in (["table"], ["listing"]) and "settle" not in table.model_fields_set
    return Source(
        name=name,
        folder=absolute(table.folder, folder) if table.folder is not None else None,
        table=absolute(table.table, folder) if table.table is not None else None,
        form=build_form(table, params=params, path=path, findings=findings),
        listing=absolute(table.listing, folder) if table.listing is not None else None,
        command=_command(table, path, findings),
        feed=build_feed(
            table, items=items, params=params, path=path, folder=folder, findings=findings
        ),
        group=group,
        settle_s=_EDITED_SETTLE_S if is_edited else table.settle,
        glob=table.glob,
        exclude=tuple(table.exclude),
        temporary=tuple(table.temporary),
        complete_when=table.complete_when if group is None else None,
        manifest=table.manifest,
        fields=table.fields,
        parts=table.parts,
        overdue_s=table.overdue,
        max_open=table.max_open,
    )


def _check_required(
    params: Mapping[str, ParamTable], place: str, path: Path, findings: Findings
) -> None:
    """Tell which parameter no item of the source could ever have."""
    needed = [name for name, param in params.items() if param.required]
    if needed:
        message = f"a {place} gives names only, and parameter `{needed[0]}` is required"
        findings.add((*path, place), message, "give it a default, or take the items from a table")


def check_sources(pipeline: Pipeline, project_folder: str, findings: Findings) -> None:
    """Report sources whose folder holds the project, so that its results would become items.

    Allowed where `exclude` leaves the project's folder out. Links are followed, as a look does.
    """
    project = os.path.realpath(project_folder)
    for source in pipeline.sources:
        if source.folder is None:
            continue
        path: Path = ("pipelines", pipeline.name, "sources", source.name, "folder")
        folder = os.path.realpath(source.folder)
        if folder == "/":
            message = "the whole file system is not a source"
            findings.add(path, message, "name the folder that you mean")
        elif holds(folder, project):
            inside = os.path.relpath(project, folder)
            is_folders = pipeline.items is ItemKind.FOLDERS
            probe = inside.split("/")[0] if is_folders else f"{inside}/x"
            if not any(matches(probe, pattern) for pattern in source.exclude):
                message = f"`{source.folder}` holds this project, with its store and its results"
                pattern = probe if is_folders else f"{inside}/**"
                hint = f'name the folder that you mean, or set `exclude = ["{pattern}"]`'
                findings.add(path, message, hint)


def _command(table: SourceTable, path: Path, findings: Findings) -> Command | None:
    if table.command is None:
        return None
    if not table.command.strip():
        findings.add((*path, "command"), "`command` names no command")
    return Command(text=table.command, every_s=table.every, timeout_s=table.timeout)


def _check_names(table: SourceTable, items: str, path: Path, findings: Findings) -> None:
    """Report what is wrong with the keys that describe names of files."""
    for index, suffix in enumerate(table.temporary):
        if not suffix or "/" in suffix:
            findings.add((*path, "temporary", index), "a suffix is the end of a name: `.part`")
    if (table.manifest or "").startswith("/"):
        findings.add((*path, "manifest"), "`manifest` is a pattern for names, not a path")
    if table.complete_when is not None:
        _check_companion(table.complete_when, (*path, "complete_when"), findings)
    if table.fields is not None:
        _check_fields(table.fields, items, (*path, "fields"), findings)
    if table.parts:
        _check_parts(table.parts, table.fields or "", items, path, findings)


def _check_fields(fields: str, items: str, path: Path, findings: Findings) -> None:
    names = FIELD.findall(fields)
    if fields.startswith("/"):
        message = "`fields` is a pattern for paths in the source's folder, not an absolute path"
        findings.add(path, message)
    elif not names:
        findings.add(path, "`fields` names no field", "write for example `{run}_{part}.fastq`")
    elif len(set(names)) < len(names):
        findings.add(path, "a field stands there twice")
    elif items == "folders" and "/" in fields:
        message = "each folder directly in the source's is an item, so `fields` has no slash"
        findings.add(path, message, "write a pattern for the folders' names")


def _check_parts(
    parts: Mapping[str, str], fields: str, items: str, of_source: Path, findings: Findings
) -> None:
    names, path = FIELD.findall(fields), (*of_source, "parts")
    if items == "folders":
        findings.add(path, "an item of this pipeline is a folder; `parts` are files")
    elif "part" not in names or len(names) < 2:
        message = "with `parts`, `fields` has `{part}` and what the parts have in common"
        findings.add(path, message, 'write `fields = "{run}_{part}.fastq"`')
    elif "{part}" in fields.rpartition("/")[0]:
        message = "the parts of an item are in one folder, so `{part}` is in the file's name"
        findings.add((*of_source, "fields"), message, "write `{part}` after the last slash")
    elif len(set(parts.values())) < len(parts):
        findings.add(path, "two parts are written alike")
    elif clash := sorted(set(parts) & set(names)):
        findings.add(path, f"`{clash[0]}` is a field already; both stand in `meta`")


def _check_companion(template: str, path: Path, findings: Findings) -> None:
    names = re.findall(r"\{([^{}]*)\}", template)
    wrong = [name for name in names if name not in _IN_COMPANIONS]
    allowed = ", ".join(f"`{{{name}}}`" for name in _IN_COMPANIONS)
    if wrong:
        findings.add(path, f"`{{{wrong[0]}}}` is not known here", f"what may stand here: {allowed}")
    elif not any(name in ("item", "name", "stem") for name in names):
        message = "every item would have the same companion"
        findings.add(path, message, f"name the item in it: {allowed}")


def build_rules(table: RulesTable, *, items: str, path: Path, findings: Findings) -> Rules:
    """Return the rules; `findings` hears what is wrong with them."""
    smallest, largest = table.min_size or 0, table.max_size
    if largest is not None and largest < smallest:
        findings.add((*path, "max_size"), "`max_size` is below `min_size`")
    if items in ("records", "groups") and table.model_fields_set:
        message = f"the items of this pipeline are {items}, which have no file to validate"
        findings.add(path, message)
    elif items == "folders":
        for key in ("magic", "checksum"):
            if getattr(table, key) is not None:
                findings.add((*path, key), f"`{key}` is for items that are files")
    return Rules(
        min_bytes=smallest,
        max_bytes=largest,
        magic=_bytes_of(table.magic or "", (*path, "magic"), findings).hex(),
        checksum=table.checksum,
        command=tuple(table.command or ()),
    )


def _bytes_of(text: str, path: Path, findings: Findings) -> bytes:
    r"""Return the bytes that a text with escapes such as `\x89` stands for."""
    try:
        return re.sub(
            rb"\\x([0-9a-fA-F]{2})|\\(.)",
            lambda found: bytes([int(found[1], 16)]) if found[1] else _escaped(found[2]),
            text.encode(),
        )
    except ValueError as error:
        findings.add(path, str(error), r"write bytes as `\x89` and a backslash as `\\`")
        return b""


def _escaped(character: bytes) -> bytes:
    if character != b"\\":
        raise ValueError(f"`\\{character.decode()}` is not a byte")
    return b"\\"
