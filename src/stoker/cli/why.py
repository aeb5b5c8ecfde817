"""`stoker why`."""

import click

from stoker.cli.render import data, json_line, say
from stoker.cli.scope import KEY, Scope, command, json_option


@command()
@click.argument("key", type=KEY, metavar="KEY")
@click.argument("step", required=False, metavar="[STEP]")
@click.option("--pipeline", metavar="NAME", help="Of this pipeline, if several have the key.")
@json_option
def why(scope: Scope, key: str, step: str | None, pipeline: str | None, as_json: bool) -> None:
    """Say the one reason why an item's task is not running.

    A predecessor, a pool that is full (held by whom), no worker that fits (what is missing), a wait
    before the next try, a person who holds it, or no room yet. Without STEP: of the item's task that
    matters most just now.
    """
    with scope.reading() as project:
        found = project.why(key, step, pipeline=pipeline)
    if as_json:
        json_line(found)
        return
    where = f"{found.item}, step {found.step}" if found.step else found.item
    data(f"{where}: {found.text}")
    if found.do:
        say(f"what to do: {found.do}")
