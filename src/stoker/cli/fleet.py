"""`stoker workers`: who works."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from stoker.cli.render import (
    data,
    human_seconds,
    human_time,
    json_line,
    plural,
    say,
    table,
    visible,
)
from stoker.cli.scope import Scope, command, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stoker.store.batch_rows import BatchStatus
    from stoker.store.status_rows import WorkerRow


@command()
@click.option("--all", "everyone", is_flag=True, help="Those that have ended or died, too.")
@json_option
def workers(scope: Scope, everyone: bool, as_json: bool) -> None:
    """List workers."""
    with scope.reading() as project:
        rows = project.workers(everyone=everyone)
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not rows:
        say("no worker is alive; `stoker run`, `stoker up` or `stoker work` starts one")
        return
    table(
        ["worker", "host", "pid", "state", "running", "slots", "since", "until", "batch job"],
        [
            [
                row.name,
                row.host,
                str(row.pid),
                row.state,
                str(row.running),
                str(row.slots),
                human_time(row.started_at),
                human_time(row.ended_at) if row.ended_at else "",
                row.batch_id or "",
            ]
            for row in rows
        ],
        right=("pid", "running", "slots"),
    )
    for line in troubles(rows):
        data(line)


def batch_line(name: str, one: "BatchStatus") -> str:
    """Return how a batch system stands, on one line."""
    now = datetime.now(UTC)
    cpus = f"{one.cpus} cpus" if one.cpus != 1 else "1 cpu"
    running = f"{one.running} running"
    if one.running:
        ends = ", ".join([cpus, *_left(one, now)])
        running += f" ({ends})"
    why = f" ({visible(one.waits_for)})" if one.waits_for else ""
    waiting = f", {one.waiting} waiting{why}" if one.waiting else ""
    line = f"batch  {name}: {running}{waiting}, want {one.wanted} of {one.max_pilots}"
    if one.held:
        by = f" by {one.held_by}" if one.held_by else ""
        line += f"; held{by}" + (f": {visible(one.reason)}" if one.reason else "")
    elif one.not_before is not None:
        line += f"; the next not before {human_time(one.not_before)}: {visible(one.reason or '')}"
    elif one.ceiling is not None and one.running + one.waiting >= one.ceiling:
        line += f"; the cluster allows {plural(one.ceiling, 'job')} just now"
    if one.trouble is not None:
        since = one.answered_at or one.asked_at
        ago = human_seconds((now - since).total_seconds()) if since else "ever"
        return f"{line}; {one.system} has not answered for {ago} ({visible(one.trouble)}); pilots go on"
    if one.answered_at is not None:
        ago = human_seconds((now - one.answered_at).total_seconds())
        line += f"; {one.system} answered {ago} ago"
    return line


def _left(one: "BatchStatus", now: datetime) -> "Iterator[str]":
    if one.ends_first_at is None or one.ends_last_at is None:
        return
    first, last = (
        human_seconds(max((at - now).total_seconds(), 0))
        for at in (one.ends_first_at, one.ends_last_at)
    )
    yield f"{first} left" if first == last else f"{first} to {last} left"


def troubles(workers: "Iterable[WorkerRow]") -> "Iterator[str]":
    """Yield what hinders workers: those that claim nothing, and those that do not answer."""
    now = datetime.now(UTC)
    for row in workers:
        if row.trouble:
            yield f"`{row.name}` claims nothing: {row.trouble}"
        if row.state == "alive" and row.lease_until < now:
            since = human_seconds((now - row.lease_until).total_seconds())
            attempts = plural(row.running, "attempt")
            yield (
                f"`{row.name}` on `{row.host}` has not answered, and its lease has been over for "
                f"{since}; the next worker, or `stoker up --once`, takes its {attempts} back"
            )
