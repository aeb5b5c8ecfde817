"""Why a host did nothing for a while: from the record of what ended the gap, never by guessing.

A gap ends with an attempt. If its task became ready only then, there was nothing to do before; if it had
been ready, its pool, its hours or its back-off may say why it waited. Else the gap has no reason here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.reports.timeline import Alive, Bar, Row, Timeline

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

GAPS = 8  # of a host, the longest
ALL = 80  # gaps of a page that are looked into
_LEAST = 0.01  # of the window: shorter gaps are not worth a word
_SLACK_US = 2_000_000  # within which a task is claimed that has become ready
_AT_ONCE = 500

_A, _T, _I, _TALLY = tables.attempt, tables.task, tables.item, tables.tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which a host did nothing, and why, in words."""

    begin_us: int
    end_us: int
    kind: str  # away | nothing_ready | pool | hours | back_off | unknown
    why: str


class _Open(NamedTuple):
    """A gap that is still to be looked into; `bar` is the attempt that ended it."""

    host: str
    begin_us: int
    end_us: int
    bar: Bar | None


class _Ready(NamedTuple):
    """When a task became ready at the latest, and by what."""

    at_us: int
    by: str
    is_retry: bool


def gaps_of(store: "Store", seen: Timeline) -> dict[str, list[Gap]]:
    """Return the longest times in which each host of the page did nothing, with their reasons."""
    least_us = int((seen.end_us - seen.begin_us) * _LEAST)
    until_us = min(seen.end_us, seen.now_us)
    found: dict[str, list[Gap]] = {}
    opened: list[_Open] = []
    for row in seen.rows:
        mine = found.setdefault(row.name, [])
        free = [
            one
            for one in _free(row, seen.begin_us, until_us, seen.now_us)
            if one.end_us - one.begin_us >= max(least_us, 1)
        ]
        free.sort(key=lambda one: one.begin_us - one.end_us)
        for one in free[:GAPS]:
            away = _away(row, one, until_us)
            if away is not None:
                mine.append(away)
            else:
                opened.append(one)
    opened.sort(key=lambda one: one.begin_us - one.end_us)
    with store.reading() as unit:
        looked = _Reasons(unit, seen, opened[:ALL])
        for one in opened[:ALL]:
            found[one.host].append(looked.reason(one))
    return {host: sorted(gaps, key=lambda gap: gap.begin_us) for host, gaps in found.items()}


def _free(row: Row, begin_us: int, until_us: int, now_us: int) -> Iterator[_Open]:
    """Yield the times between attempts; the last one may be open."""
    at_us = begin_us
    for bar in sorted(row.bars, key=lambda bar: bar.begin_us):
        if bar.begin_us > at_us:
            yield _Open(row.name, at_us, min(bar.begin_us, until_us), bar)
        at_us = max(at_us, now_us if bar.end_us is None else bar.end_us)
    if at_us < until_us:
        yield _Open(row.name, at_us, until_us, None)


def _away(row: Row, one: _Open, until_us: int) -> Gap | None:
    """Return the gap if no worker was there for most of it."""
    there_us, at_us = 0, one.begin_us
    before: Alive | None = None
    for worker in row.workers:
        end_us = until_us if worker.end_us is None else worker.end_us
        low, high = max(at_us, worker.begin_us), min(one.end_us, end_us)
        if high > low:
            there_us += high - low
            at_us = high
        if worker.end_us is not None and worker.end_us <= one.begin_us + _SLACK_US:
            before = worker
    if 2 * there_us > one.end_us - one.begin_us:
        return None
    why = "no worker ran on this host"
    if before is not None:
        why += ": the last one died or lost its lease" if before.is_dead else ": it had ended"
    return Gap(begin_us=one.begin_us, end_us=one.end_us, kind="away", why=why)


class _Reasons:
    """What is on record of the tasks whose attempts ended gaps, read in a few statements."""

    def __init__(self, unit: "Unit", seen: Timeline, gaps: Sequence[_Open]) -> None:
        self.known = catalog(unit)
        self.seen = seen
        bars = [one.bar for one in gaps if one.bar is not None]
        self.ready = _ready(unit, bars)
        ready_now = select(func.sum(_TALLY.c.n)).where(_TALLY.c.state == TaskState.READY.value)
        self.n_ready = int(unit.execute(ready_now).scalar() or 0)

    def reason(self, one: _Open) -> Gap:
        kind, why = self._of_now(one) if one.bar is None else self._of_task(one, one.bar)
        return Gap(begin_us=one.begin_us, end_us=one.end_us, kind=kind, why=why)

    def _of_now(self, one: _Open) -> tuple[str, str]:
        if one.end_us < self.seen.now_us - _SLACK_US:
            return "unknown", "nothing began here before the window ends; look at a later one"
        if self.n_ready == 0:
            return "nothing_ready", "no task is ready"
        return "unknown", "tasks are ready, and none of them starts here; their pages say why"

    def _of_task(self, one: _Open, bar: Bar) -> tuple[str, str]:
        what = f"step {bar.step} of {bar.item[:80]}"
        ready = self.ready.get(bar.task_id)
        if ready is not None and ready.at_us >= one.end_us - self._slack_us(one):
            if ready.is_retry:
                return "back_off", f"{what} was tried again, after a failure"
            return "nothing_ready", f"nothing was ready until {ready.by}"
        spec = self.known.steps[bar.step_id].spec
        middle_us = (one.begin_us + one.end_us) // 2
        for name, n in (spec.pools if spec is not None else {}).items():
            pool = self.known.sharing.pool(name)
            if pool is None:
                continue
            if pool.hours is not None and not pool.hours.is_open(middle_us):
                return "hours", f"{what} waited for the hours of pool {name}, {pool.hours}"
            used = self._used(name, middle_us, bar.host if pool.is_per_host else None)
            if used + n > len(pool.slots):
                return "pool", f"{what} waited for pool {name}: {used} of {len(pool.slots)} in use"
        if ready is not None and ready.is_retry:
            return "back_off", f"{what} waited to be tried again, after a failure"
        return "unknown", (
            f"{what} was ready before; it may have waited for memory, cpus or its turn"
        )

    def _slack_us(self, one: _Open) -> int:
        return max(_SLACK_US, (one.end_us - one.begin_us) // 10)

    def _used(self, pool: str, at_us: int, host: str | None) -> int:
        """Return how many of the pool's slots the attempts of the window held then."""
        used = 0
        for bar in self.seen.bars:
            is_there = bar.begin_us <= at_us and (bar.end_us is None or bar.end_us > at_us)
            spec = self.known.steps[bar.step_id].spec
            if is_there and spec is not None and host in (None, bar.host):
                used += spec.pools.get(pool, 0)
        return used


def _ready(unit: "Unit", bars: Sequence[Bar]) -> Mapping[int, _Ready]:
    """Return when the bars' tasks became ready: by the last end of what they waited for.

    That is an earlier attempt of the same task, an attempt of a step before it, or the item's coming.
    """
    known = catalog(unit)
    came, siblings = _items_of(unit, [bar.task_id for bar in bars])
    ends = _ends(unit, [task for several in siblings.values() for task, _ in several])
    found: dict[int, _Ready] = {}
    for bar in bars:
        if bar.task_id not in came:
            continue  # it was forgotten meanwhile
        at_us = came[bar.task_id]
        best = _Ready(at_us, f"item {bar.item[:80]} was registered", is_retry=False)
        before = known.steps[bar.step_id].predecessors
        for other, step_id in siblings[bar.task_id]:
            is_own = other == bar.task_id
            past = [at for at in ends.get(other, ()) if at <= bar.begin_us]
            if past and max(past) >= best.at_us and (is_own or step_id in before):
                by = f"step {known.steps[step_id].name} of {bar.item[:80]} had ended"
                best = _Ready(max(past), by, is_retry=is_own)
        found[bar.task_id] = best
    return found


def _items_of(
    unit: "Unit", ids: Sequence[int]
) -> tuple[dict[int, int], dict[int, list[tuple[int, int]]]]:
    """Return when the items of these tasks were registered, and all their tasks with their steps."""
    came: dict[int, int] = {}
    siblings: dict[int, list[tuple[int, int]]] = {}
    other = _T.alias()
    for some in _pieces(sorted(set(ids))):
        query = (
            select(_T.c.id, _I.c.registered_us, other.c.id.label("other"), other.c.step_id)
            .join(_I, _I.c.id == _T.c.item_id)
            .join(other, other.c.item_id == _T.c.item_id)
            .where(_T.c.id.in_(some))
        )
        for row in unit.execute(query).fetchall():
            came[row.id] = row.registered_us
            siblings.setdefault(row.id, []).append((row.other, row.step_id))
    return came, siblings


def _ends(unit: "Unit", tasks: Sequence[int]) -> dict[int, list[int]]:
    """Return when attempts of these tasks ended."""
    found: dict[int, list[int]] = {}
    for some in _pieces(sorted(set(tasks))):
        query = select(_A.c.task_id, _A.c.ended_us).where(
            _A.c.task_id.in_(some), _A.c.ended_us.is_not(None)
        )
        for row in unit.execute(query).fetchall():
            found.setdefault(row.task_id, []).append(row.ended_us)
    return found


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(ids), _AT_ONCE):
        yield ids[at : at + _AT_ONCE]
