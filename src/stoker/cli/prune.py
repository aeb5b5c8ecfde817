"""`stoker prune`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, human_bytes, json_line, plural, say, visible
from stoker.cli.scope import (
    DURATION,
    Scope,
    command,
    dry_run_option,
    json_option,
    reason_option,
    selection_options,
    tell_unknown_keys,
)
from stoker.errors import UserError
from stoker.model.selection import Selection

if TYPE_CHECKING:
    from stoker.model.retention import Retention
    from stoker.store.retention.counts import Pruned

_WHAT = ("items", "attempts", "logs", "journal")
_STATES = {
    "items": ("done", "cancelled"),
    "attempts": ("succeeded", "failed", "timed_out", "out_of_memory", "cancelled", "lost"),
    "logs": ("succeeded", "failed", "timed_out", "out_of_memory", "cancelled", "lost"),
}


@command()
@selection_options()
@click.option(
    "--older-than", type=DURATION, metavar="T", help="Only records older than this, as `30d`."
)
@click.option(
    "--what",
    type=click.Choice(_WHAT),
    multiple=True,
    help="With --older-than: what to forget; items, unless it is said.",
)
@dry_run_option
@reason_option
@json_option
def prune(
    scope: Scope,
    selection: Selection,
    older_than: float | None,
    what: tuple[str, ...],
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Forget old items that are done or cancelled.

    Their tasks, attempts and logs are forgotten too. Without --older-than, `[retention]` in
    `stoker.toml` decides, which workers also follow on their own. `--what attempts` forgets attempts
    that were followed by others, `--what logs` only the output of attempts, and `--what journal`
    reduces the history of a finished item to one row.

    Keys, ranges, --match, --where and --by, and --state without --older-than, choose items: those
    that are done or cancelled, and old enough, are forgotten, and nothing else, whatever
    `[retention]` says about attempts, logs and the journal. --pipeline narrows everything; --state
    with --older-than applies to what --what names. --step is refused: an item is forgotten with all
    its steps.

    Published results are never touched. A forgotten item that is pushed again is new; `stoker adopt`
    then finds its results.
    """
    from stoker.store.retention.prune import chooses_items

    retention = _retention(older_than, what or ("items",), selection.states)
    if older_than is None and what:
        raise UserError("`--what` goes with `--older-than`; say how old, as `30d`")
    if retention is not None:
        selection = replace(selection, states=())  # the ages are of these states only
    if chooses_items(selection) and set(what) - {"items"}:
        other = next(name for name in what if name != "items")
        raise UserError(
            f"keys and conditions choose items to forget; `--what {other}` can be narrowed by "
            "`--pipeline` and `--state` only"
        )
    with scope.reading() as project:
        if retention is None and project.settings.retention.is_nothing:
            raise UserError(
                "give the age of what is to be forgotten, as `--older-than 365d`, or set `[retention]` "
                "in `stoker.toml`; `--older-than 0s` forgets all that is over"
            )
        tell_unknown_keys(project, selection)
        done = project.prune(
            selection=selection, retention=retention, reason=reason, dry_run=dry_run
        )
    if as_json:
        from stoker.project.answers import PruneAnswer

        json_line(PruneAnswer.of(done, dry_run=dry_run))
        return
    _show(done, is_narrow=not selection.is_everything, dry_run=dry_run)


def _retention(
    older_than: float | None, what: tuple[str, ...], states: tuple[str, ...]
) -> "Retention | None":
    from stoker.model.retention import Retention

    if older_than is None:
        return None
    chosen = {name: _ages(name, older_than, states) for name in what if name != "journal"}
    return Retention(**chosen, journal=older_than if "journal" in what else None)


def _ages(name: str, older_than: float, states: tuple[str, ...]) -> dict[str, float]:
    wrong = [word for word in states if word not in _STATES[name]]
    if wrong:
        words = ", ".join(f"`{word}`" for word in _STATES[name])
        raise UserError(
            f"`{wrong[0]}` is not a state in which {name} can be forgotten; those are {words}"
        )
    return dict.fromkeys(states or _STATES[name], older_than)


def _show(done: "Pruned", *, is_narrow: bool, dry_run: bool) -> None:
    if done.is_nothing:
        which = "nothing that was selected" if is_narrow else "nothing"
        say(f"nothing to forget: {which} is over and that old")
        return
    would = "would forget" if dry_run else "forgot"
    counts = {
        plural(done.items, "item"): done.items,
        plural(done.tasks, "task"): done.tasks,
        plural(done.attempts, "attempt"): done.attempts,
        f"the logs of {plural(done.streams, 'attempt')}": done.streams,
        f"{plural(done.log_files, 'log file')} ({human_bytes(done.log_bytes)})": done.log_files,
        plural(done.journal_rows, "row of the journal", "rows of the journal"): done.journal_rows,
    }
    data(f"{would} {', '.join(text for text, n in counts.items() if n)}")
    if dry_run:
        for example in done.examples:
            data(f"  {visible(example)}")
    if done.elsewhere:
        files = plural(done.elsewhere, "log file is", "log files are")
        say(f"{files} on other hosts, and will be deleted by a worker there")
