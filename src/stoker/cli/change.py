"""`stoker retry`, `rerun`, `cancel`, `hold`, `release`: what a person changes."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from stoker.cli.render import counted, data, json_line, plural, say, visible
from stoker.cli.scope import (
    Scope,
    be_sure,
    command,
    dry_run_option,
    is_interactive,
    json_option,
    reason_option,
    selection_options,
)
from stoker.errors import Refused
from stoker.model.selection import Selection

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.control import Changed

_WORDS = {
    "retry": "ready again",
    "rerun": "ready again",
    "block": "blocked behind them",
    "revoke": "stopped and blocked behind them",
    "revoke_ready": "stopped and ready again",
    "cancel": "cancelled",
    "stop": "being stopped",
    "hold": "held",
    "release": "ready",
    "release_blocked": "blocked, as a step before is not done",
}
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@command()
@selection_options()
@dry_run_option
@reason_option
@yes_option
@json_option
def retry(
    scope: Scope,
    selection: Selection,
    dry_run: bool,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Make failed tasks ready again.

    They get a fresh allowance of retries; their history stays. Alone on a terminal it lists the
    causes with counts and asks which; elsewhere it takes all failed tasks.
    """
    with scope.reading() as project:
        if selection.is_everything and is_interactive() and not (yes or dry_run):
            chosen = _ask_which(project)
        else:
            chosen = [selection]
        for one in chosen:
            done = project.retry(selection=one, dry_run=dry_run, reason=reason)
            _tell(done, "failed", dry_run=dry_run, as_json=as_json)


@command()
@selection_options()
@click.option("--outdated", is_flag=True, help="Only done tasks whose step has changed since.")
@dry_run_option
@reason_option
@yes_option
@json_option
def rerun(
    scope: Scope,
    selection: Selection,
    outdated: bool,
    dry_run: bool,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Do tasks anew, and all that follows from them.

    The selected tasks become ready, and those after them blocked; one that is running is left
    alone. With `--outdated`, only those done by an older version of their step.
    """
    with scope.reading() as project:
        if not outdated:
            _be_sure(project, selection, "rerun", asked=yes or dry_run)
        done = project.rerun(selection=selection, outdated=outdated, dry_run=dry_run, reason=reason)
    _tell(done, "to be done anew", dry_run=dry_run, as_json=as_json)


@command()
@selection_options()
@dry_run_option
@reason_option
@yes_option
@json_option
def cancel(
    scope: Scope,
    selection: Selection,
    dry_run: bool,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Give tasks up; running ones are stopped.

    A running attempt is stopped by its worker within seconds. `stoker rerun` takes it back.
    """
    with scope.reading() as project:
        _be_sure(project, selection, "cancel", asked=yes or dry_run)
        done = project.cancel(selection=selection, dry_run=dry_run, reason=reason)
    _tell(done, "open or failed", dry_run=dry_run, as_json=as_json)


@command()
@selection_options()
@dry_run_option
@reason_option
@yes_option
@json_option
def hold(
    scope: Scope,
    selection: Selection,
    dry_run: bool,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Keep tasks from being started until they are released.

    What is running goes on to its end.
    """
    with scope.reading() as project:
        _be_sure(project, selection, "hold", asked=yes or dry_run)
        done = project.hold(selection=selection, dry_run=dry_run, reason=reason)
    _tell(done, "ready or blocked", dry_run=dry_run, as_json=as_json)


@command()
@selection_options()
@dry_run_option
@reason_option
@json_option
def release(
    scope: Scope, selection: Selection, dry_run: bool, reason: str | None, as_json: bool
) -> None:
    """Let held tasks go on."""
    with scope.reading() as project:
        done = project.release(selection=selection, dry_run=dry_run, reason=reason)
    _tell(done, "held", dry_run=dry_run, as_json=as_json)


def _be_sure(project: "Project", selection: Selection, verb: str, *, asked: bool) -> None:
    """Ask before a verb takes the whole store; refuse where nobody can be asked."""
    if asked or not selection.is_everything:
        return
    tasks = plural(sum(sum(p.tasks.values()) for p in project.status().pipelines.values()), "task")
    if not is_interactive():
        raise Refused(
            f"`stoker {verb}` without a selection would be about all {tasks}; name keys, a "
            "`--pipeline` or a `--state`, or say `--yes`"
        )
    be_sure(f"No selection: {verb} everything, {tasks}?")


def _ask_which(project: "Project") -> list[Selection]:
    """Show the causes of failures and return selections for those that the person names."""
    from stoker.cli.failures import show_causes

    rows = project.failures()
    if not rows:
        return [Selection()]
    show_causes(rows, numbered=True)
    answer = click.prompt("Retry which (numbers, `all`, or nothing)", default="", err=True)
    if answer.strip() == "all":
        return [Selection()]
    chosen = []
    for word in answer.replace(",", " ").split():
        if not word.isdigit() or not 1 <= int(word) <= len(rows):
            raise click.UsageError(f"`{word}` is none of the numbers 1 to {len(rows)}")
        row = rows[int(word) - 1]
        chosen.append(Selection(pipeline=row.pipeline, steps=(row.step,), cause=row.cause))
    if not chosen:
        say("nothing was chosen")
    return [replace(one, states=("failed",)) for one in chosen]


def _tell(done: "Changed", wanted: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        json_line(
            {
                "changed": done.changed,
                "left": done.left,
                "examples": done.examples,
                "dry_run": dry_run,
            }
        )
        return
    if not done.total:
        left = f" (selected: {counted(done.left)})" if done.left else ""
        say(f"nothing to change: no selected task is {wanted}{left}")
        return
    prefix = "would be " if dry_run else ""
    for name, n in done.changed.items():
        data(f"{plural(n, 'task')} {prefix}{_WORDS.get(name, name)}")
    if dry_run:
        for example in done.examples:
            data(f"  {visible(example)}")
        if done.total > len(done.examples):
            data(f"  … and {done.total - len(done.examples):,} more")
    if done.left:
        say(f"left as they are: {counted(done.left)}")
