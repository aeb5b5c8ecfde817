"""`stoker workers`: who works."""

import click

from stoker.cli.render import data, human_time, json_line, say, table
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
    for row in rows:
        if row.trouble:
            data(f"`{row.name}` claims nothing: {row.trouble}")
