"""`stoker apply`, and how every command reports what it takes over from the file."""

import socket
from typing import TYPE_CHECKING

import click

from stoker.cli.completing import PIPELINE
from stoker.cli.render import plural, say
from stoker.cli.scope import Scope, be_sure, command, dry_run_option, is_interactive, reason_option

if TYPE_CHECKING:
    from pathlib import Path

    from stoker.project.plans.foreseeing import Foreseen
    from stoker.project.verbs.applying import Applied
    from stoker.store.orders.versions import VersionChange


@command()
@click.argument("pipelines", nargs=-1, type=PIPELINE, metavar="[PIPELINE]...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@reason_option
def apply(
    scope: Scope, pipelines: tuple[str, ...], yes: bool, dry_run: bool, reason: str | None
) -> None:
    """Bring the pipelines of this file into the store.

    `run`, `push` and `up` do this on their own where this host and path set a pipeline last. Done
    tasks stay done; new steps get tasks for every item, and open tasks of removed steps are
    cancelled. Both counts, and outputs that could not be published, are shown first; on a terminal
    the command then asks.
    """
    with scope.project() as project:
        change = project.apply(*pipelines, dry_run=True)
        if change.is_nothing:
            say("nothing changes: the store has these pipelines already")
            return
        tell_applied(change)
        foreseen = project.foresee(change)
        _tell_foreseen(foreseen)
        others = [one for one in change.versions if one.is_new and _is_of_others(one, project.file)]
        for one in others:
            say(f"`{one.pipeline}` was set before from `{one.set_before}`")
        if dry_run:
            return
        is_big = bool(others or foreseen) or any(one.tasks_cancelled for one in change.versions)
        if is_big and not yes and is_interactive():
            be_sure("Do this?")
        project.apply(*pipelines, reason=reason)


def _is_of_others(one: "VersionChange", file: "Path") -> bool:
    return one.set_before is not None and one.set_before != f"{socket.gethostname()}:{file}"


def _tell_foreseen(foreseen: "list[Foreseen]") -> None:
    """Say which outputs could not be published."""
    for one in foreseen:
        say(
            f"warning: step `{one.step}` of `{one.pipeline}` could not publish "
            f"{plural(one.conflicts, 'output')} of the first {plural(one.items, 'item')}:"
        )
        for example in one.examples:
            say(f"  {example}")


def tell_applied(change: "Applied") -> None:
    """Say what taking over a file changes."""
    if change.site is not None:
        say(f"site `{change.site.before}` is called `{change.site.after}` now")
    for one in change.versions:
        if one.is_new and (one.number > 1 or one.tasks_created):
            _tell_version(one)
    for pool in change.pools:
        if not pool.before:
            continue
        held = f"; {pool.retired_but_held} of them end with their attempts"
        gone = held if pool.retired_but_held else ""
        if pool.before != pool.after:
            say(f"pool `{pool.pool}`: {pool.before} → {plural(pool.after, 'slot')}{gone}")
        else:
            say(f"pool `{pool.pool}`: other slots, hours or rate{gone}")
    if change.shares:
        say("`[shares]`: the slots are divided as the file says now")
    for table in change.terms:
        say(f"`[{table}]`: holds for all workers from their next claim on")


def _tell_version(one: "VersionChange") -> None:
    say(f"pipeline `{one.pipeline}`: version {one.number}")
    if one.moved_from is not None:
        say(f"  the project was moved here from `{one.moved_from}`; the paths in it follow")
    if one.renamed_from is not None:
        say(f"  it was `{one.renamed_from}`; its items, tasks, history and outputs carry over")
    if one.is_renamed_too_late:
        say(
            f"  it has a record of its own, so that nothing carries over from the pipeline in its "
            f"`renamed_from`; `stoker adopt {one.pipeline}` takes over outputs that exist"
        )
    for old, new in one.steps_renamed.items():
        say(f"  step `{new}` was `{old}`; its tasks, history and outputs carry over")
    for step in one.renamed_too_late:
        say(
            f"  step `{step}` has tasks of its own, so that nothing carries over to it; "
            f"`stoker adopt {one.pipeline} --step {step}` takes over outputs that exist"
        )
    for step, n in one.tasks_created.items():
        say(f"  new step `{step}`: {plural(n, 'task')} to do")
    for step, n in one.tasks_cancelled.items():
        say(f"  step `{step}` is gone: {plural(n, 'open task')} cancelled")
    changed = [step for step in one.bodies_changed if step not in one.tasks_created]
    if changed:
        names = ", ".join(f"`{step}`" for step in changed)
        say(f"  changed: {names}; done tasks stay done (`stoker rerun --outdated` redoes them)")
