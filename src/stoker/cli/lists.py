"""`stoker items`, `stoker tasks`, `stoker attempts`: lists that stream."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stoker.cli.render import (
    Columns,
    human_bytes,
    human_seconds,
    human_time,
    in_pages,
    json_line,
    say,
)
from stoker.cli.scope import Scope, command, json_option, selection_options, tell_unknown_keys

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.store.rows import AttemptRow, ItemRow, TaskRow


@command()
@selection_options()
@json_option
def items(scope: Scope, selection: "Selection", as_json: bool) -> None:
    """List items.

    States are those of items: quarantined, running, held, failed, cancelled, waiting, done.
    """
    with scope.reading() as project:
        _show(
            project.each_item(selection),
            Columns(["pipeline", "item", "state", "size", "registered", "by"], right=["size"]),
            _item_cells,
            as_json=as_json,
        )
        tell_unknown_keys(project, selection)


def _item_cells(row: "ItemRow") -> Sequence[str]:
    return (
        row.pipeline,
        row.item,
        row.state,
        human_bytes(row.size_bytes),
        human_time(row.registered_at),
        row.by,
    )


@command()
@selection_options()
@json_option
def tasks(scope: Scope, selection: "Selection", as_json: bool) -> None:
    """List tasks.

    States are blocked, ready, running, held, done, skipped, failed, cancelled.
    """
    with scope.reading() as project:
        _show(
            project.each_task(selection),
            Columns(
                ["pipeline", "item", "step", "state", "attempts", "reason"], right=["attempts"]
            ),
            _task_cells,
            as_json=as_json,
        )
        tell_unknown_keys(project, selection)


def _task_cells(row: "TaskRow") -> Sequence[str]:
    reason = row.reason or ""
    if row.not_before is not None:
        reason = f"next try {human_time(row.not_before)}; {reason}".rstrip("; ")
    return row.pipeline, row.item, row.step, row.state, str(row.attempts), reason


@command()
@selection_options()
@json_option
def attempts(scope: Scope, selection: "Selection", as_json: bool) -> None:
    """List attempts, oldest first.

    States are running, succeeded, failed, timed_out, out_of_memory, cancelled, lost.
    """
    titles = ["started", "pipeline", "item", "step", "n", "state", "took", "memory", "reason"]
    with scope.reading() as project:
        _show(
            project.each_attempt(selection),
            Columns(titles, right=["n", "took", "memory"]),
            _attempt_cells,
            as_json=as_json,
        )
        tell_unknown_keys(project, selection)


def _attempt_cells(row: "AttemptRow") -> Sequence[str]:
    return (
        human_time(row.started_at or row.claimed_at),
        row.pipeline,
        row.item,
        row.step,
        str(row.number),
        row.state,
        human_seconds(row.elapsed_s),
        human_bytes(row.max_rss_bytes or None),
        row.reason or "",
    )


def _show(
    rows: Iterable[Any],
    columns: Columns,
    cells: Callable[[Any], Sequence[str]],
    *,
    as_json: bool,
) -> None:
    """Print the rows as they come."""
    found = False
    if as_json:
        for row in rows:
            found = True
            json_line(row)
    else:
        for page in in_pages(rows):
            found = True
            columns.page([cells(row) for row in page])
    if not found:
        say("nothing is selected")
