"""`stoker plan`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stoker.cli.completing import FILE, PIPELINE
from stoker.cli.render import data, human_seconds, json_line, plural, say, table
from stoker.cli.scope import Scope, command, json_option, whole
from stoker.errors import UserError
from stoker.model.bounds import CPUS

if TYPE_CHECKING:
    from stoker.project.plans.planning import Plan

_SHOWN = 10


@command()
@click.argument("pipeline", required=False, type=PIPELINE, metavar="[PIPELINE")
@click.argument("paths", nargs=-1, type=FILE, metavar="[PATH]...]")
@click.option("--slots", type=whole(CPUS), metavar="N", help="On one host of N slots.")
@click.option(
    "--fleet",
    metavar="HOSTSxSLOTS|FILE",
    help="On these hosts: `240x16`, or a file with a line `NAME SLOTS [SPEED] [MEMORY] [TAG…]` each.",
)
@click.option(
    "--out", metavar="FILE.svg", help="Draw it: a row for each slot, a bar for each task."
)
@json_option
def plan(
    scope: Scope,
    pipeline: str | None,
    paths: tuple[str, ...],
    slots: int | None,
    fleet: str | None,
    out: str | None,
    as_json: bool,
) -> None:
    """Show what would happen, in which order and how long; change nothing.

    Of the paths, whether they are pushed yet or not; without paths, of what the pipelines' sources
    hold now. What is left in the store comes with it. How long tasks take is learned from attempts;
    without any, only the order means something. By default on the workers that are alive, or on
    this host if there are none.
    """
    if slots is not None and fleet is not None:
        raise UserError("`--slots` and `--fleet` both say what to fill; give one of them")
    with scope.project() as project:
        found = project.plan(pipeline, paths, fleet=fleet if slots is None else str(slots))
    if out is not None:
        _write(out, found)
    tell_plan(found, as_json=as_json)


def tell_plan(found: "Plan", *, as_json: bool) -> None:
    """Print what would happen, and say what could not be taken."""
    for message in found.refused[:_SHOWN]:
        say(message)
    if as_json:
        json_line(found)
    else:
        _show(found)


def _write(out: str, found: "Plan") -> None:
    try:
        Path(out).write_text(found.to_svg(), encoding="utf-8")
    except OSError as error:
        raise UserError(f"`{out}` cannot be written: {error.strerror}") from None


def _show(found: "Plan") -> None:
    if not found.tasks:
        say(
            "nothing to do: no task is waiting to run; name paths after the pipeline to plan for them"
        )
        say("`stoker status` counts tasks that have failed or are held")
        return
    amount = f"{plural(found.items, 'item')}, {plural(found.tasks, 'task')}"
    data(f"{amount} on {plural(found.slots, 'slot')}")
    data(_how_long(found))
    if found.without_history:
        names = ", ".join(f"`{name}`" for name in found.without_history)
        say(f"no attempt of {names} has ended yet; their lengths are not known")
    if found.impossible:
        tasks = plural(found.impossible, "task needs", "tasks need")
        say(
            f"{tasks} more than any host or pool here has, or a tag that none has, or come after such a task"
        )
    data()
    guessed = set(found.without_history)
    rows = [
        [
            "?" if guessed and one.start_s > 0 else human_seconds(one.start_s),
            "?" if f"{one.pipeline}.{one.step}" in guessed
            else human_seconds(one.end_s - one.start_s),
            one.host, one.pipeline, one.step, one.item,
        ]
        for one in found.order[:_SHOWN]
    ]  # fmt: skip
    table(["after", "takes", "host", "pipeline", "step", "item"], rows, right=("after", "takes"))
    more = len(found.order) - _SHOWN
    if more > 0:
        data(f"and {plural(more, 'more task')}; `--json` lists all, `--out plan.svg` draws them")


def _how_long(found: "Plan") -> str:
    if found.makespan_s is None:
        return "how long is not known before an attempt has ended; the order is by size"
    text = f"about {human_seconds(found.makespan_s)}"
    if found.interval_s is not None:
        text += " ({} to {})".format(*map(human_seconds, found.interval_s))
    text += f"; no order could be quicker than {human_seconds(found.lower_bound_s)}"
    if found.equal_split_s > 1.05 * found.makespan_s:
        text += f"; split by equal count {human_seconds(found.equal_split_s)}"
    return text
