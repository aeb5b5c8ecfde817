"""How busy hosts and steps were, by hours and days: what timelines and rates are drawn from.

Learned from the journal behind its numbers, as estimates are, so that claims and ends cost no more. All
of it is derived: losing it loses nothing but the time to learn it again.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, insert, select, tuple_, update

from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

ROWS = 10_000  # of the journal, read at a time
HOST, STEP = 0, 1  # kinds of subjects
HOURS, DAYS = 0, 1  # levels
WIDTH_US: Mapping[int, int] = {HOURS: 3_600_000_000, DAYS: 86_400_000_000}
HOURS_KEPT_US = 400 * 86_400_000_000  # older ones are forgotten; those of days stay
MOST_BINS = 1_000  # of one attempt at one level: a clock that was set back by years fills no table
_AT_ONCE = 500

_A, _J, _H, _T, _W = tables.attempt, tables.journal, tables.head, tables.task, tables.worker
_N, _P = tables.activity, tables.activity_head
_ENDS = Prepared(
    select(_J.c.seq, _J.c.attempt).where(
        _J.c.origin == param("origin"),
        _J.c.epoch == param("epoch"),
        _J.c.seq > param("after"),
        _J.c.seq <= param("to"),
        _J.c.attempt.is_not(None),
        _J.c.event != "claim",
    )
)
_TOOK = Prepared(
    select(_A.c.id, _A.c.state, _A.c.started_us, _A.c.ended_us, _T.c.step_id, _W.c.host)
    .select_from(_A.join(_T, _T.c.id == _A.c.task_id).outerjoin(_W, _W.c.id == _A.c.worker_id))
    .where(_A.c.id.in_(param_list("attempts")), _A.c.kind == 0)
)
_ADD = Prepared(
    update(_N)
    .where(
        _N.c.kind == param("kind_"),
        _N.c.level == param("level_"),
        _N.c.subject == param("subject_"),
        _N.c.at_us == param("at_us_"),
    )
    .values(
        done=_N.c.done + param("done"),
        failed=_N.c.failed + param("failed"),
        other=_N.c.other + param("other"),
        busy_us=_N.c.busy_us + param("busy_us"),
    )
)
FAILED = (AttemptState.FAILED, AttemptState.TIMED_OUT, AttemptState.OUT_OF_MEMORY)


class Bin(NamedTuple):
    """An hour or a day of a host or a step."""

    kind: int
    level: int
    subject: str
    at_us: int


class Rate(NamedTuple):
    """Tasks that ended in an hour."""

    at_us: int
    done: int
    failed: int


class Took(NamedTuple):
    """One attempt that has ended: from when to when it ran, where, and how it ended."""

    state: int
    started_us: int
    ended_us: int
    step_id: int
    host: str


def catch_up(store: "Store", *, limit_s: float) -> bool:
    """What has ended is counted, as far as the time goes; return whether all of it is.

    The fold comes first: it numbers the rows.
    """
    until_s = time.monotonic() + limit_s
    while note(store):
        if time.monotonic() >= until_s:
            return False
    return True


def note(store: "Store") -> bool:
    """Take in what has ended since; return whether there is more. Reads first, then writes at once."""
    with store.reading() as unit:
        known = unit.execute(select(_P.c.seq).where(_P.c.epoch == store.epoch)).scalar()
        own = and_(_H.c.origin == store.site, _H.c.epoch == store.epoch)
        newest = unit.execute(select(_H.c.seq).where(own)).scalar_one()
        before = known or 0
        to = min(newest, before + ROWS)
        if to <= before:
            return False
        counts = counted(_ended(unit, before, to))
    _write(store, known, to, counts)
    return bool(to < newest)


def rates(store: "Store", *, hours: int) -> dict[str, list[Rate]]:
    """Return for each pipeline what ended in each of the last hours, the present one last.

    As far as it has been counted: a worker's housekeeping counts every few seconds.
    """
    from stoker.store.catalog import catalog

    width_us = WIDTH_US[HOURS]
    with store.reading() as unit:
        last_us = unit.now_us - unit.now_us % width_us
        first_us = last_us - (hours - 1) * width_us
        known = catalog(unit)
        names = {str(entry.id): entry.pipeline for entry in known.steps.values()}
        counts: dict[str, dict[int, list[int]]] = {}
        subjects = sorted(names)
        for at in range(0, len(subjects), _AT_ONCE):
            query = select(_N.c.subject, _N.c.at_us, _N.c.done, _N.c.failed).where(
                _N.c.kind == STEP,
                _N.c.level == HOURS,
                _N.c.subject.in_(subjects[at : at + _AT_ONCE]),
                _N.c.at_us >= first_us,
                _N.c.at_us <= last_us,
            )
            for row in unit.execute(query).fetchall():
                one = counts.setdefault(names[row.subject], {}).setdefault(row.at_us, [0, 0])
                one[0] += row.done
                one[1] += row.failed
    return {
        name: [
            Rate(first_us + n * width_us, *mine.get(first_us + n * width_us, (0, 0)))
            for n in range(hours)
        ]
        for name, mine in counts.items()
    }


def _ended(unit: Unit, after: int, to: int) -> Iterator[Took]:
    rows = unit.run(
        _ENDS, origin=unit.store.site, epoch=unit.store.epoch, after=after, to=to
    ).fetchall()
    ids = sorted({bytes(row[1]) for row in rows})
    for at in range(0, len(ids), _AT_ONCE):
        for row in unit.run(_TOOK, attempts=ids[at : at + _AT_ONCE]).fetchall():
            _id, state, started_us, ended_us, step_id, host = row
            if started_us is not None and ended_us is not None:
                yield Took(state, started_us, ended_us, step_id, host or "")


def counted(ended: Iterable[Took]) -> dict[Bin, list[int]]:
    """Return what these attempts add to each bin: done, failed, other, and microseconds busy."""
    found: dict[Bin, list[int]] = {}
    for one in ended:
        how = 0 if one.state == AttemptState.SUCCEEDED else 1 if one.state in FAILED else 2
        for kind, subject in ((HOST, one.host), (STEP, str(one.step_id))):
            for level, width_us in WIDTH_US.items():
                for at_us, busy_us in shares(one.started_us, one.ended_us, width_us):
                    found.setdefault(Bin(kind, level, subject, at_us), [0] * 4)[3] += busy_us
                last = Bin(kind, level, subject, one.ended_us - one.ended_us % width_us)
                found.setdefault(last, [0] * 4)[how] += 1
    return found


def shares(started_us: int, ended_us: int, width_us: int) -> Iterator[tuple[int, int]]:
    """Yield the beginning of each bin that the time touches, the last ones first, and its share."""
    at_us = ended_us - ended_us % width_us
    for _ in range(MOST_BINS):
        begin_us, end_us = max(started_us, at_us), min(ended_us, at_us + width_us)
        if end_us > begin_us:
            yield at_us, end_us - begin_us
        if begin_us <= started_us:
            return
        at_us -= width_us


@as_a_whole
def _write(store: "Store", known: int | None, to: int, counts: Mapping[Bin, Sequence[int]]) -> None:
    """The counts are in the store, unless another process has counted meanwhile."""
    with store.writing(durable=False) as unit:
        if known is None:
            there = unit.execute(select(_P.c.seq).where(_P.c.epoch == store.epoch)).scalar()
            if there is not None:
                return
            unit.execute(insert(_P).values(epoch=store.epoch, seq=to))
        else:
            ours = and_(_P.c.epoch == store.epoch, _P.c.seq == known)
            if not unit.execute(update(_P).where(ours).values(seq=to)).rowcount:
                return
        there_already = _there(unit, sorted(counts))
        rows = [(one, counts[one]) for one in sorted(counts)]
        unit.run_many(
            _ADD,
            [
                {
                    "kind_": one.kind, "level_": one.level, "subject_": one.subject,
                    "at_us_": one.at_us, "done": n[0], "failed": n[1], "other": n[2],
                    "busy_us": n[3],
                }
                for one, n in rows
                if one in there_already
            ],
        )  # fmt: skip
        unit.insert(
            _N,
            ("kind", "level", "subject", "at_us", "done", "failed", "other", "busy_us"),
            [(*one, *n) for one, n in rows if one not in there_already],
        )


def _there(unit: Unit, bins: Sequence[Bin]) -> set[Bin]:
    """Return which of these have a row."""
    key = tuple_(_N.c.kind, _N.c.level, _N.c.subject, _N.c.at_us)
    columns = (_N.c.kind, _N.c.level, _N.c.subject, _N.c.at_us)
    found: set[Bin] = set()
    for at in range(0, len(bins), _AT_ONCE):
        some: list[Any] = [tuple(one) for one in bins[at : at + _AT_ONCE]]
        rows = unit.execute(select(*columns).where(key.in_(some))).fetchall()
        found |= {Bin(*row) for row in rows}
    return found
