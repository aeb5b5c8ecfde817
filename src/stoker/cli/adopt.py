"""`stoker adopt`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from stoker.cli.apply import tell_applied
from stoker.cli.completing import PIPELINE
from stoker.cli.render import data, json_line, plural, say, visible
from stoker.cli.scope import (
    KEY,
    Scope,
    command,
    dry_run_option,
    json_option,
    list_options,
    reason_option,
    selection_options,
)
from stoker.errors import UserError

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.project.verbs.adoption import Adopted


@command()
@click.argument("name", type=PIPELINE, metavar="PIPELINE")
@click.argument("keys", nargs=-1, type=KEY, metavar="[KEY|GLOB]...")
@selection_options(with_keys=False, with_pipeline=False)
@list_options[0]
@list_options[1]
@click.option(
    "--without-outputs",
    is_flag=True,
    help="Also tasks without outputs: they count as done, and leave nothing.",
)
@dry_run_option
@reason_option
@json_option
def adopt(  # noqa: PLR0917 - click hands options over by keyword
    scope: Scope,
    name: str,
    keys: tuple[str, ...],
    selection: "Selection",
    from_file: str | None,
    nul: bool,
    without_outputs: bool,
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

    With `--without-outputs` you say that the selected tasks were done elsewhere, and nothing is
    computed again. A later step that reads an output of such a task fails until the task is rerun.
    """
    with scope.project() as project:
        chosen = replace(selection, keys=keys)
        if without_outputs and chosen.is_everything and from_file is None:
            raise UserError(
                "`--without-outputs` needs a selection, as it marks tasks done that left nothing: name "
                "keys (`'*'` for all), a `--step`, a `--where`, or a list with `--from`"
            )
        done = project.adopt(
            name,
            selection=chosen,
            from_file=from_file,
            nul=nul,
            without_outputs=without_outputs,
            reason=reason,
            dry_run=dry_run,
            on_apply=tell_applied,
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
    if done.bare:
        say(f"{done.bare:,} of them without outputs")
    if done.missing:
        say(f"{plural(done.missing, 'task')} without any output there")
    if done.refused:
        say(f"{plural(done.refused, 'task')} whose outputs are not as they must be:")
