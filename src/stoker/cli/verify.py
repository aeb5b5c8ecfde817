"""`stoker verify`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.ending import EXIT_FAILED
from stoker.cli.render import Columns, in_pages, json_line, plural, say
from stoker.cli.scope import (
    Scope,
    command,
    json_option,
    list_options,
    selection_options,
    tell_unknown_keys,
)

if TYPE_CHECKING:
    from stoker.model.selection import Selection


@command()
@selection_options()
@list_options[0]
@list_options[1]
@click.option("--checksum", is_flag=True, help="Read the files too, and compare their checksums.")
@click.option("--dry-run", is_flag=True, help="Do not remember what is missing.")
@json_option
def verify(
    scope: Scope,
    selection: "Selection",
    from_file: str | None,
    nul: bool,
    checksum: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Compare outputs with their records: whether they exist and have their size.

    The command looks at the outputs of done tasks, and prints those that are missing or differ; the
    exit status is 1 if there are any. The store remembers what is missing: `stoker status` shows how
    many, and `stoker rerun --missing` makes them again. Temporary outputs that were deleted on
    purpose are not missing. A link that leads to the file counts as the file.
    """
    with scope.reading() as project:
        found = project.verify(
            selection=selection, from_file=from_file, nul=nul, checksum=checksum, dry_run=dry_run
        )
        n = 0
        columns = Columns(["pipeline", "item", "step", "output", "problem"])
        for some in in_pages(found):
            n += len(some)
            if as_json:
                for one in some:
                    json_line(one)
                continue
            columns.page(
                [one.pipeline, one.item, one.step, one.name, f"`{one.path}` {one.text}"]
                for one in some
            )
        tell_unknown_keys(project, selection)
    say(_in_words(found.outputs, found.missing, n))
    if found.missing and not dry_run:
        say("`stoker rerun --missing` makes what is missing again")
    return EXIT_FAILED if n else 0


def _in_words(outputs: int, missing: int, problems: int) -> str:
    if not outputs:
        return "nothing to compare: no selected task is done and has outputs here"
    if not problems:
        return f"{plural(outputs, 'output')}, all as recorded"
    others = problems - missing
    parts = [f"{missing:,} missing"] if missing else []
    parts += [f"{others:,} not as recorded"] if others else []
    return f"{plural(outputs, 'output')}: {', '.join(parts)}"
