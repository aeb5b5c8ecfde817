"""`stoker group`: items of a pipeline that belong together, and what they still wait for."""

from typing import TYPE_CHECKING

import click

from stoker.cli.completing import PIPELINE
from stoker.cli.render import data, human_time, json_line, plural, say, table, visible
from stoker.cli.scope import (
    KEY,
    Scope,
    command,
    dry_run_option,
    json_option,
    reason_option,
)
from stoker.cli.scope import group as group_of_commands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.store.groups.rows import GroupRow, GroupStory, MemberRow

_SHOWN = 20  # members that wait or failed
_AT_ONCE = 500  # groups of a table

_pipeline_option = click.option(
    "--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline, if several have the key."
)


@group_of_commands()
def group() -> None:
    """Show groups and what they wait for, and complete one as it is."""


@command(name="list")
@click.argument("key", required=False, type=KEY, metavar="[KEY]")
@click.option("--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline.")
@click.option("--waiting", is_flag=True, help="Only those that are not complete.")
@json_option
def list_groups(
    scope: Scope, key: str | None, pipeline: str | None, waiting: bool, as_json: bool
) -> None:
    """List groups, also those that are not complete yet."""
    with scope.reading() as project:
        shown, some = 0, []
        for row in project.groups.each(key, pipeline=pipeline, is_waiting=waiting):
            shown += 1
            if as_json:
                json_line(row)
                continue
            some.append(row)
            if len(some) >= _AT_ONCE:
                _show(some)
                some = []
        if some:
            _show(some)
    if not shown and not as_json:
        say("there are no groups" + (" that wait" if waiting else ""))


def _show(rows: "Sequence[GroupRow]") -> None:
    table(
        ["pipeline", "group", "state", "members", "over", "failed", "missing", "outdated", "since"],
        [
            [
                row.pipeline,
                visible(row.key),
                row.state + (", overdue" if row.overdue else ""),
                f"{row.members:,}",
                f"{row.over:,}",
                _n(row.failed),
                _n(row.missing),
                _n(row.outdated),
                human_time(row.since) if row.since else "",
            ]
            for row in rows
        ],
        right=("members", "over", "failed", "missing", "outdated"),
    )
    for row in rows:
        if row.trouble:
            data(visible(f"  {row.trouble}"))


def _n(n: int) -> str:
    return f"{n:,}" if n else "·"


@command(name="show")
@click.argument("key", type=KEY, metavar="KEY")
@_pipeline_option
@json_option
def show_group(scope: Scope, key: str, pipeline: str | None, as_json: bool) -> None:
    """Show a group with its members, and what it waits for."""
    with scope.reading() as project:
        found = project.groups.show(key, pipeline=pipeline)
    if as_json:
        json_line(found)
    else:
        _tell(found)


def _tell(found: "GroupStory") -> None:
    row = found.group
    data(visible(f"group {row.key} of {row.pipeline}: {found.text}"))
    if row.completed_at is not None:
        item = "" if row.item is None else f" as item {visible(row.item)}"
        data(f"  complete {human_time(row.completed_at)}{item}")
    worth = [one for one in found.members if one.state not in ("done", "skipped")]
    changed = [one for one in found.members if one.is_changed and one not in worth]
    if row.completed_at is None:
        changed = []
    _tell_members(worth, "not done")
    _tell_members(changed, "changed since")
    rest = len(found.members) - len(worth) - len(changed)
    if rest:
        data(f"  {plural(rest, 'member')} done")


def _tell_members(members: "Sequence[MemberRow]", what: str) -> None:
    for one in members[:_SHOWN]:
        data(visible(f"  {one.item}: {one.reason or one.state}"))
    if len(members) > _SHOWN:
        data(f"  and {plural(len(members) - _SHOWN, 'more member')} {what}")


@command(name="close")
@click.argument("key", type=KEY, metavar="KEY")
@_pipeline_option
@dry_run_option
@reason_option
@json_option
def close_group(
    scope: Scope,
    key: str,
    pipeline: str | None,
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Complete a group as it is, whatever more was expected of it.

    Its item is registered with the members of now; `meta.missing` counts those that `members` or
    `count` still expected. A member that is over later changes the group, as a late one does.
    """
    with scope.project() as project:
        done = project.groups.close(key, pipeline=pipeline, reason=reason, dry_run=dry_run)
    if as_json:
        json_line(done)
        return
    would = "would be" if dry_run else "is"
    missing = f", {done.missing:,} missing" if done.missing else ""
    members = plural(done.members, "member")
    data(f"group {visible(done.key)} of {done.pipeline} {would} complete, with {members}{missing}")


group.add_command(list_groups)
group.add_command(show_group)
group.add_command(close_group)
