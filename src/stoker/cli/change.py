"""`stoker retry`, `rerun`, `cancel`, `hold`, `release`, `priority`: what a person changes."""

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
    list_options,
    reason_option,
    selection_options,
    tell_unknown_keys,
    whole,
)
from stoker.errors import Refused
from stoker.model.bounds import PRIORITY
from stoker.model.changes import CHANGES
from stoker.model.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stoker.project import Project
    from stoker.store.ends.redo import Changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person said to a verb, and the project that it is about."""

    project: "Project"
    selection: Selection
    dry_run: bool
    reason: str | None
    from_file: str | None = None
    nul: bool = False
    yes: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows what it is about."""
        return self.selection.is_everything and self.from_file is None

    def fulfil(
        self, verb: "Callable[..., Changed]", selection: Selection | None = None, **more: Any
    ) -> "Changed":
        """Do it with what was selected, or with `selection` instead."""
        chosen = selection or self.selection
        return verb(
            selection=chosen,
            dry_run=self.dry_run,
            reason=self.reason,
            from_file=self.from_file,
            nul=self.nul,
            **more,
        )

    def be_sure(self, verb: str) -> None:
        """Ask before a verb takes the whole store; refuse where nobody can be asked."""
        if self.yes or self.dry_run or not self.is_everything:
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
    """A command that changes tasks, and reports what it did; `wanted` are the tasks it is about."""

    def decorate(function: Callable[..., "Iterable[Changed]"]) -> click.Command:
        @wraps(function)
        def changed(
            scope: Scope,
            *,
            selection: Selection,
            dry_run: bool,
            reason: str | None,
            as_json: bool,
            from_file: str | None,
            nul: bool,
            yes: bool = False,
            **more: Any,
        ) -> None:
            with scope.reading() as project:
                wish = Wish(
                    project=project,
                    selection=selection,
                    dry_run=dry_run,
                    reason=reason,
                    from_file=from_file,
                    nul=nul,
                    yes=yes,
                )
                for done in function(wish, **more):
                    _tell(done, wanted, dry_run=dry_run, as_json=as_json)
                tell_unknown_keys(project, selection)

        made: Any = changed
        every = (
            selection_options(),
            *list_options,
            *options,
            dry_run_option,
            reason_option,
            json_option,
        )
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
    asks = wish.is_everything and is_interactive() and not (wish.yes or wish.dry_run)
    for chosen in _ask_which(wish.project) if asks else [wish.selection]:
        yield wish.fulfil(wish.project.retry, chosen)


@_changing(
    "to be done again",
    _yes_option,
    click.option("--outdated", is_flag=True, help="Only done tasks whose step has changed since."),
    click.option(
        "--missing", is_flag=True, help="Only tasks with an output that `verify` found missing."
    ),
)
def rerun(wish: Wish, outdated: bool, missing: bool) -> "Iterator[Changed]":
    """Do tasks again, with all that follow from them.

    The selected tasks become ready, and those that follow blocked; a running task is left alone.
    With `--outdated`, only tasks that an older version of their step did.
    """
    if not (outdated or missing):
        wish.be_sure("rerun")
    yield wish.fulfil(wish.project.rerun, outdated=outdated, missing=missing)


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


@_changing(
    "of items with another priority",
    _yes_option,
    click.option(
        "--to",
        "priority_",
        type=whole(PRIORITY),
        metavar="N",
        required=True,
        help="Higher comes first; by default items have 0.",
    ),
)
def priority(wish: Wish, priority_: int) -> "Iterator[Changed]":
    """Make the items of the selected tasks come earlier or later.

    An item has one priority, for all of its tasks; what runs goes on.
    """
    wish.be_sure("priority")
    yield wish.fulfil(wish.project.set_priority, priority=priority_)


def _ask_which(project: "Project") -> list[Selection]:
    """Show the causes of failures and return selections for those that the person names."""
    from stoker.cli.failures import show_causes

    rows = project.failures()
    if not rows:
        return [Selection()]
    show_causes(rows, numbered=True)
    chosen = []
    for number in _ask_numbers(len(rows)):
        row = rows[number - 1]
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


def _ask_numbers(most: int) -> list[int]:
    """Return the numbers that the person names, and ask again as long as one of them is wrong."""
    while True:
        answer = click.prompt("Retry which (numbers, `all`, or nothing)", default="", err=True)
        words = answer.replace(",", " ").split()
        if words == ["all"]:
            return list(range(1, most + 1))
        wrong = [word for word in words if not word.isdecimal() or not 1 <= int(word) <= most]
        if not wrong:
            return [int(word) for word in dict.fromkeys(words)]
        say(f"`{wrong[0][:40]}` is not a number from 1 to {most}")


def _tell(done: "Changed", wanted: str, *, dry_run: bool, as_json: bool) -> None:
    for message in done.messages:
        say(visible(message))
    if done.unknown > len(done.messages):
        say(f"and {done.unknown - len(done.messages):,} more names that mean no item")
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
        noun = "item" if name == "admit" else "task"
        data(f"{plural(n, noun)} {prefix}{CHANGES.get(name, name)}")
    if dry_run:
        for example in done.examples:
            data(f"  {visible(example)}")
        if done.total > len(done.examples):
            data(f"  … and {done.total - len(done.examples):,} more")
    if done.left:
        say(f"left as they are: {counted(done.left)}")
