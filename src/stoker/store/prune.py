"""Forgetting: items that were done or cancelled long ago, with all that is kept of them.

Published files are never touched. Their paths stop being owned: a file that lies there is then one
that Stoker did not write, and is not overwritten. An item that was forgotten is new when it is
pushed again; `adopt` finds its results.
"""

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, or_, select

from stoker.model.selection import Selection
from stoker.model.states import ItemState, TaskState
from stoker.store import fold, tables
from stoker.store import selection as selections
from stoker.store.catalog import Catalog, catalog
from stoker.store.journal import Entry, append
from stoker.store.locks import lock_items, lock_tasks_of
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.connect import Store

_T, _I, _A, _O, _P, _J, _PUB = (
    tables.task, tables.item, tables.attempt, tables.output, tables.pipeline, tables.journal,
    tables.publication,
)  # fmt: skip
BATCH = 500
_JOURNAL_BATCH = 20_000
_EXAMPLES = 5
_OVER = (ItemState.DONE.value, ItemState.CANCELLED.value)


@dataclass(slots=True)
class Pruned:
    """What was forgotten, or would be. `log_bytes` is the size of the log files."""

    items: int = 0
    tasks: int = 0
    attempts: int = 0
    log_files: int = 0
    log_bytes: int = 0
    journal_rows: int = 0
    examples: list[str] = field(default_factory=list)


def prune(
    store: "Store", *, older_than_s: float, pipeline: str | None = None, dry_run: bool = False
) -> Pruned:
    """Items that are done or cancelled, and where nothing happened for so long, are forgotten.

    A few hundred items a transaction, log files after the commit: cut short, it has done whole items
    and may leave log files of the last few. The journal's rows about forgotten items go as far as
    all peers have them.
    """
    done = Pruned()
    fold.fold(store)
    with store.reading() as unit:
        before_us = unit.now_us - int(older_than_s * 1_000_000)
        if pipeline is not None:
            selections.check(unit, Selection(pipeline=pipeline))
    last = 0
    while True:
        with store.reading() as unit:
            rows = unit.execute(_due(before_us, pipeline, last)).fetchall()
        if not rows:
            break
        last = rows[-1].id
        _forget(store, rows, done, dry_run=dry_run)
    if not dry_run:
        fold.fold(store)
        _prune_journal(store, before_us, done)
    return done


def _due(before_us: int, pipeline: str | None, last: int) -> Any:
    """The query for the next items to forget: over, and nothing of them is recent."""
    recent = (
        select(_A.c.id)
        .select_from(_A.join(_T, _T.c.id == _A.c.task_id))
        .where(
            _T.c.item_id == _I.c.id,
            or_(_A.c.ended_us.is_(None), _A.c.ended_us >= before_us),
        )
        .exists()
    )
    query = (
        select(_I.c.id, _I.c.key, _I.c.state, _P.c.name.label("pipeline"))
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .where(_I.c.id > last, _I.c.state.in_(_OVER), _I.c.registered_us < before_us, ~recent)
        .order_by(_I.c.id)
        .limit(BATCH)
    )
    return query if pipeline is None else query.where(_P.c.name == pipeline)


def _forget(store: "Store", rows: Sequence[Any], done: Pruned, *, dry_run: bool) -> None:
    logs: list[str] = []
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        wanted = [row.id for row in rows]
        lock_tasks_of(unit, wanted)
        lock_items(unit, wanted)
        still = set(
            unit.execute(
                select(_I.c.id).where(_I.c.id.in_(wanted), _I.c.state.in_(_OVER))
            ).scalars()
        )
        items = [row for row in rows if row.id in still]
        ids = [row.id for row in items]
        tasks = unit.execute(select(_T).where(_T.c.item_id.in_(ids))).fetchall()
        over = {row.item_id for row in tasks if TaskState(row.state).is_open}
        items = [row for row in items if row.id not in over]
        ids = [row.id for row in items]
        tasks = [row for row in tasks if row.item_id in set(ids)]
        logs = _delete(unit, ids, [row.id for row in tasks], done)
        append(unit, _entries(unit, known, items, tasks))
    done.items += len(items)
    done.tasks += len(tasks)
    done.examples += [f"{row.pipeline}: {row.key}" for row in items][
        : _EXAMPLES - len(done.examples)
    ]
    for path in logs:
        with suppress(OSError):
            done.log_bytes += Path(path).stat().st_size
            if not dry_run:
                Path(path).unlink()
            done.log_files += 1


def _delete(unit: Unit, ids: Sequence[int], tasks: Sequence[int], done: Pruned) -> list[str]:
    """Delete all rows of these items; return the paths of their log files."""
    of_tasks = select(_A.c.id).where(_A.c.task_id.in_(tasks))
    rows = unit.execute(
        select(_A.c.stdout_path, _A.c.stderr_path).where(_A.c.task_id.in_(tasks))
    ).fetchall()
    done.attempts += len(rows)
    unit.execute(delete(_O).where(_O.c.attempt.in_(of_tasks)))
    unit.execute(delete(_PUB).where(_PUB.c.task_id.in_(tasks)))
    unit.execute(delete(_A).where(_A.c.task_id.in_(tasks)))
    unit.execute(delete(_T).where(_T.c.id.in_(tasks)))
    unit.execute(delete(_I).where(_I.c.id.in_(ids)))
    return [os.fsdecode(path) for row in rows for path in row if path is not None]


def _entries(unit: Unit, known: Catalog, items: Sequence[Any], tasks: Sequence[Any]) -> list[Entry]:
    """What the journal says of it: each item is forgotten, and so many tasks of each state."""
    hashes = {row.id: row.hash for row in unit.execute(select(tables.body))}
    counts: Counter[tuple[int, int, str | None]] = Counter()
    for task in tasks:
        body = hashes.get(task.body_id) if task.state == TaskState.DONE else None
        counts[task.step_id, task.state, body] += 1
    entries = [
        Entry(
            "forget_tasks", known.steps[step].pipeline, step=known.steps[step].name,
            from_state=state, body=body, n=n,
        )
        for (step, state, body), n in counts.items()
    ]  # fmt: skip
    entries += [Entry("forget", row.pipeline, row.key, to_state=row.state) for row in items]
    return entries


def _prune_journal(store: "Store", before_us: int, done: Pruned) -> None:
    """Delete old rows about items that are forgotten and not known anew, as far as peers have them.

    The rows that say so stay, since counts are made from them.
    """
    known = (
        select(_I.c.id)
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .where(_P.c.name == _J.c.pipeline, _I.c.key == _J.c.key)
        .exists()
    )
    with store.reading() as unit:
        acked = unit.execute(select(func.min(tables.peer.c.acked_seq))).scalar()
        newest = unit.execute(select(func.max(_J.c.id))).scalar() or 0
        first = unit.execute(select(func.min(_J.c.id))).scalar() or 0
    at = first
    while at <= newest:
        conditions = [
            _J.c.id.between(at, at + _JOURNAL_BATCH - 1), _J.c.seq.is_not(None),
            _J.c.key.is_not(None), _J.c.event != "forget", _J.c.at_us < before_us, ~known,
        ]  # fmt: skip
        if acked is not None:
            conditions.append(_J.c.seq <= acked)
        with store.writing() as unit:
            done.journal_rows += unit.execute(delete(_J).where(and_(*conditions))).rowcount
        at += _JOURNAL_BATCH
