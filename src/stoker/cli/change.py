"""`stoker retry`, `rerun`, `cancel`, `hold`, `release`: what a person changes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

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
    tell_unknown_keys,
)
from stoker.errors import Refused
from stoker.model.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stoker.project import Project
    from stoker.store.ends.redo import Changed

_WORDS = {
    "admit": "taken out of quarantine",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person said to a verb, and the project that it is about."""

    project: "Project"
    selection: Selection
    dry_run: bool
    reason: str | None
    yes: bool = False

    def fulfil(
        self, verb: "Callable[..., Changed]", selection: Selection | None = None, **more: Any
    ) -> "Changed":
        """Do it with what was selected, or with `selection` instead."""
        chosen = selection or self.selection
        return verb(selection=chosen, dry_run=self.dry_run, reason=self.reason, **more)

    def be_sure(self, verb: str) -> None:
        """Ask before a verb takes the whole store; refuse where nobody can be asked."""
        if self.yes or self.dry_run or not self.selection.is_everything:
            return
        status = self.project.status()
        tasks = plural(sum(sum(one.tasks.values()) for one in status.pipelines.values()), "task")
        if not is_interactive():
            raise Refused(
                f"`stoker {verb}` without a selection would be about all {tasks}; name keys, a "
                "`--pipeline` or a `--state`, or say `--yes`"
            )
        be_sure(f"No selection: {verb} everything, {tasks}?")


_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def _changing(
    wanted: str, *options: Callable[[Any], Any]
) -> Callable[[Callable[..., "Iterable[Changed]"]], click.Command]:
    """A command that changes tasks, and tells what it did; `wanted` are the tasks it is about."""

    def decorate(function: Callable[..., "Iterable[Changed]"]) -> click.Command:
        @wraps(function)
        def changed(
            scope: Scope,
            *,
            selection: Selection,
            dry_run: bool,
            reason: str | None,
            as_json: bool,
            yes: bool = False,
            **more: Any,
        ) -> None:
            with scope.reading() as project:
                wish = Wish(
                    project=project, selection=selection, dry_run=dry_run, reason=reason, yes=yes
                )
                for done in function(wish, **more):
                    _tell(done, wanted, dry_run=dry_run, as_json=as_json)
                tell_unknown_keys(project, selection)

        made: Any = changed
        every = (selection_options(), *options, dry_run_option, reason_option, json_option)
        for option in reversed(every):
            made = option(made)
        return command()(made)

    return decorate


@_changing("failed", _yes_option)
def retry(wish: Wish) -> "Iterator[Changed]":
    """Make failed tasks ready again.

    They get a new allowance of retries; their history stays. Without arguments, on a terminal, the
    command lists the causes with counts and asks which; elsewhere it takes all failed tasks.
    """
    asks = wish.selection.is_everything and is_interactive() and not (wish.yes or wish.dry_run)
    for chosen in _ask_which(wish.project) if asks else [wish.selection]:
        yield wish.fulfil(wish.project.retry, chosen)


@_changing(
    "to be done again",
    _yes_option,
    click.option("--outdated", is_flag=True, help="Only done tasks whose step has changed since."),
)
def rerun(wish: Wish, outdated: bool) -> "Iterator[Changed]":
    """Do tasks again, with all that follow from them.

    The selected tasks become ready, and those that follow blocked; a running task is left alone.
    With `--outdated`, only tasks that an older version of their step did.
    """
    if not outdated:
        wish.be_sure("rerun")
    yield wish.fulfil(wish.project.rerun, outdated=outdated)


@_changing("open or failed", _yes_option)
def cancel(wish: Wish) -> "Iterator[Changed]":
    """Give tasks up; running ones are stopped.

    Its worker stops a running attempt within seconds. `stoker rerun` reverses a cancellation.
    """
    wish.be_sure("cancel")
    yield wish.fulfil(wish.project.cancel)


@_changing("ready or blocked", _yes_option)
def hold(wish: Wish) -> "Iterator[Changed]":
    """Keep tasks from starting until they are released.

    Running attempts continue to their end.
    """
    wish.be_sure("hold")
    yield wish.fulfil(wish.project.hold)


@_changing("held")
def release(wish: Wish) -> "Iterator[Changed]":
    """Let held tasks go on."""
    yield wish.fulfil(wish.project.release)


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
        if row.step is None:
            chosen.append(
                Selection(pipeline=row.pipeline, states=("quarantined",), match=row.cause)
            )
        else:
            chosen.append(
                Selection(
                    pipeline=row.pipeline, steps=(row.step,), cause=row.cause, states=("failed",)
                )
            )
    if not chosen:
        say("nothing was chosen")
    return chosen


def _tell(done: "Changed", wanted: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        from stoker.project.answers import ChangeAnswer

        json_line(ChangeAnswer.of(done, dry_run=dry_run))
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
