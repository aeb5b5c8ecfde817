"""What comes before a task in the queue: by order alone, or with fair shares as workers give them out.

With shares it is foreseen as if all groups had had equally much of the workers so far, which is what
shares lead to. A look costs the same however many wait: of each group only so many tasks are counted.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select

from stoker.model.rank import order_key, priority_of
from stoker.model.shares import Shares
from stoker.store import tables
from stoker.store.steps import Catalog
from stoker.store.unit import Prepared, Unit, param, param_list

MOST = 1_000  # tasks before another that are counted, of each group
MOST_GROUPS = 50  # that are looked at
_T, _L = tables.task, tables.lane
_BEHIND_ALL = (1 << 63) - 1  # an id that no task has
_some_before = (
    select(_T.c.expected_ms)
    .where(
        _T.c.lane.in_(param_list("lanes")),
        _T.c.okey <= param("okey"),
        or_(_T.c.okey < param("okey"), _T.c.id < param("id_")),
    )
    .limit(param("limit"))
    .subquery()
)
_BEFORE = Prepared(
    select(func.count(), func.sum(_some_before.c.expected_ms)).select_from(_some_before)
)
_LANES = Prepared(
    select(_L.c.id, _L.c.share, _L.c.step_id).where(
        _L.c.share.is_not(None), _L.c.step_id.in_(param_list("steps"))
    )
)


@dataclass(frozen=True, slots=True)
class Ahead:
    """Tasks that come before another, and what they take. With `is_more` there are others still."""

    n: int
    work_s: float
    is_more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a task is that waits: its lane, its key in the order, and its id."""

    lane: int
    okey: int
    id: int


def ahead_of(unit: Unit, known: Catalog, place: Place, steps: Collection[int]) -> Ahead:
    """Return what comes before this task, of those of these steps, which wait for the same."""
    shares = known.sharing.shares
    groups: dict[str, list[int]] = {}
    own = ""
    for lane, share, step in unit.run(_LANES, steps=sorted(steps)).fetchall():
        group = shares.group(share, known.steps[step].pipeline)
        groups.setdefault(group, []).append(lane)
        own = group if lane == place.lane else own
    lanes = groups.pop(own, None) or [place.lane]
    if shares.by is None:
        return _counted(unit, lanes, place.okey, place.id)
    return _divided(unit, place, shares, (own, lanes), groups)


def _counted(unit: Unit, lanes: Sequence[int], okey: int, id_: int = _BEHIND_ALL) -> Ahead:
    n, sum_ms = unit.run(_BEFORE, lanes=lanes, okey=okey, id_=id_, limit=MOST).fetchone()
    return Ahead(n, float(sum_ms or 0) / 1000, n >= MOST)


def _divided(
    unit: Unit,
    place: Place,
    shares: Shares,
    mine: tuple[str, Sequence[int]],
    others: dict[str, list[int]],
) -> Ahead:
    """Return the same where groups take turns: what is more urgent first, then who has had less."""
    own, lanes = mine
    priority = priority_of(place.okey)
    urgent, equal = order_key(priority + 1, 0.0), order_key(priority, 0.0)
    before = _counted(unit, lanes, place.okey, place.id)
    had = before.n * _cost(shares, own, before)
    n, work_s, is_more = before.n, before.work_s, before.is_more or len(others) > MOST_GROUPS
    for group in sorted(others)[:MOST_GROUPS]:
        first, all_ = (_counted(unit, others[group], okey) for okey in (urgent, equal))
        taken = _taken(had / _cost(shares, group, all_), is_first=group < own)
        these = min(max(taken, first.n), all_.n)
        n += these
        work_s += all_.work_s * these / all_.n if all_.n else 0.0
        is_more = is_more or (all_.is_more and these >= all_.n)
    return Ahead(n, work_s, is_more)


def _cost(shares: Shares, group: str, seen: Ahead) -> float:
    """Return by how much a task puts its group ahead; of equal length where nothing is known."""
    mean_s = seen.work_s / seen.n if seen.n and seen.work_s else 1.0
    return mean_s / shares.weight(group)


def _taken(turns: float, *, is_first: bool) -> int:
    """Return how many a group has taken by then; of equals the first by name has its turn first."""
    whole = round(turns)
    if math.isclose(turns, whole, abs_tol=1e-9):
        return whole + is_first
    return math.ceil(turns)
