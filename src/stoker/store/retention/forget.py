"""Deleting from the tables: items that are over, attempts that were followed by others, logs.

Each walks its table by its key, a window at a time, so that no step takes long however large the
table is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, or_, select, update

from stoker.failpoints import hit
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.store import selection as selections
from stoker.store import submission_tables, tables, web_tables
from stoker.store.catalog import catalog
from stoker.store.groups.keeping import needed_by_groups, note_forgotten
from stoker.store.holdings import publications
from stoker.store.ids import text_of
from stoker.store.journal import Entry, append, to_json
from stoker.store.locks import lock_items, lock_tasks, lock_tasks_of
from stoker.store.paging import Listed, pages
from stoker.store.picking import pick_items
from stoker.store.retention import deleted_logs
from stoker.store.steps import Catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.retention.counts import Pruned
    from stoker.store.unit import Store

_T, _I, _A, _O, _P, _S, _W, _PUB, _TMP = (
    tables.task, tables.item, tables.attempt, tables.output, tables.pipeline, tables.step,
    tables.worker, tables.publication, tables.temporary,
)  # fmt: skip
_SUB = submission_tables.submission
_JOB = web_tables.job
WINDOW = 2_000  # rows looked at in a step
_FOREVER_US = 1 << 62

Before = Mapping[str, int]  # by the word for a state: what is older than this time is forgotten


def items(
    store: "Store", before: Before, done: "Pruned", *, selection: Selection, dry_run: bool
) -> Iterator[None]:
    """Selected items that are over, and where nothing happened for so long, are forgotten."""
    ages = {ItemState.of(word).value: at_us for word, at_us in before.items()}
    columns = [_I.c.id, _I.c.key, _I.c.state, _I.c.registered_us, _P.c.name.label("pipeline")]
    where = selections.where_filter(selection)
    if where is not None:
        columns += [_I.c.id.label("item_id"), _I.c.params, _I.c.meta, _I.c.size_bytes]
    with store.reading() as unit:
        picked = pick_items(unit, selection)
    query = selections.item_query(picked.rest, *columns)
    for rows in pages(store, Listed(query, _I.c.id, where, kind=ItemState, pick=picked.pick)):
        due = [row for row in rows if row.registered_us < ages.get(row.state, 0)]
        if due:
            _forget_items(store, due, ages, done, dry_run=dry_run)
        yield


@as_a_whole
def _forget_items(
    store: "Store", rows: Sequence[Any], ages: Mapping[int, int], done: "Pruned", *, dry_run: bool
) -> None:
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        wanted = [row.id for row in rows]
        lock_tasks_of(unit, wanted)
        lock_items(unit, wanted)
        found = unit.execute(select(_I.c.id, _I.c.state).where(_I.c.id.in_(wanted))).fetchall()
        states = {row.id: row.state for row in found}
        last = _last_ends(unit, wanted)
        tasks = unit.execute(select(_T).where(_T.c.item_id.in_(wanted))).fetchall()
        kept = {row.item_id for row in tasks if TaskState(row.state).is_open}
        kept |= needed_by_groups(unit, wanted)
        gone = [
            row
            for row in rows
            if row.id not in kept and last.get(row.id, 0) < ages.get(states.get(row.id, -1), 0)
        ]
        ids = {row.id for row in gone}
        tasks = [row for row in tasks if row.item_id in ids]
        attempts, files = _delete_attempts(unit, _A.c.task_id.in_([row.id for row in tasks]))
        publications.forget(unit, [row.id for row in tasks])
        unit.execute(delete(tables.error_folder).where(tables.error_folder.c.item_id.in_(ids)))
        note_forgotten(unit, list(ids))
        unit.execute(delete(_T).where(_T.c.item_id.in_(ids)))
        unit.execute(delete(_SUB).where(_SUB.c.item_id.in_(ids)))
        unit.execute(delete(_I).where(_I.c.id.in_(ids)))
        keys = [row.key for row in gone]
        unit.execute(delete(_JOB).where(_JOB.c.key.in_(keys), _JOB.c.removed_us.is_(None)))
        append(unit, _entries(unit, known, gone, tasks))
        hit("forget.before_commit")
    hit("forgotten")
    done.items += len(gone)
    done.tasks += len(tasks)
    done.attempts += attempts
    for row in gone:
        done.example(f"{row.pipeline}: {row.key}")
    if dry_run:
        deleted_logs.measure(files, done)


def _last_ends(unit: Unit, wanted: Sequence[int]) -> dict[int, int]:
    """Return for each of these items when the last of its attempts ended."""
    end = func.max(func.coalesce(_A.c.ended_us, _FOREVER_US))
    query = select(_T.c.item_id, end).join(_A, _A.c.task_id == _T.c.id)
    rows = unit.execute(query.where(_T.c.item_id.in_(wanted)).group_by(_T.c.item_id)).fetchall()
    return {row[0]: int(row[1]) for row in rows}


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


def attempts(
    store: "Store", before: Before, done: "Pruned", *, pipeline: str | None, dry_run: bool
) -> Iterator[None]:
    """Attempts that ended so long ago, and that their tasks do not carry any more, are forgotten.

    One that owns a published path, or a temporary file that is there, stays.
    """
    is_due = _are_due(before)
    query = (
        select(_A.c.id, _T.c.id.label("task"), _I.c.key, _S.c.name.label("step"),
               _P.c.name.label("pipeline"))
        .select_from(_attempts())
        .where(_T.c.attempt != _A.c.id, is_due)
        .where(~select(_PUB.c.digest).where(_PUB.c.task_id == _T.c.id, _PUB.c.attempt == _A.c.id).exists())
        .where(~select(_TMP.c.name).where(_TMP.c.attempt == _A.c.id, _TMP.c.removed_us.is_(None)).exists())
    )  # fmt: skip
    for low, high in _ranges(store, max(before.values())):
        of_window = query.where(_A.c.id > low, _A.c.id <= high)
        if pipeline is not None:
            of_window = of_window.where(_P.c.name == pipeline)
        with store.reading() as unit:
            found = unit.execute(of_window.limit(1)).first()
        if found is not None:
            _forget_attempts(store, of_window, done, dry_run=dry_run)
        yield


@as_a_whole
def _forget_attempts(store: "Store", query: Any, done: "Pruned", *, dry_run: bool) -> None:
    with store.writing(dry_run=dry_run) as unit:
        rows = unit.execute(query).fetchall()
        lock_tasks(unit, [row.task for row in rows])
        rows = unit.execute(query.where(_T.c.id.in_([row.task for row in rows]))).fetchall()
        by_task: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            by_task.setdefault((row.pipeline, row.key, row.step), []).append(text_of(row.id))
        n, files = _delete_attempts(unit, _A.c.id.in_([row.id for row in rows]))
        append(
            unit,
            [
                Entry("forget_attempts", *task, n=0, data=to_json({"attempts": ids}))
                for task, ids in by_task.items()
            ],
        )
        hit("forget_attempts.before_commit")
    done.attempts += n
    for pipeline, key, step in by_task:
        done.example(f"{pipeline}: {key}, earlier attempts of {step}")
    if dry_run:
        deleted_logs.measure(files, done)


def _delete_attempts(unit: Unit, which: Any) -> tuple[int, list[tuple[str | None, bytes]]]:
    """Delete these attempts with what belongs to them; return how many, and their files."""
    of_worker = _A.outerjoin(_W, _W.c.id == _A.c.worker_id)
    query = select(_A.c.id, _A.c.stdout_path, _A.c.stderr_path, _W.c.host).select_from(of_worker)
    rows = unit.execute(query.where(which)).fetchall()
    ids = [row.id for row in rows]
    files = [(row.host, p) for row in rows for p in (row.stdout_path, row.stderr_path) if p]
    for at in range(0, len(ids), WINDOW):
        some = ids[at : at + WINDOW]
        for table in (_O, _TMP, tables.missing_output):
            unit.execute(delete(table).where(table.c.attempt.in_(some)))
        unit.execute(delete(_A).where(_A.c.id.in_(some)))
    deleted_logs.note(unit, files)
    return len(ids), files


_NO_LOGS = dict.fromkeys(("stdout_path", "stdout_text", "stderr_path", "stderr_text"))


def logs(
    store: "Store", before: Before, done: "Pruned", *, pipeline: str | None, dry_run: bool
) -> Iterator[None]:
    """What attempts wrote that ended so long ago is deleted; how much it was stays."""
    written = or_(*(_A.c[name].is_not(None) for name in _NO_LOGS))
    columns = (_A.c.id, _A.c.stdout_path, _A.c.stderr_path, _W.c.host)
    query = select(*columns).select_from(_attempts().outerjoin(_W, _W.c.id == _A.c.worker_id))
    query = query.where(_are_due(before), written)
    if pipeline is not None:
        query = query.where(_P.c.name == pipeline)
    for low, high in _ranges(store, max(before.values())):
        with store.reading() as unit:
            rows = unit.execute(query.where(_A.c.id > low, _A.c.id <= high)).fetchall()
        if rows:
            _delete_logs(store, rows, done, dry_run=dry_run)
        yield


@as_a_whole
def _delete_logs(store: "Store", rows: Sequence[Any], done: "Pruned", *, dry_run: bool) -> None:
    files = [(row.host, p) for row in rows for p in (row.stdout_path, row.stderr_path) if p]
    with store.writing(dry_run=dry_run) as unit:
        ids = [row.id for row in rows]
        unit.execute(update(_A).where(_A.c.id.in_(ids)).values(**_NO_LOGS))
        deleted_logs.note(unit, files)
        hit("forget_logs.before_commit")
    done.streams += len(rows)
    if dry_run:
        deleted_logs.measure(files, done)


def _attempts() -> Any:
    return (
        _A.join(_T, _T.c.id == _A.c.task_id)
        .join(_I, _I.c.id == _T.c.item_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .join(_P, _P.c.id == _S.c.pipeline_id)
    )


def _are_due(before: Before) -> Any:
    return or_(
        *(
            and_(_A.c.state == AttemptState.of(word).value, _A.c.ended_us < at_us)
            for word, at_us in before.items()
        )
    )


def _ranges(store: "Store", before_us: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield windows of attempts' ids, which begin with the time of the claim: no later than that."""
    low, last = b"", max(before_us // 1000, 0).to_bytes(6, "big") + b"\xff" * 10
    while True:
        with store.reading() as unit:
            ids = select(_A.c.id).where(_A.c.id > low, _A.c.id <= last).order_by(_A.c.id)
            window = unit.execute(ids.limit(WINDOW)).scalars().all()
        if not window:
            return
        yield low, window[-1]
        low = window[-1]
