"""How many pilots there are to be, and how many to submit now. Pure: numbers in, numbers out."""

import math
from collections.abc import Iterator, Mapping, Sequence

from stoker.model.batch import BatchSystem, Crew, Demand, Load, Manners, Pause, end_of_pilot_s
from stoker.model.states import PilotState
from stoker.store.pilots.entries import Entry
from stoker.store.pilots.pilots import Pilot
from stoker.store.pilots.submissions import Decision


def usable_s(system: BatchSystem, manners: Manners) -> float:
    """Return how much of a pilot's time attempts can have."""
    length_s = system.time_limit_s
    return max(length_s - end_of_pilot_s(length_s) - min(manners.start_up_s, length_s / 4), 0.0)


def can_run(load: Load, system: BatchSystem, manners: Manners) -> bool:
    """Whether a new pilot may take such tasks: by cpus, memory, tags and time."""
    usable = usable_s(system, manners)
    is_short = (
        load.well_s is None
        or load.well_s <= usable
        or (load.timeout_s is not None and load.timeout_s <= usable)
    )
    has_memory = system.memory_bytes is None or load.memory_bytes <= system.memory_bytes
    tags = frozenset(system.tags or ())
    return load.cpus <= system.cpus and has_memory and load.needs <= tags and is_short


def wanted(
    systems: Sequence[BatchSystem], demand: Demand, manners: Manners, *, out: Sequence[str] = ()
) -> dict[str, int]:
    """Return by batch system how many pilots the work wants, those that run included.

    Of several that could do the same, the first in the file gets it, and the next what the first has
    no room for. Those that are `out`, as they are held, get as much as if they were alone.
    """
    loads = [load for load in demand.loads if demand.closed.isdisjoint(load.pools)]
    left = dict.fromkeys(range(len(loads)), 1.0)  # the part of each load that is not provided for
    found = {}
    for system in systems:
        own = {at: part for at, part in left.items() if can_run(loads[at], system, manners)}
        n = _pilots(system, [(loads[at], part) for at, part in own.items()], demand, manners)
        found[system.name] = min(math.ceil(n), system.max_pilots)
        if n > 0 and system.name not in out:
            rest = max(0.0, 1.0 - system.max_pilots / n)
            for at in own:
                left[at] *= rest
        left = {at: part for at, part in left.items() if part > 0}
    return found


def _pilots(
    system: BatchSystem,
    loads: Sequence[tuple[Load, float]],
    demand: Demand,
    manners: Manners,
) -> float:
    """Return how many pilots these loads, and what its pilots are busy with, want: not rounded.

    As many as can be busy at the same time, but no more than it takes to be through within the span.
    Tasks of unknown length want one pilot together, which finds out. Workers that no pilot brought
    do their part.
    """
    mine = [(cpus, left_s) for name, cpus, left_s in demand.busy if name == system.name]
    wide = float(sum(cpus for cpus, _ in mine))
    work_s = sum(cpus * left_s for cpus, left_s in mine)
    unknown = 0.0
    for load, part in loads:
        n, cpus = load.n * part, _weight(load, system)
        width = min([n, *_most_at_once(load, demand.pools)]) * cpus
        if load.expected_s is None:
            unknown += width
        else:
            wide += width
            work_s += n * cpus * load.expected_s
    others = sum(crew.slots for crew in demand.crews if _is_of_use(crew, loads))
    span_s = max(min(manners.span_s, usable_s(system, manners)), 1.0)
    wide, work_s = max(wide - others, 0.0), max(work_s - others * span_s, 0.0)
    n = min(wide / system.cpus, work_s / (system.cpus * span_s))
    if n > 0:
        n = max(n, 1.0)
    return n + (1.0 if unknown > others else 0.0)


def _weight(load: Load, system: BatchSystem) -> float:
    """Return how many of a pilot's cpus one task takes, by its memory where that is the larger part."""
    if not system.memory_bytes:
        return load.cpus
    return max(load.cpus, load.memory_bytes / system.memory_bytes * system.cpus)


def _most_at_once(load: Load, pools: Mapping[str, int]) -> Iterator[int]:
    """Yield how many of the tasks can run at the same time by each pool that all hosts share."""
    for name, n in load.pools.items():
        if name in pools and n > 0:
            yield pools[name] // n


def _is_of_use(crew: Crew, loads: Sequence[tuple[Load, float]]) -> bool:
    """Whether a worker that no pilot brought can take some of these tasks."""
    return any(
        load.cpus <= crew.slots
        and load.memory_bytes <= crew.memory_bytes
        and load.needs <= crew.tags
        for load, _ in loads
    )


def shortest(
    systems: Sequence[BatchSystem], demand: Demand, manners: Manners
) -> dict[str, float | None]:
    """Return by batch system how long its shortest tasks are expected to take; None: nobody knows."""
    return {
        system.name: min(
            (
                load.expected_s
                for load in demand.loads
                if load.expected_s is not None and can_run(load, system, manners)
            ),
            default=None,
        )
        for system in systems
    }


def decide(
    entry: Entry,
    live: Sequence[Pilot],
    now_us: int,
    *,
    system: BatchSystem,
    want: int,
    manners: Manners,
    pause: Pause | None = None,
) -> Decision:
    """Return how many pilots to submit now, towards `want`, and which waiting ones to take back.

    Those that wait behind a `pause` do not keep shorter ones from being submitted before it.
    """
    room = system.max_pilots - len(live)
    if pause is not None and want > 0:
        live = [one for one in live if one.id not in pause.behind]
    waiting = [one for one in live if one.state is PilotState.WAITING]
    surplus_us = None if len(live) <= want or not waiting else (entry.surplus_us or now_us)
    is_late = surplus_us is not None and now_us - surplus_us >= manners.surplus_s * 1e6
    cancel: tuple[int, ...] = ()
    if is_late:
        newest = [one.id for one in reversed(waiting) if one.cancel_us is None and not one.is_trial]
        ending = sum(one.cancel_us is not None for one in live)
        cancel = tuple(newest[: max(len(live) - ending - want, 0)])
    pace = _pace(entry, live, waiting, now_us, manners)
    n = min(want - len(live), pace - len(waiting), room)
    time_s = pause.time_s if pause is not None else None
    if entry.is_held or entry.is_removed or (entry.not_before_us or 0) > now_us or time_s == 0:
        n = 0
    if n > 0 and (entry.failed or entry.refused):
        n = min(n, 1 if live else manners.first_waiting)  # a trial of whether it works again
    if entry.ceiling is not None:
        is_over = now_us - (entry.ceiling_us or 0) >= manners.again_s * 1e6
        n = min(n, max(entry.ceiling - len(live), 1 if is_over else 0))
    return Decision(
        submit=max(n, 0), wanted=want, pace=pace, surplus_us=surplus_us, cancel=cancel,
        time_s=time_s or None,
    )  # fmt: skip


def _pace(
    entry: Entry, live: Sequence[Pilot], waiting: Sequence[Pilot], now_us: int, manners: Manners
) -> int:
    """Return how many may wait: twice as many once all have started at once, few where they queue."""
    if waiting:
        oldest_us = min(one.intended_us for one in waiting)
        is_slow = now_us - oldest_us > manners.at_once_s * 1e6
        return manners.first_waiting if is_slow else entry.pace
    if not live:
        return manners.first_waiting
    newest = max(live, key=lambda one: one.intended_us)
    waited_us = (newest.started_us or now_us) - newest.intended_us
    is_new = newest.intended_us >= entry.paced_us
    if is_new and waited_us <= manners.at_once_s * 1e6:
        return min(entry.pace * 2, 10_000)
    return entry.pace
