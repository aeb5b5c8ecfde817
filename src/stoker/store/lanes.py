"""The lanes of ready tasks: which one a task stands in, made when the first task needs it.

A lane is a step at a memory level, for the items that one user pushed, and for one host alone where
the item has to stay there. All that a task needs follows from its lane, so that a claim decides
once for all of its tasks. Each step has a pattern for each memory level; others are copies of it. A
lane is never removed, as tasks may stand in it.
"""

from sqlalchemy import insert, literal, select

from stoker.model.outpost import host_of
from stoker.store import tables
from stoker.store.steps import StepEntry
from stoker.store.unit import Prepared, Unit, param

_L, _N = tables.lane, tables.lane_need
_FIND = Prepared(
    select(_L.c.id).where(
        _L.c.step_id == param("step"),
        _L.c.level == param("level"),
        _L.c.share == param("share"),
        _L.c.host == param("host"),
    )
)


def lane_of(
    unit: Unit, entry: StepEntry, level: int, share: str, host: str | None = None
) -> int | None:
    """Return the lane of the step's tasks at that memory level, pushed by `share`, for `host` alone.

    A step that runs at an outpost has lanes for that alone. None for a step that never had a lane, or that belongs to another site: nobody here claims it.
    Part of the transaction that puts a task there.
    """
    if entry.is_foreign or not entry.patterns:
        return None
    if entry.outpost is not None:
        host = host_of(entry.outpost)
    level = min(level, len(entry.patterns) - 1)
    found = entry.lanes.get((level, share, host or ""))
    if found is None:
        key = (entry.id, level, share, host or "")
        found = unit.lanes.get(key)
        if found is None:
            found = unit.lanes[key] = _find(unit, key) or _make(unit, entry, key)
            unit.store.catalog = None
    return found


def _find(unit: Unit, key: tuple[int, int, str, str]) -> int | None:
    step, level, share, host = key
    row = unit.run(_FIND, step=step, level=level, share=share, host=host).fetchone()
    return None if row is None else int(row[0])


def _make(unit: Unit, entry: StepEntry, key: tuple[int, int, str, str]) -> int:
    _, level, share, host = key
    pattern = entry.pattern_at(level)
    same = select(_L.c.step_id, _L.c.level, _L.c.cpus, _L.c.memory_bytes)
    unit.execute(
        insert(_L).from_select(
            ["step_id", "level", "cpus", "memory_bytes", "share", "host"],
            same.add_columns(literal(share), literal(host)).where(_L.c.id == pattern),
        )
    )
    made = _find(unit, key) or 0
    needs = select(literal(made), _N.c.pool, _N.c.n).where(_N.c.lane_id == pattern)
    unit.execute(insert(_N).from_select(["lane_id", "pool", "n"], needs))
    return made
