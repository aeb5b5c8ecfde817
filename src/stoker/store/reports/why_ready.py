"""Why a ready task is not running: what it needs that no worker, host or pool has to give just now."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from stoker.model.lease_kind import LeaseKind
from stoker.model.outpost import host_of, is_outpost, takes_any
from stoker.model.states import AttemptState, WorkerState
from stoker.model.worker import TimeLeft
from stoker.store import tables
from stoker.store.claims.capacity import Free, free_of, held_by, place_of
from stoker.store.claims.demand import needs_of
from stoker.store.claims.passing import FRESH_US
from stoker.store.claims.time_left import Fitting
from stoker.store.dialects.constructs import by_index
from stoker.store.ends.lost_hosts import GONE_S
from stoker.store.reports import why_outpost
from stoker.store.reports.why_pilots import Wants, pilot_reason
from stoker.store.steps import Catalog, StepEntry
from stoker.store.story_rows import Said
from stoker.store.times import moment
from stoker.store.unit import Unit

_T, _I, _S, _A, _W, _L, _SLOT, _TURN, _U = (
    tables.task, tables.item, tables.step, tables.attempt, tables.worker, tables.lane, tables.slot,
    tables.turn, tables.unsettled_step,
)  # fmt: skip
_BY_PILOTS = ("no_worker_fits", "no_time", "capacity")  # what further workers would help against
_SHOWN = 3  # workers, and holders of slots, that are named
_COUNTED = 10_000  # tasks before one; that there are more is all that is said of them
_LATELY = 200  # workers that are looked through for who had a tag


def shortage(unit: Unit, known: Catalog, entry: StepEntry, row: Any) -> Said:
    """Return the one reason why a task that is ready and due does not run; `row` is the task."""
    if unit.execute(select(_U.c.step_id).where(_U.c.step_id == entry.id)).first() is not None:
        text = "the tasks of its step are being brought to the pipeline's new version"
        return Said("new_version", text, "a worker goes on with it, as `stoker apply` does")
    alive = unit.execute(
        select(_W).where(_W.c.state == WorkerState.ALIVE.value, _W.c.lease_until_us >= unit.now_us)
    ).fetchall()
    if entry.outpost is not None:
        return _at_outpost(unit, known, entry, row, alive)
    alive = [one for one in alive if not is_outpost(one.host) or takes_any(one.host)]
    if row.host is not None:
        here = [one for one in alive if one.host == row.host]
        if not here:
            return _host_gone(entry, row.host)
        alive = here
    needs = _Needs(unit, known, entry, row)
    if not alive:
        return needs.pilot() or _nobody(unit, needs)
    fitting = [one for one in alive if needs.fit(one)]
    said = _of_workers(needs, fitting, alive)
    if said.kind in _BY_PILOTS:
        return needs.pilot(has_workers=said.kind == "capacity") or said
    return said


def _at_outpost(
    unit: Unit, known: Catalog, entry: StepEntry, row: Any, alive: Sequence[Any]
) -> Said:
    name = entry.outpost or ""
    needs = _Needs(unit, known, entry, row)
    there = [one for one in alive if one.host == host_of(name)]
    fitting = [one for one in there if needs.fit(one)]
    return (
        why_outpost.before_it(unit, name)
        or (needs.unfit(there) if there and not fitting else None)
        or needs.closed()
        or needs.pool_full({host_of(name)})
        or why_outpost.to_be_sent(name)
    )


def _of_workers(needs: "_Needs", fitting: Sequence[Any], alive: Sequence[Any]) -> Said:
    """Return what the workers that are alive lack, or are busy with."""
    return (
        (needs.unfit(alive) if not fitting else None)
        or _in_trouble(fitting)
        or needs.too_late(fitting)
        or needs.closed()
        or needs.out_of_turn({one.host for one in fitting})
        or needs.pool_full({one.host for one in fitting})
        or needs.kept({place_of(one.host, one.room_key) for one in fitting})
        or needs.capacity(fitting, alive)
    )


def _nobody(unit: Unit, needs: "_Needs") -> Said:
    """No worker is alive; and if one came as the last was, it could not run this either."""
    here = _W.c.lease_kind == LeaseKind.HEARTBEAT.value
    last = unit.execute(select(_W).where(here).order_by(_W.c.id.desc()).limit(1)).one_or_none()
    if last is not None:
        lacks = needs.pool_full({last.host}) if needs.fit(last) else needs.unfit([last])
        if lacks is not None and lacks.kind == "no_worker_fits":
            who = f"no worker is alive, and the last one (`{last.name}` on `{last.host}`)"
            return lacks._replace(text=f"{who} could not run it: {lacks.text}")
    return Said("no_worker", "no worker is alive", "start one: `stoker run`, or `stoker work`")


def _host_gone(entry: StepEntry, host: str) -> Said:
    name = entry.spec.together if entry.spec else None
    text = (
        f'it stays on `{host}`, where the first step of `together = "{name}"` ran, and no worker is '
        f"alive there; {GONE_S / 60:.0f} minutes after the last one it begins again elsewhere"
    )
    return Said("host_gone", text, f"start a worker on `{host}`, or wait")


def _in_trouble(workers: Sequence[Any]) -> Said | None:
    """What keeps every worker that fits from claiming."""
    if not all(one.trouble for one in workers):
        return None
    first = workers[0]
    text = f"worker `{first.name}` on `{first.host}` claims nothing: {first.trouble}"
    return Said("disk_full", text, "it goes on by itself when there is room")


def _tags(worker: Any) -> set[str]:
    return set(json.loads(worker.tags)) if worker.tags else set()


def _names(workers: Sequence[Any]) -> str:
    named = ", ".join(f"`{one.name}` on `{one.host}`" for one in workers[:_SHOWN])
    return named + (f" and {len(workers) - _SHOWN} more" if len(workers) > _SHOWN else "")


class _Needs:
    """What one task needs, held against what there is."""

    def __init__(self, unit: Unit, known: Catalog, entry: StepEntry, row: Any) -> None:
        self._unit = unit
        self._known = known
        self._row = row
        self._entry = entry
        lane = unit.execute(
            select(_L.c.cpus, _L.c.memory_bytes).where(_L.c.id == entry.pattern_at(row.level))
        ).one()
        self._needs = needs = needs_of(
            entry,
            lane.cpus,
            lane.memory_bytes,
            host_of(entry.outpost) if entry.outpost else row.host or "",
        )
        self._cpus, self._memory_bytes = needs.cpus, needs.memory_bytes
        self._tags, self._pools = needs.tags, needs.pools

    def pilot(self, *, has_workers: bool = False) -> Said | None:
        """What keeps it from a pilot; None where there are none to speak of."""
        spec = self._entry.spec
        whole = TimeLeft(math.inf, is_early=True)
        wants = Wants(
            cpus=self._cpus,
            memory_bytes=self._memory_bytes,
            tags=frozenset(self._tags),
            seconds=Fitting(self._unit, whole, "").needed_s(self._entry, self._row.size_bytes),
            timeout_s=None if spec is None else spec.timeout_s,
        )
        return pilot_reason(self._unit, wants, has_workers=has_workers)

    def fit(self, worker: Any) -> bool:
        """Whether the worker could run it, were nothing else running there."""
        return self._needs.are_met_by(
            host=worker.host,
            cpus=worker.slots,
            memory_bytes=worker.memory_bytes,
            tags=_tags(worker),
        )

    def unfit(self, workers: Sequence[Any]) -> Said:
        """What no worker that is alive has, or has enough of."""
        bigger = "start a worker on a bigger host, or lower"
        for tag in sorted(self._tags):
            if not any(tag in _tags(one) for one in workers):
                return self._untagged(tag)
        most_cpus = max(one.slots for one in workers)
        if self._cpus > most_cpus:
            text = f"it needs {self._cpus} cpus, and no worker has more than {most_cpus}"
            return Said("no_worker_fits", text, f"{bigger} `cpus`")
        most_bytes = max(one.memory_bytes for one in workers)
        if self._memory_bytes > most_bytes:
            need, most = self._memory_bytes / 2**30, most_bytes / 2**30
            text = f"it needs {need:.1f}G of memory, and no worker has more than {most:.1f}G"
            return Said("no_worker_fits", text, f"{bigger} `memory`")
        tagged = [one for one in workers if self._tags <= _tags(one)]
        who = f"; of its tags {_names(tagged)}" if self._tags and tagged else ""
        text = f"no one worker has all that it needs: {self._all()}{who}"
        return Said("no_worker_fits", text, "start a worker that has it all, or ask for less")

    def _all(self) -> str:
        parts = [f"{self._cpus} cpus"]
        if self._memory_bytes:
            parts.append(f"{self._memory_bytes / 2**30:.1f}G of memory")
        return ", ".join([*parts, *(f"tag `{tag}`" for tag in sorted(self._tags))])

    def _untagged(self, tag: str) -> Said:
        text = f"it needs a worker with the tag `{tag}`, and none that is alive has it"
        lately = self._unit.execute(select(_W).order_by(_W.c.id.desc()).limit(_LATELY))
        had = next((one for one in lately if tag in _tags(one)), None)
        if had is not None:
            text += f"; `{had.name}` on `{had.host}` had it last"
        return Said("no_worker_fits", text, f"start one that has it: `stoker work --tags {tag}`")

    def too_late(self, workers: Sequence[Any]) -> Said | None:
        """No worker that fits has the time left that it needs."""
        now_us = self._unit.now_us
        if not all(one.stops_us for one in workers):
            return None
        left = [
            TimeLeft(
                (one.stops_us - now_us) / 1e6,
                is_early=now_us < (one.started_us + one.stops_us) / 2,
            )
            for one in workers
        ]
        fitting = [
            Fitting(self._unit, one, worker.host) for one, worker in zip(left, workers, strict=True)
        ]
        if any(one.holds(self._entry, self._row.size_bytes) for one in fitting):
            return None
        most_s = max(max(one.usable_s, 0.0) for one in left)
        needed_s = min(one.needed_s(self._entry, self._row.size_bytes) or 0.0 for one in fitting)
        if not needed_s:
            text = (
                "how long it takes is not known yet, so that it begins in the first half of a worker's "
                f"time only; of that none has any left, and {_time(most_s)} at most of all"
            )
            return Said("no_time", text, "start another worker, or set the step's `timeout`")
        text = f"it takes up to {_time(needed_s)}, and no worker has more than {_time(most_s)} left"
        whole_s = max((one.stops_us - one.started_us) / 1e6 for one in workers)
        if needed_s <= whole_s:
            return Said("no_time", text, "start another worker")
        text += f", nor had {_time(whole_s)} when it began"
        return Said("no_time", text, "give workers more time, or set the step's `timeout`")

    def closed(self) -> Said | None:
        """A pool that is outside its hours, and when it opens."""
        closed = self._known.sharing.closed(self._unit.now_us)
        for pool in sorted(closed.keys() & self._pools.keys()):
            opens = moment(closed[pool]).astimezone().strftime("%Y-%m-%d %H:%M")
            hours = self._known.sharing.declared[pool].hours
            text = f"pool `{pool}` is open {hours}, the next time from {opens}"
            return Said("outside_hours", text, "wait, or change its hours in `[pools]`")
        return None

    def out_of_turn(self, hosts: set[str]) -> Said | None:
        """A pool of which as many attempts have begun within a minute on these hosts as may."""
        for name in sorted(self._pools):
            pool = self._known.sharing.declared.get(name)
            if pool is None or pool.per_minute is None:
                continue
            query = select(func.min(_TURN.c.free_us)).where(_TURN.c.pool == name)
            query = query.where(_TURN.c.host.in_(["", *sorted(hosts)]))
            next_us = self._unit.execute(query).scalar()
            if next_us is not None and next_us > self._unit.now_us:
                at = moment(next_us).astimezone().strftime("%H:%M:%S")
                text = (
                    f"pool `{name}` lets {pool.per_minute} attempts begin in a minute, and so many "
                    f"have; the next may at {at}"
                )
                return Said("rate", text, "wait, or raise `per_minute` in `[pools]`")
        return None

    def pool_full(self, hosts: set[str]) -> Said | None:
        """The first pool that has too few free slots on these hosts, and who holds them."""
        for pool, n in sorted(self._pools.items()):
            rows = self._unit.execute(
                select(_SLOT.c.host, _SLOT.c.attempt, _I.c.key, _S.c.name.label("step"))
                .select_from(
                    _SLOT.outerjoin(_A, _A.c.id == _SLOT.c.attempt)
                    .outerjoin(_T, _T.c.id == _A.c.task_id)
                    .outerjoin(_I, _I.c.id == _T.c.item_id)
                    .outerjoin(_S, _S.c.id == _T.c.step_id)
                )
                .where(_SLOT.c.pool == pool, ~_SLOT.c.is_retired)
            ).fetchall()
            places: dict[str, list[Any]] = {}
            for row in rows:
                if not row.host or row.host in hosts:
                    places.setdefault(row.host, []).append(row)
            most = max((len(several) for several in places.values()), default=0)
            if most < n:
                text = f"it needs {n} of pool `{pool}`, which has {most}"
                do = f"`stoker pool set {pool} {n}`, or lower what it needs"
                return Said("no_worker_fits", text, do)
            held = [
                row for several in places.values() for row in several if row.attempt is not None
            ]
            free = max(sum(row.attempt is None for row in several) for several in places.values())
            if free < n:
                total = sum(len(several) for several in places.values())
                holders = ", ".join(f"`{one.key}` ({one.step})" for one in held[:_SHOWN])
                more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
                text = f"pool `{pool}` is full: {len(held)} of {total} held by {holders}{more}"
                if free:
                    text += f"; it needs {n} at once"
                return Said("pool_full", text, "wait, or `stoker pool` shows who holds what")
        return None

    def kept(self, places: set[str]) -> Said | None:
        """A larger task that was passed over for so long that a place keeps its cpus for it now."""
        fresh_us = self._unit.now_us - FRESH_US
        row = self._unit.execute(
            select(_S.c.name, _L.c.kept_by, _L.c.passed_us, _L.c.id)
            .join(_S, _S.c.id == _L.c.step_id)
            .where(_L.c.kept_by.in_(places), _L.c.seen_us >= fresh_us)
            .limit(1)
        ).one_or_none()
        if row is None or places - {row.kept_by}:
            return None
        since = moment(row.passed_us).astimezone().strftime("%H:%M:%S")
        if row.id == self._row.lane:
            text = f"`{row.kept_by}` keeps what becomes free for it, since {since}"
            return Said("next", text + ", and begins nothing that comes after it")
        text = f"`{row.kept_by}` keeps what becomes free for step `{row.name}`, passed over since {since}"
        return Said("kept", text, "wait: it goes on when that has begun")

    def capacity(self, workers: Sequence[Any], alive: Sequence[Any]) -> Said:
        """How busy the workers that fit are, and how much comes before it."""
        held = held_by(self._unit, [one.id for one in alive])
        free = {one.id: free_of(one, alive, held) for one in workers}
        if any(
            one.cpus >= self._cpus and one.memory_bytes >= self._memory_bytes
            for one in free.values()
        ):
            return Said("next", "it is ready, and a worker with room takes it within seconds")
        slots = sum(one.slots for one in workers)
        busy = sum(min(held.get(one.id, (0, 0))[0], one.slots) for one in workers)
        if busy < slots:
            text = self._crowded(workers, alive, free, held)
        else:
            who = (
                ""
                if len(workers) == len(alive)
                else f" of the workers that fit ({_names(workers)})"
            )
            text = f"all {slots} slots{who} are busy with {self._running(workers)} attempts"
        ahead = self._ahead()
        if ahead:
            many = f"{ahead:,}" if ahead <= _COUNTED else f"more than {_COUNTED:,}"
            text += f", and {many} tasks come before it"
        if self._known.sharing.shares.by is not None:
            text += f"; each {self._known.sharing.shares.by} gets its share"
        return Said("capacity", text)

    def _crowded(
        self,
        workers: Sequence[Any],
        alive: Sequence[Any],
        free: Mapping[int, Free],
        held: Mapping[int, tuple[int, int]],
    ) -> str:
        """Workers that fit have slots free, but not the cpus or the memory for it."""
        first = max(workers, key=lambda one: one.slots - held.get(one.id, (0, 0))[0])
        place = place_of(first.host, first.room_key)
        others = [
            one
            for one in alive
            if one.id != first.id and one.id in held and place_of(one.host, one.room_key) == place
        ]
        by = f", filled by {_names(others)}" if others else ""
        if free[first.id].cpus < self._cpus:
            has = _cpus_of(max(free[first.id].cpus, 0))
            return f"it needs {_cpus_of(self._cpus)}; on `{place}` worker `{first.name}` has {has} left{by}"
        gib = max(free[first.id].memory_bytes, 0) / 2**30
        return (
            f"it needs {self._memory_bytes / 2**30:.1f}G of memory; on `{place}` worker "
            f"`{first.name}` has {gib:.1f}G left{by}"
        )

    def _running(self, workers: Sequence[Any]) -> int:
        """How many attempts these workers hold."""
        ids = [one.id for one in workers]
        running = (_A.c.state == AttemptState.RUNNING.value) & _A.c.worker_id.in_(ids)
        return int(self._unit.execute(select(func.count()).where(running)).scalar_one())

    def _ahead(self) -> int:
        """How many tasks come before it, counted so far as that matters."""
        lanes = self._unit.execute(select(_L.c.id)).scalars().all()  # named: ranges of an index
        before = select(_T.c.id).where(_T.c.lane.in_(lanes), _T.c.okey < self._row.okey)
        some = by_index(before, _T, "task_lane").limit(_COUNTED + 1).subquery()
        return int(self._unit.execute(select(func.count()).select_from(some)).scalar_one())


def _time(s: float) -> str:
    """Return a time for people: `40 s`, `12 min`, `3.2 h`."""
    if s < 120:
        return f"{s:.0f} s"
    return f"{s / 60:.0f} min" if s < 7200 else f"{s / 3600:.1f} h"


def _cpus_of(n: int) -> str:
    """Return `1 cpu`, `2 cpus`."""
    return f"{n} cpu" if n == 1 else f"{n} cpus"
