"""`stoker why`."""

import click

from stoker.cli.completing import PIPELINE, STEP
from stoker.cli.render import data, json_line, say
from stoker.cli.scope import KEY, Scope, by_part, command, json_option


@command()
@click.argument("key", type=KEY, metavar="KEY")
@click.argument("step", required=False, type=STEP, metavar="[STEP]")
@click.option(
    "--pipeline", type=PIPELINE, metavar="NAME", help="Of this pipeline, if several have the key."
)
@json_option
def why(scope: Scope, key: str, step: str | None, pipeline: str | None, as_json: bool) -> None:
    """Give the one reason why an item's task is not running.

    KEY may also be a glob or a part of the key that only one item has.
    For example a predecessor, a full pool (and who holds its slots), no worker that fits (and what is
    missing), a wait before the next try, a person who holds the task, or lack of capacity. Without
    STEP, the command picks the item's task that matters most at the moment.
    """
    with scope.reading() as project:
        found = by_part(
            project, key, pipeline, lambda name, of: project.why(name, step, pipeline=of)
        )
    if as_json:
        json_line(found)
        return
    where = f"{found.item}, step {found.step}" if found.step else found.item
    data(f"{where}: {found.text}")
    if found.do:
        say(f"what to do: {found.do}")
