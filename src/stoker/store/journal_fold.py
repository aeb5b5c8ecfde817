"""The fold: numbers the journal's committed rows, and keeps what is counted from them.

It sees only what is committed, so that numbers are dense and in the order of commits, and a reader
that remembers the last number it saw misses nothing (a reader of ids would: rows commit late). It
keeps the counts that `status` shows, and the states of items, off the way of claims and finishes.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, insert, select, update

from stoker.failpoints import hit
from stoker.model.states import ItemState, TaskState
from stoker.store import tables
from stoker.store.apply import set_item_states
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.steps import Catalog
    from stoker.store.unit import Store

FOLD_ROWS = 2_000  # of the journal, in a transaction
_KEYS_AT_ONCE = 500
_MANY = 10_000_000

_J = tables.journal
_UNSEQUENCED = Prepared(
    select(
        _J.c.id, _J.c.event, _J.c.pipeline, _J.c.key, _J.c.step,
        _J.c.from_state, _J.c.to_state, _J.c.body, _J.c.n,
    )
    .where(_J.c.seq.is_(None))
    .order_by(_J.c.id)
    .limit(param("rows"))
)  # fmt: skip
_NUMBER = Prepared(update(_J).where(_J.c.id == param("row_id")).values(seq=param("number")))
_NUMBER_ALL = Prepared(
    update(_J)
    .where(_J.c.id.between(param("lowest"), param("highest")))
    .values(seq=_J.c.id + param("offset"))
)
_HEAD = select(tables.head.c.seq).with_for_update()
_TASKS_OF = Prepared(
    select(tables.item.c.id, tables.item.c.state, tables.task.c.state)
    .select_from(
        tables.item.join(tables.task, tables.task.c.item_id == tables.item.c.id).join(
            tables.step, tables.step.c.id == tables.task.c.step_id
        )
    )
    .where(
        ~tables.step.c.is_removed,
        tables.item.c.pipeline_id == param("pipeline_id"),
        tables.item.c.key.in_(param_list("keys")),
    )
)


def fold(store: "Store", *, limit_s: float = 60.0) -> bool:
    """Number the committed rows and fold them into the tallies and the items' states.

    Works in transactions of a few thousand rows until nothing is left or `limit_s` has passed;
    returns whether nothing was left. May be called by any process at any time.
    """
    until = time.monotonic() + limit_s
    with store.reading() as unit:
        if not unit.run(_UNSEQUENCED, rows=1).fetchone():
            return True
    while True:
        is_over = _fold_once(store)
        hit("folded")
        if is_over or time.monotonic() >= until:
            return is_over


@as_a_whole
def _fold_once(store: "Store") -> bool:
    with store.writing(durable=False) as unit:  # it can be done again from the journal
        is_over = _fold_some(unit)
        hit("fold.before_commit")
    return is_over


def fold_all(unit: Unit) -> None:
    """Fold what is committed and what this transaction has written, as part of it."""
    while not _fold_some(unit):
        pass


def _fold_some(unit: Unit) -> bool:
    """Fold some rows; return whether there are no more."""
    table = tables.head
    own = and_(table.c.origin == unit.store.site, table.c.epoch == unit.store.epoch)
    seq = unit.execute(_HEAD.where(own)).scalar_one()
    rows = unit.run(_UNSEQUENCED, rows=FOLD_ROWS).fetchall()
    if not rows:
        return True
    _number(unit, [row[0] for row in rows], first=seq + 1)
    unit.execute(update(table).where(own).values(seq=seq + len(rows)))
    _count(unit, rows)
    return len(rows) < FOLD_ROWS


def _number(unit: Unit, ids: Sequence[int], *, first: int) -> None:
    """Give these rows the numbers from `first` on; in one statement where no id is missing."""
    if ids[-1] - ids[0] + 1 == len(ids):
        unit.run(_NUMBER_ALL, lowest=ids[0], highest=ids[-1], offset=first - ids[0])
        return
    numbered = [{"row_id": id_, "number": number} for number, id_ in enumerate(ids, start=first)]
    unit.run_many(_NUMBER, numbered)


def _count(unit: Unit, rows: Sequence[Any]) -> None:
    """Add what these rows changed to the tallies."""
    from stoker.store.catalog import catalog

    change = changes(unit, rows)
    _project_items(unit, catalog(unit), change.touched, change.items)
    _add(unit, tables.tally, ("step_id", "state", "body_id"), change.tasks)
    _add(unit, tables.item_tally, ("pipeline_id", "state"), change.items)


@dataclass(slots=True)
class Changes:
    """What rows of the journal do to counts, and the keys of items, by pipeline, that they touch.

    `tasks` by step, state and body; `items` by pipeline and state: those that came and went.
    """

    tasks: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    items: Counter[tuple[int, int]] = field(default_factory=Counter)
    touched: dict[str, set[str]] = field(default_factory=dict)

    def move_items(self, pipeline_id: int, moves: Iterable[tuple[int | None, int]]) -> None:
        """So many items more, or fewer, are in these states; None is outside the store."""
        for state, change in moves:
            if state is not None:
                self.items[pipeline_id, state] += change


def not_counted_yet(unit: Unit) -> Changes:
    """Return what the rows that have no number yet will change; seconds old where somebody works."""
    return changes(unit, unit.run(_UNSEQUENCED, rows=_MANY).fetchall())


def changes(unit: Unit, rows: Sequence[Any]) -> Changes:
    """Return what these rows change."""
    from stoker.store.catalog import catalog

    known = catalog(unit)
    bodies = {(row.step_id, row.hash): row.id for row in unit.execute(select(tables.body))}
    found = Changes()
    of_items: Counter[tuple[str, str, int | None, int]] = Counter()  # thousands, of a few kinds
    for _id, event, pipeline, key, step, from_state, to_state, body, n in rows:
        if step is None:
            of_items[event, pipeline, from_state, to_state] += n
            continue
        entry = known.by_name.get((pipeline, step))
        if entry is None:
            continue  # the pipeline was pruned since
        for state, change in ((from_state, -n), (to_state, n)):
            if state is not None:
                body_id = bodies.get((entry.id, body), 0) if state == TaskState.DONE else 0
                found.tasks[entry.id, state, body_id] += change
        if key is not None:
            found.touched.setdefault(pipeline, set()).add(key)
    for (event, pipeline, from_state, to_state), n in of_items.items():
        moves = _moves_of_items(event, from_state, to_state, n)
        if moves:  # others may be of no pipeline
            found.move_items(known.pipeline_ids[pipeline], moves)
    return found


def _moves_of_items(
    event: str, from_state: int | None, to_state: int, n: int
) -> tuple[tuple[int | None, int], ...]:
    """Return by how much an event of items alone changes how many are in which state."""
    if event == "forget":
        return ((to_state, -n),)
    if event in ("register", "quarantine", "admit"):
        return ((from_state, -n), (to_state, n))
    return ()


def _project_items(
    unit: Unit,
    known: "Catalog",
    touched: Mapping[str, set[str]],
    items: Counter[tuple[int, int]],
) -> None:
    """Bring the states of these items up to their tasks', counting the moves in `items`."""
    for pipeline, keys in touched.items():
        pipeline_id = known.pipeline_ids[pipeline]
        listed = sorted(keys)
        for at in range(0, len(listed), _KEYS_AT_ONCE):
            chunk = listed[at : at + _KEYS_AT_ONCE]
            for old, new in set_item_states(unit, _tasks_of(unit, pipeline_id, chunk)):
                items[pipeline_id, old] -= 1
                items[pipeline_id, new] += 1


def _tasks_of(
    unit: Unit, pipeline_id: int, keys: list[str]
) -> dict[int, tuple[ItemState, set[TaskState]]]:
    found: dict[int, tuple[ItemState, set[TaskState]]] = {}
    for item_id, of_item, of_task in unit.run(
        _TASKS_OF, pipeline_id=pipeline_id, keys=keys
    ).fetchall():
        found.setdefault(item_id, (of_item, set()))[1].add(of_task)
    return found


def _add(unit: Unit, table: Any, keys: tuple[str, ...], changes: Counter[Any]) -> None:
    """Add to a tally's counts; a row that is not there begins at nought."""
    for key, change in changes.items():
        if change == 0:
            continue
        where = and_(*(table.c[name] == value for name, value in zip(keys, key, strict=True)))
        done = unit.execute(update(table).where(where).values(n=table.c.n + change))
        if done.rowcount == 0:
            unit.execute(insert(table).values(n=change, **dict(zip(keys, key, strict=True))))
