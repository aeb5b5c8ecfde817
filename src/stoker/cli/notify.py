"""`stoker notify`."""

import click

from stoker.cli.render import data, human_time, json_line, say, table, visible
from stoker.cli.scope import Scope, command, dry_run_option, group, json_option


@group()
def notify() -> None:
    """Show who gets messages, and try whether they arrive."""


@command(name="list")
@json_option
def list_(scope: Scope, as_json: bool) -> None:
    """List the entries of `[notify]`, and the state of each."""
    with scope.reading() as project:
        found = project.notify.list()
        entries = {name: project.notify.entry(name) for name in found}
    if as_json:
        from stoker.project.answers import NotifyAnswer

        for name, one in found.items():
            json_line(NotifyAnswer.of(entries[name], one))
        return
    if not found:
        say("`stoker.toml` has no `[notify.NAME]`")
        return
    rows = [
        [
            name,
            visible(", ".join(entries[name].shown)),
            " ".join(sorted(entries[name].on)),
            human_time(one.sent_at) if one and one.sent_at else "never",
            str(one.pending) if one and one.pending else "·",
        ]
        for name, one in found.items()
    ]
    table(["notify", "to", "on", "sent", "pending"], rows, right=("pending",))
    for name, one in found.items():
        if one is not None and one.trouble:
            data(visible(f"  {name}: {one.trouble}"))


@command(name="try")
@click.argument("name", metavar="NAME")
@click.option("--to", metavar="ADDRESS", help="The recipient in place of `{by}` or the parameter.")
@json_option
@dry_run_option
def try_(scope: Scope, name: str, to: str | None, as_json: bool, dry_run: bool) -> None:
    """Send a test message; the exit status is 5 if it was not delivered."""
    with scope.reading() as project:
        if dry_run:
            project.notify.entry(name)
        else:
            project.notify.try_(name, to=to)
    if as_json:
        from stoker.project.answers import TriedAnswer

        json_line(TriedAnswer(name=name, dry_run=dry_run))
    else:
        data(f"would send a message to `{name}`" if dry_run else f"`{name}` has taken the message")


notify.add_command(list_)
notify.add_command(try_)
