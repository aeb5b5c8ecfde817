"""`stoker adopt`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from stoker.cli.apply import tell_applied
from stoker.cli.render import data, json_line, plural, say, visible
from stoker.cli.scope import (
    KEY,
    Scope,
    command,
    dry_run_option,
    json_option,
    reason_option,
    selection_options,
)

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.project.adoption import Adopted


@command()
@click.argument("name", metavar="PIPELINE")
@click.argument("keys", nargs=-1, type=KEY, metavar="[KEY|GLOB]...")
@selection_options(with_keys=False, with_pipeline=False)
@dry_run_option
@reason_option
@json_option
def adopt(
    scope: Scope,
    name: str,
    keys: tuple[str, ...],
    selection: "Selection",
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Mark tasks done whose outputs exist already.

    For results of an earlier system: push the items, then adopt. A task is adopted if all its
    outputs exist at their published paths, are of the right kind, not empty, and unchanged for ten
    seconds; they are recorded with size and checksum. Tasks with only some outputs are reported and
    left. In a folder that items share, a file whose name the tool chose belongs to the item whose
    name it contains.
    """
    with scope.project() as project:
        chosen = replace(selection, keys=keys)
        done = project.adopt(
            name, selection=chosen, reason=reason, dry_run=dry_run, on_apply=tell_applied
        )
    if as_json:
        from stoker.project.answers import AdoptAnswer

        json_line(AdoptAnswer.of(done, dry_run=dry_run))
    else:
        _tell(done, dry_run=dry_run)
    for message in done.messages:
        say(message)


def _tell(done: "Adopted", *, dry_run: bool) -> None:
    if not done.total:
        say("nothing to adopt")
    for step, n in done.adopted.items():
        data(f"{step}: {plural(n, 'task')} {'would be ' if dry_run else ''}adopted")
    if dry_run:
        for example in done.examples:
            data(f"  {visible(example)}")
    for step, outputs in done.without.items():
        for output, n in outputs.items():
            say(
                f"{step}: {n:,} of them without the optional output `{output}`: items share its "
                "folder, and no file there has their name"
            )
    if done.missing:
        say(f"{plural(done.missing, 'task')} without any output there")
    if done.refused:
        say(f"{plural(done.refused, 'task')} whose outputs are not as they must be:")
