"""`stoker push`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.apply import tell_applied
from stoker.cli.completing import FILE, PIPELINE
from stoker.cli.render import data, json_line, plural, say
from stoker.cli.scope import Scope, command, dry_run_option, json_option, reason_option, whole
from stoker.errors import Conflict, UserError
from stoker.model.bounds import PRIORITY

if TYPE_CHECKING:
    from stoker.store.arrivals.counts import Registered


@command()
@click.argument("pipeline", type=PIPELINE, metavar="PIPELINE")
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]...")
@click.option(
    "--from", "from_file", type=FILE, metavar="FILE|-", help="Read names from a list, one a line."
)
@click.option("-0", "nul", is_flag=True, help="In the list, a NUL follows each name.")
@click.option(
    "--table", type=FILE, metavar="FILE|-", help="Read rows of a CSV or TSV file with a header."
)
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="Set a parameter.")
@click.option(
    "--priority", type=whole(PRIORITY), metavar="N", help="Higher comes first; by default 0."
)
@json_option
@dry_run_option
@reason_option
def push(  # noqa: PLR0917 - click hands options over by keyword
    scope: Scope,
    pipeline: str,
    paths: tuple[str, ...],
    from_file: str | None,
    nul: bool,
    table: str | None,
    settings: tuple[str, ...],
    priority: int | None,
    as_json: bool,
    dry_run: bool,
    reason: str | None,
) -> int:
    """Register items; pushing twice registers once.

    A PATH is a file, or a folder whose files are taken, without hidden ones. For a pipeline of
    records it is the record's key. In a table, the first column is the key or path; the others are
    parameters. Registered items are durable when the command returns. The exit status is 4 if an
    item contradicts a known one, and 2 if one could not be taken; all others are registered.
    """
    with scope.project() as project:
        done = project.push(
            pipeline,
            paths,
            from_file=from_file,
            nul=nul,
            table=table,
            params=_parse(settings),
            priority=priority,
            reason=reason,
            dry_run=dry_run,
            keeps_keys=as_json,
            on_apply=tell_applied,
        )
    if as_json:
        from stoker.project.answers import PushAnswer

        json_line(PushAnswer.of(done))
    else:
        data(in_words(done, dry_run=dry_run))
    return tell_troubles(done)


def in_words(done: "Registered", *, dry_run: bool = False, of: str | None = None) -> str:
    """Return the counts as a sentence, which names the pipeline `of`, if there is one."""
    verb = "would register" if dry_run else "registered"
    if of is not None:
        verb = f"{of}: {verb}"
    parts = [f"{verb} {plural(done.registered, 'item')}"]
    if done.known:
        parts.append(f"{done.known:,} known already{_failed(done)}")
    if done.changed:
        parts.append(f"{done.changed:,} with new content, to be done again")
    if done.quarantined:
        parts.append(f"{done.quarantined:,} in quarantine")
    if done.conflicts:
        parts.append(plural(done.conflicts, "conflict"))
    if done.refused:
        parts.append(f"{done.refused:,} refused")
    return ", ".join(parts)


def _failed(done: "Registered") -> str:
    if not done.failed:
        return ""
    does = "does it again" if done.failed == 1 else "does them again"
    return f" ({done.failed:,} of them failed: `stoker retry` {does})"


def tell_troubles(done: "Registered") -> int:
    """Say what could not be taken; return the exit code."""
    for message in done.messages:
        say(message)
    if done.untold:
        say(f"… and {done.untold:,} more")
    if done.conflicts:
        return Conflict.exit_code
    return UserError.exit_code if done.refused else 0


def _parse(settings: tuple[str, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UserError(f"`--set {setting}`: write a parameter and its value, as in `gain=1.5`")
        if name in found:
            raise UserError(f"`--set {name}` is there twice")
        found[name] = value
    return found
