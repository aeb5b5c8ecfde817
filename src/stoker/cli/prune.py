"""`stoker prune`."""

from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, human_bytes, json_line, plural, say, visible
from stoker.cli.scope import DURATION, Scope, command, dry_run_option, json_option, reason_option
from stoker.errors import UserError

if TYPE_CHECKING:
    from stoker.model.settings import Retention
    from stoker.store.pruned import Pruned

_WHAT = ("items", "attempts", "logs", "journal")
_STATES = {
    "items": ("done", "cancelled"),
    "attempts": ("succeeded", "failed", "timed_out", "out_of_memory", "cancelled", "lost"),
    "logs": ("succeeded", "failed", "timed_out", "out_of_memory", "cancelled", "lost"),
}


@command()
@click.option("--older-than", type=DURATION, metavar="T", help="What is older than this, as `30d`.")
@click.option(
    "--what",
    type=click.Choice(_WHAT),
    multiple=True,
    help="With --older-than: what to forget; items, unless it is said.",
)
@click.option(
    "--state",
    "states",
    metavar="STATE",
    multiple=True,
    help="With --older-than: of items or attempts in these states only.",
)
@click.option("--pipeline", metavar="NAME", help="Of this pipeline.")
@dry_run_option
@reason_option
@json_option
def prune(
    scope: Scope,
    older_than: float | None,
    what: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Forget old items that are done or cancelled.

    With their tasks, attempts and logs. Without --older-than, what `[retention]` in `stoker.toml`
    says, which workers do by themselves too. `--what attempts` forgets those that were followed by
    others, `--what logs` only what attempts wrote, `--what journal` tells of an item that is over in
    one row of the journal.

    Published results are never touched. An item that was forgotten is new if it is pushed again:
    `stoker adopt` then finds its results.
    """
    retention = _retention(older_than, what or ("items",), states)
    if older_than is None and (what or states):
        raise UserError("`--what` and `--state` go with `--older-than`; say how old, as `30d`")
    with scope.reading() as project:
        if retention is None and project.settings.retention.is_nothing:
            raise UserError(
                "nothing says how long to keep what: say `--older-than 365d`, or set `[retention]` in "
                "`stoker.toml`"
            )
        done = project.prune(retention=retention, pipeline=pipeline, reason=reason, dry_run=dry_run)
    if as_json:
        json_line({"dry_run": dry_run, **{n: getattr(done, n) for n in done.__slots__}})
        return
    _show(done, dry_run=dry_run)


def _retention(
    older_than: float | None, what: tuple[str, ...], states: tuple[str, ...]
) -> "Retention | None":
    from stoker.model.settings import Retention

    if older_than is None:
        return None
    chosen = {name: _ages(name, older_than, states) for name in what if name != "journal"}
    return Retention(**chosen, journal=older_than if "journal" in what else None)


def _ages(name: str, older_than: float, states: tuple[str, ...]) -> dict[str, float]:
    named = [word for several in states for word in several.split(",")]
    wrong = [word for word in named if word not in _STATES[name]]
    if wrong:
        words = ", ".join(f"`{word}`" for word in _STATES[name])
        raise UserError(
            f"`{wrong[0]}` is no state in which {name} can be forgotten; those are {words}"
        )
    return dict.fromkeys(named or _STATES[name], older_than)


def _show(done: "Pruned", *, dry_run: bool) -> None:
    if done.is_nothing:
        say("nothing to forget: nothing is over and that old")
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
        files = plural(done.elsewhere, "log file lies", "log files lie")
        say(f"{files} on other hosts, and will be deleted by a worker there")
