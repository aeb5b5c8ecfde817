"""Sources of groups from the file's: what stands in one table alone, and the keys of groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.model.item import key_of
from stoker.model.source import Group
from stoker.spec.locations import absolute
from stoker.spec.parts import Literal, Placeholder, parse

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.spec.locate import Path
    from stoker.spec.source_keys import SourceTable
    from stoker.spec.validate import Findings

SETTLE_S = 600.0  # where no other condition says when a group is complete
ALL = "all"  # the one group of a source without `group_by`
OF_TIME = ("day", "month")
_NUMBER_WIDTH = 4
_OUTPUT_WORDS = 3  # of `outputs.STEP.NAME`


def build_group(
    table: SourceTable, *, items: str, path: Path, folder: str, findings: Findings
) -> Group | None:
    """Return the group that a source makes; None for a source of another kind."""
    if table.pipeline is None:
        if items == "groups" and not findings.has(path):
            hint = 'write `pipeline = "NAME"`: the pipeline whose items it gathers'
            findings.add(path, "the items of this pipeline are groups", hint)
        return None
    if items != "groups":
        hint = 'set `items = "groups"` in the pipeline'
        findings.add((*path, "pipeline"), "only a pipeline of groups follows another", hint)
    if table.max_open is not None:
        findings.add(
            (*path, "max_open"), "`max_open` is not for groups, which come as they complete"
        )
    for key in ("members", "complete_when"):
        _check_place(table, key, path, findings)
    _check_volume(table, path, findings)
    _check_count(table, path, findings)
    given = table.model_fields_set
    has_other = bool(given & {"members", "count", "complete_when", "volume"})
    by = table.group_by or ""
    is_timed = any(name in OF_TIME for name in names_in(by))
    default_s = None if has_other or is_timed else SETTLE_S
    return Group(
        pipeline=table.pipeline,
        step=table.step,
        by=by,
        where=table.where,
        members=_absolute(table.members, folder),
        count=table.count,
        complete_when=_absolute(table.complete_when, folder),
        settle_s=table.settle if "settle" in given else default_s,
        overdue_s=table.overdue if "overdue" in given else None,
        allow_failed=table.allow_failed,
        volume_bytes=table.volume,
        pack=tuple(table.pack),
    )


_NOT_OF_VOLUMES = {
    "group_by": "members fill one volume after another, in the order in which they came",
    **dict.fromkeys(
        ("members", "count", "complete_when", "settle", "overdue"),
        "a volume is complete when the next member does not fit; `stoker group close` ends one early",
    ),
    "allow_failed": "a member goes into a volume once it is done; failed ones stop no volume",
}


def _check_volume(table: SourceTable, path: Path, findings: Findings) -> None:
    """Report what makes no sense together with volumes, and outputs that are not named as such."""
    if table.volume is None:
        if table.pack:
            findings.add((*path, "pack"), "`pack` is for volumes", 'write `volume = "2050G"` too')
        return
    for key, why in _NOT_OF_VOLUMES.items():
        if key in table.model_fields_set:
            findings.add((*path, key), f"`{key}` is not for volumes: {why}")
    if not table.pack:
        hint = 'write `pack = ["outputs.STEP.NAME"]`'
        findings.add((*path, "volume"), "`pack` says which outputs go into a volume", hint)
    for index, name in enumerate(table.pack):
        words = name.split(".")
        if len(words) != _OUTPUT_WORDS or words[0] != "outputs" or not all(words):
            hint = "write it as `outputs.STEP.NAME`"
            findings.add((*path, "pack", index), f"`{name}` does not name an output", hint)
    if len(set(table.pack)) < len(table.pack):
        findings.add((*path, "pack"), "an output is named twice")


def names_in(template: str) -> list[str]:
    """Return the names in a template."""
    return [part.name for part in parse(template) if isinstance(part, Placeholder)]


def _absolute(template: str | None, folder: str) -> str | None:
    return None if template is None else absolute(template, folder)


def _check_place(table: SourceTable, key: str, path: Path, findings: Findings) -> None:
    """Report a template for a path that does not lead to one file for each group."""
    template = getattr(table, key)
    if template is None:
        return
    names = names_in(template)
    wrong = [name for name in names if name != "key"]
    if not template:
        findings.add((*path, key), f"`{key}` names no file")
    elif wrong:
        findings.add((*path, key), f"`{{{wrong[0]}}}` is not known here", "`{key}` is the group")
    elif not names and table.group_by:
        message = "every group would have the same file"
        findings.add((*path, key), message, "name the group in it: `{key}`")


def _check_count(table: SourceTable, path: Path, findings: Findings) -> None:
    if not isinstance(table.count, str):
        return
    names = names_in(table.count)
    is_one = names == [table.count.strip("{}")] and names[0].partition(".")[0] in ("meta", "params")
    if not is_one:
        message = "`count` is a number, or one name of the members"
        findings.add((*path, "count"), message, 'write `count = "{meta.files}"`')


def group_key(pipeline: Pipeline, group: str, number: int | None = None) -> str:
    """Return the key of the item that stands for a group; UserError if there can be none."""
    if pipeline.key is None and number is None:
        return _as_key(pipeline, group, group)
    default = "{key}" if number is None else "{number}"
    values = {"key": group, "number": "" if number is None else f"{number:0{_NUMBER_WIDTH}}"}
    made = "".join(
        part.text if isinstance(part, Literal) else values.get(part.name, "")
        for part in parse(pipeline.key or default)
    )
    return _as_key(pipeline, group, made)


def _as_key(pipeline: Pipeline, group: str, made: str) -> str:
    try:
        return key_of(made)
    except UserError as error:
        raise UserError(f"group `{group}` of pipeline `{pipeline.name}`: {error}") from None


def key_names(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the names that the key of this pipeline of groups may hold."""
    has_volumes = any(one.group is not None and one.group.volume_bytes for one in pipeline.sources)
    return ("number",) if has_volumes else ("key",)
