"""`stoker workers` and `stoker pool`: who works, and who holds what."""

import click

from stoker.cli.render import human_time, json_line, say, table
from stoker.cli.scope import Scope, command, json_option


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
        ["worker", "host", "pid", "state", "running", "slots", "since", "until"],
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
            ]
            for row in rows
        ],
        right=("pid", "running", "slots"),
    )


@command()
@click.argument("name", required=False, metavar="[POOL]")
@json_option
def pool(scope: Scope, name: str | None, as_json: bool) -> None:
    """Show pools and who holds their slots."""
    with scope.reading() as project:
        rows = project.slots(pool=name)
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not rows:
        say(
            "there are no pools; `[pools]` in `stoker.toml` declares them"
            if name is None
            else f"there is no pool `{name}`; `stoker pool` lists them"
        )
        return
    table(
        ["pool", "slot", "held by", "step", "worker", "since"],
        [
            [
                row.pool,
                row.slot,
                row.item or "",
                row.step or "",
                row.worker or "",
                human_time(row.since) if row.since else "",
            ]
            for row in rows
        ],
    )
