"""What hosts and steps did in a window of time: attempt by attempt, or by how busy they were.

Whatever the store holds, a bounded part of it is read: attempts by their ids, which ascend with time,
as long as the window has few of them; and otherwise hours and days that were counted before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, func, literal_column, or_, select

from stoker.model.states import AttemptState, WorkerState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.columns import Big
from stoker.store.forecasts import activity
from stoker.store.forecasts.freshness import catch_up
from stoker.store.ids import first_attempt_id, text_of
from stoker.store.reports.bin_widths import width_for
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

BARS = 1_500  # attempts that are shown one by one
LIGHT = 8_000  # attempts of a window that are read; with more, it is hours and days
BACK = 2_000  # attempts before the window that are looked through for those that reach into it
ROWS = 25  # hosts or steps on a page
BINS = 96  # of a window, at most
FOLD_LIMIT_S, LEARN_LIMIT_S = 1.0, 0.2
SEEKS = 200  # hosts or steps that are looked for at most, to find those that did anything
_HOURS_SUFFICE_US = 2 * 86_400_000_000  # a longer window is drawn well by hours
_LONG_US = 20 * 86_400_000_000  # a longer window is read by days
_AT_ONCE = 500
_A, _T, _I, _W, _N = tables.attempt, tables.task, tables.item, tables.worker, tables.activity


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One attempt. `end_us` is None while it runs."""

    id: str
    state: str
    pipeline: str
    step: str
    step_id: int
    item: str
    task_id: int
    host: str
    begin_us: int
    end_us: int | None


@dataclass(slots=True)
class Bin:
    """What happened between `at_us` and the next: ends, and how long attempts ran, together."""

    at_us: int
    done: int = 0
    failed: int = 0
    other: int = 0
    busy_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A worker, and from when to when it was there; None: it still is."""

    host: str
    slots: int
    begin_us: int
    end_us: int | None
    is_dead: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A host or a step: its attempts, or how busy it was."""

    name: str
    bars: Sequence[Bar] = ()
    bins: Sequence[Bin] = ()
    workers: Sequence[Alive] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A window of time. `form` is how it is read: `attempts`, `bins` of them, or `tallies`.

    `width_us` is that of a bin. `after` continues with further rows; None: there are none. `is_cut`:
    attempts that began long before the window may be missing. `first_us` is when the first attempt
    was claimed; None: none was.
    """

    begin_us: int
    end_us: int
    now_us: int
    first_us: int | None
    form: str
    rows: Sequence[Row]
    width_us: int = 0
    after: str | None = None
    is_cut: bool = False
    n_attempts: int | None = None
    bars: Sequence[Bar] = field(default=(), repr=False)


def extent(store: "Store") -> tuple[int | None, int]:
    """Return when the first attempt was claimed (None: none was), and the time by the store's clock."""
    with store.reading() as unit:
        return _first_us(unit), unit.now_us


def timeline(
    store: "Store", begin_us: int, end_us: int, *, by_step: bool = False, after: str | None = None
) -> Timeline:
    """Return what was done in the window, by hosts or by steps; those behind `after`, by name."""
    catch_up(store, fold_s=FOLD_LIMIT_S, activity_s=LEARN_LIMIT_S)
    with store.reading() as unit:
        window = _Window(unit, begin_us, end_us, by_step=by_step, after=after)
        return window.read()


class _Window:
    """One reading of a window."""

    def __init__(
        self, unit: Unit, begin_us: int, end_us: int, *, by_step: bool, after: str | None
    ) -> None:
        self.unit, self.begin_us, self.end_us = unit, begin_us, end_us
        self.by_step, self.after = by_step, after
        self.known = catalog(unit)
        self.is_cut = False

    def read(self) -> Timeline:
        common: dict[str, Any] = {
            "begin_us": self.begin_us,
            "end_us": self.end_us,
            "now_us": self.unit.now_us,
            "first_us": _first_us(self.unit),
        }
        rows = self._light()
        if rows is None:
            width_us, found, after = self._tallies()
            return Timeline(**common, form="tallies", rows=found, width_us=width_us, after=after)
        hosts = _hosts(self.unit, {row.worker_id for row in rows})
        common |= {"is_cut": self.is_cut, "n_attempts": len(rows)}
        if len(rows) > BARS:
            width_us = width_for(self.begin_us, self.end_us, BINS)
            named = self._bins(rows, hosts, width_us)
            found, after = self._page({name: Row(name=name, bins=b) for name, b in named.items()})
            return Timeline(**common, form="bins", rows=found, width_us=width_us, after=after)
        bars = self._bars(rows, hosts)
        of: dict[str, list[Bar]] = {}
        for bar in bars:
            of.setdefault(f"{bar.pipeline} {bar.step}" if self.by_step else bar.host, []).append(
                bar
            )
        workers: dict[str, list[Alive]] = {}
        if not self.by_step:
            for one in self._present(hosts):
                workers.setdefault(one.host, []).append(one)
        named_rows = {
            name: Row(name=name, bars=of.get(name, ()), workers=workers.get(name, ()))
            for name in of.keys() | workers.keys()
        }
        found, after = self._page(named_rows)
        return Timeline(**common, form="attempts", rows=found, after=after, bars=bars)

    def _page(self, rows: Mapping[str, Row]) -> tuple[list[Row], str | None]:
        names = sorted(name for name in rows if self.after is None or name > self.after)
        shown = names[:ROWS]
        return [rows[name] for name in shown], shown[-1] if len(names) > ROWS else None

    def _light(self) -> list[Any] | None:
        """Return the attempts that ran in the window; None where there are too many."""
        unit, first = self.unit, first_attempt_id(self.begin_us)
        # Claimed in it, by the clock of the worker's host, which may differ a little from ours.
        within = (_A.c.id >= first, _A.c.id < first_attempt_id(self.end_us))
        most = LIGHT if self.end_us - self.begin_us < _HOURS_SUFFICE_US else BARS
        # Counted first: the rows of too many would cost more than the page has time for.
        if self._n_ids(select(_A.c.id).where(*within).order_by(_A.c.id), most + 1) > most:
            return None
        rows = list(unit.execute(select(*_LIGHT).where(*within).order_by(_A.c.id)).fetchall())
        before = select(*_LIGHT).where(_A.c.id < first).order_by(_A.c.id.desc())
        some = before.limit(BACK).subquery()
        reaches = or_(some.c.ended_us.is_(None), some.c.ended_us >= self.begin_us)
        earlier = unit.execute(select(some).where(reaches).limit(BACK)).fetchall()
        self.is_cut = self._n_ids(before.with_only_columns(_A.c.id), BACK) == BACK
        running = select(*_LIGHT).where(_A.c.state == AttemptState.RUNNING.value).limit(LIGHT)
        rows += earlier
        rows += unit.execute(running).fetchall()
        found = {bytes(row.id): row for row in rows if self._touches(row)}
        return [found[one] for one in sorted(found)]

    def _n_ids(self, ids: Select[Any], most: int) -> int:
        """Return how many these are, at most so many."""
        query = select(func.count()).select_from(ids.limit(most).subquery())
        return int(self.unit.execute(query).scalar_one())

    def _touches(self, row: Any) -> bool:
        begin_us, end_us = _span(row)
        if row.kind != 0 or (row.started_us is None and row.ended_us is not None):
            return False
        return begin_us < self.end_us and (end_us is None or end_us >= self.begin_us)

    def _bars(self, rows: Sequence[Any], hosts: Mapping[int, Any]) -> list[Bar]:
        tasks: dict[int, Any] = {}
        ids = sorted({row.task_id for row in rows})
        query = select(_T.c.id, _T.c.step_id, _I.c.key).join(_I, _I.c.id == _T.c.item_id)
        for some in _pieces(ids):
            found = self.unit.execute(query.where(_T.c.id.in_(some))).fetchall()
            tasks |= {row.id: row for row in found}
        bars = []
        for row in rows:
            task = tasks.get(row.task_id)
            if task is None:
                continue  # it was forgotten meanwhile
            entry = self.known.steps[task.step_id]
            begin_us, end_us = _span(row)
            bars.append(
                Bar(
                    id=text_of(bytes(row.id)),
                    state=AttemptState(row.state).word,
                    pipeline=entry.pipeline,
                    step=entry.name,
                    step_id=entry.id,
                    item=task.key,
                    task_id=row.task_id,
                    host=_host(hosts, row),
                    begin_us=begin_us,
                    end_us=end_us,
                )
            )
        return bars

    def _bins(
        self, rows: Sequence[Any], hosts: Mapping[int, Any], width_us: int
    ) -> dict[str, list[Bin]]:
        """Return how busy each host or step was, computed from the attempts themselves."""
        steps = self._steps_of(rows) if self.by_step else {}
        found: dict[str, dict[int, Bin]] = {}
        for row in rows:
            name = steps.get(row.task_id, "") if self.by_step else _host(hosts, row)
            mine = found.setdefault(name, {})
            begin_us, end_us = _span(row)
            until_us = min(self.unit.now_us if end_us is None else end_us, self.end_us)
            since_us = max(begin_us, self.begin_us)
            for at_us, busy_us in activity.shares(since_us, until_us, width_us):
                mine.setdefault(at_us, Bin(at_us)).busy_us += busy_us
            if end_us is not None and self.begin_us <= end_us < self.end_us:
                at_us = end_us - end_us % width_us
                _count(mine.setdefault(at_us, Bin(at_us)), row.state)
        return {name: [mine[at] for at in sorted(mine)] for name, mine in found.items()}

    def _steps_of(self, rows: Sequence[Any]) -> dict[int, str]:
        found: dict[int, str] = {}
        for some in _pieces(sorted({row.task_id for row in rows})):
            query = select(_T.c.id, _T.c.step_id).where(_T.c.id.in_(some))
            for row in self.unit.execute(query).fetchall():
                found[row.id] = self._step_name(row.step_id)
        return found

    def _step_name(self, step_id: int) -> str:
        entry = self.known.steps.get(step_id)
        return f"{entry.pipeline} {entry.name}" if entry is not None else f"step {step_id}"

    def _present(self, hosts: Mapping[int, Any]) -> list[Alive]:
        """Return the workers that were there in the window, as far as attempts or leases show them."""
        alive = select(*_WORKER).where(_W.c.state == WorkerState.ALIVE.value).limit(LIGHT)
        rows = {row.id: row for row in self.unit.execute(alive).fetchall()} | dict(hosts)
        return [
            Alive(
                host=row.host,
                slots=row.slots,
                begin_us=row.started_us,
                end_us=row.ended_us,
                is_dead=row.state == WorkerState.DEAD,
            )
            for row in sorted(rows.values(), key=lambda row: (row.started_us, row.id))
            if row.started_us < self.end_us
            and (row.ended_us is None or row.ended_us >= self.begin_us)
        ]

    def _tallies(self) -> tuple[int, list[Row], str | None]:
        """Return how busy each host or step was, from what was counted before."""
        is_long = self.end_us - self.begin_us > _LONG_US
        is_old = self.begin_us < self.unit.now_us - activity.HOURS_KEPT_US
        level = activity.DAYS if is_long or is_old else activity.HOURS
        width_us = max(width_for(self.begin_us, self.end_us, BINS), activity.WIDTH_US[level])
        kind = activity.STEP if self.by_step else activity.HOST
        found: dict[str, list[Bin]] = {}
        last, is_last = self.after, False
        for _ in range(SEEKS // ROWS):
            subjects, is_last = self._subjects(kind, level, last)
            found |= self._counted(kind, level, subjects, width_us)
            last = subjects[-1] if subjects else last
            if is_last or len(found) > ROWS:
                break
        shown = list(found)[:ROWS]
        names = [self._step_name(int(one)) if self.by_step else one for one in shown]
        rows = [Row(name=name, bins=found[one]) for name, one in zip(names, shown, strict=True)]
        if len(found) > ROWS:
            last = shown[-1]
        return width_us, rows, None if is_last and len(found) <= ROWS else last

    def _subjects(self, kind: int, level: int, last: str | None) -> tuple[list[str], bool]:
        """Return the next subjects behind that one, and whether there are no others."""
        found: list[str] = []
        while len(found) <= ROWS:
            subject = self.unit.execute(_next_subject(kind, level, last)).scalar()
            if subject is None:
                return found, True
            found.append(subject)
            last = subject
        return found, False

    def _counted(
        self, kind: int, level: int, subjects: Sequence[str], width_us: int
    ) -> dict[str, list[Bin]]:
        """Return the bins of those that did anything in the window."""
        # A number in the text: a parameter in each place would be another expression to PostgreSQL.
        width: ColumnElement[int] = literal_column(str(width_us), Big)
        begins: ColumnElement[int] = _N.c.at_us - _N.c.at_us % width
        sums = [func.sum(one) for one in (_N.c.done, _N.c.failed, _N.c.other, _N.c.busy_us)]
        query = (
            select(_N.c.subject, begins.label("begins"), *sums)
            .where(
                _N.c.kind == kind,
                _N.c.level == level,
                _N.c.subject.in_(subjects),
                _N.c.at_us >= self.begin_us - self.begin_us % width_us,
                _N.c.at_us < self.end_us,
            )
            .group_by(_N.c.subject, begins)
            .order_by(_N.c.subject, begins)
        )
        found: dict[str, list[Bin]] = {}
        for subject, *row in self.unit.execute(query).fetchall():
            found.setdefault(subject, []).append(Bin(*(int(one) for one in row)))
        return found


_LIGHT = (
    _A.c.id, _A.c.kind, _A.c.state, _A.c.worker_id, _A.c.task_id, _A.c.claimed_us, _A.c.started_us,
    _A.c.ended_us,
)  # fmt: skip
_WORKER = (_W.c.id, _W.c.host, _W.c.slots, _W.c.started_us, _W.c.ended_us, _W.c.state)


def _next_subject(kind: int, level: int, after: str | None) -> Any:
    where = [_N.c.kind == kind, _N.c.level == level]
    where += [] if after is None else [_N.c.subject > after]
    return select(_N.c.subject).where(*where).order_by(_N.c.subject, _N.c.at_us).limit(1)


def _first_us(unit: Unit) -> int | None:
    """Return when the first attempt was claimed, which its id says."""
    query = select(_A.c.id).where(_A.c.id >= first_attempt_id(0)).order_by(_A.c.id).limit(1)
    found = unit.execute(query).scalar()
    return None if found is None else (int.from_bytes(bytes(found), "big") >> 80) * 1_000


def _hosts(unit: Unit, ids: Iterable[int | None]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for some in _pieces(sorted(one for one in ids if one is not None)):
        rows = unit.execute(select(*_WORKER).where(_W.c.id.in_(some))).fetchall()
        found |= {row.id: row for row in rows}
    return found


def _host(hosts: Mapping[int, Any], row: Any) -> str:
    found = hosts.get(row.worker_id)
    return "" if found is None else str(found.host)


def _span(row: Any) -> tuple[int, int | None]:
    """Return from when to when an attempt ran; one that has not begun, from its claim."""
    begin_us = row.claimed_us if row.started_us is None else row.started_us
    return begin_us, None if row.ended_us is None else max(row.ended_us, begin_us)


def _count(one: Bin, state: int) -> None:
    if state == AttemptState.SUCCEEDED:
        one.done += 1
    elif state in activity.FAILED:
        one.failed += 1
    else:
        one.other += 1


def _pieces(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    for at in range(0, len(ids), _AT_ONCE):
        yield ids[at : at + _AT_ONCE]
