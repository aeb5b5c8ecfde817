"""`stoker failures`, and the list of causes from which `stoker retry` lets a person choose."""

from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, json_line, plural, say, visible
from stoker.cli.scope import Scope, command, json_option, selection_options, tell_unknown_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.model.selection import Selection
    from stoker.store.story_rows import FailureRow


@command()
@selection_options()
@json_option
def failures(scope: Scope, selection: "Selection", as_json: bool) -> None:
    """Group failed tasks by step and cause, most frequent first.

    A cause is an entry of the step's `causes`, the line that an attempt wrote to STOKER_REASON, an
    error marker, or the last words on stderr without the parts that differ from item to item.
    Quarantined items come last, grouped by reason.
    """
    with scope.reading() as project:
        rows = project.failures(selection=selection)
        tell_unknown_keys(project, selection)
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not rows:
        say("no task has failed")
        return
    tasks = [row.n for row in rows if row.step is not None]
    items = [row.n for row in rows if row.step is None]
    if tasks:
        say(f"{plural(sum(tasks), 'failed task')} of {plural(len(tasks), 'cause')}")
    if items:
        say(f"{plural(sum(items), 'item')} in quarantine for {plural(len(items), 'reason')}")
    show_causes(rows)


def show_causes(rows: "Sequence[FailureRow]", *, numbered: bool = False) -> None:
    """Print causes with counts, what to do, and a few keys."""
    width = max(len(f"{row.n:,}") for row in rows)
    several = len({row.pipeline for row in rows}) > 1
    for at, row in enumerate(rows, start=1):
        number = f"{at:>3}  " if numbered else ""
        name = row.step or "quarantined"
        step = f"{row.pipeline}: {name}" if several else name
        n = click.style(f"{row.n:>{width},}", fg="red", bold=True)
        data(f"{number}{n}  {click.style(step, bold=True)}  {visible(row.cause)}")
        indent = " " * (len(number) + width + 2)
        if row.reason and not says_it_all(row.cause, row.reason):
            data(f"{indent}{click.style(visible(row.reason), dim=True)}")
        if row.do:
            data(f"{indent}{click.style('do:', fg='cyan')} {visible(row.do)}")
        more = f" and {row.n - len(row.examples):,} more" if row.n > len(row.examples) else ""
        data(f"{indent}{', '.join(visible(key) for key in row.examples)}{more}")
        if row.error_folders:
            data(f"{indent}{click.style('see:', fg='cyan')} {visible(row.error_folders[0])}")


def says_it_all(cause: str, reason: str) -> bool:
    """Whether a reason says no more than its cause, from which what differs is left out."""
    return "…" not in cause and cause in reason
