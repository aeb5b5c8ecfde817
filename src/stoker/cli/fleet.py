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
)
from stoker.cli.scope import Scope, command, json_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stoker.store.rows import WorkerRow


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
