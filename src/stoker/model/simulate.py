"""What happens when tasks are taken in order by whatever is free: the scheduler, played through.

Pure and quick, so that plans, forecasts, tests and benchmarks all use the one rule that claims
follow: of the tasks that fit what is free, the first in order begins. Ties are broken by position,
hence the same input gives the same schedule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple


class Load(NamedTuple):
    """One task: how long it takes on a host of speed 1, what it needs, and what it waits for.

    `order`: lower begins first. `after`: positions of the tasks that come before it.
    """

    seconds: float
    order: float = 0.0
    cpus: int = 1
    pools: tuple[tuple[str, int], ...] = ()
    after: tuple[int, ...] = ()


class Host(NamedTuple):
    """Slots of one host; a host of speed 2 needs half the time."""

    slots: int
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """What tasks may fill at the same time: hosts, and pools with their slots."""

    hosts: tuple[Host, ...]
    pools: Mapping[str, int] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """All slots together."""
        return sum(host.slots for host in self.hosts)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When and where each task ran, by its position; -1 for one that never could, and all after it."""

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    hosts: tuple[int, ...]

    @property
    def makespan(self) -> float:
        """When the last task ended."""
        return max(self.ends, default=0.0)

    @property
    def never(self) -> int:
        """How many tasks could not run, as nothing is large enough for them."""
        return sum(host < 0 for host in self.hosts)


# Told of the tasks that have ended by that time; returns a new order for all tasks, or None.
Watch = Callable[[float, Sequence[int]], Sequence[float] | None]
_Needs = tuple[int, tuple[tuple[str, int], ...]]


def simulate(
    loads: Sequence[Load], fleet: Fleet, *, watch: Watch | None = None, every_s: float = 0.0
) -> Schedule:
    """Return the schedule of these tasks on this fleet.

    `watch` is called after ends, at most every `every_s` seconds of the simulated time.
    """
    return _Run(loads, fleet, watch, every_s).run()


def lower_bound(loads: Sequence[Load], fleet: Fleet) -> float:
    """Return what no schedule can be quicker than: all work on all slots, or the longest chain."""
    fastest = max((host.speed for host in fleet.hosts), default=1.0)
    power = sum(host.slots * host.speed for host in fleet.hosts)
    if not loads or power <= 0:
        return 0.0
    bounds = [sum(load.seconds * load.cpus for load in loads) / power]
    for pool, slots in fleet.pools.items():
        needed = sum(load.seconds * n for load in loads for name, n in load.pools if name == pool)
        bounds.append(needed / fastest / slots if slots else 0.0)
    return max(*bounds, longest_chain(loads) / fastest)


def longest_chain(loads: Sequence[Load]) -> float:
    """Return the length of the longest way through the tasks."""
    waiting = [len(load.after) for load in loads]
    followers = _followers(loads)
    ends = [load.seconds for load in loads]
    open_ = [at for at, n in enumerate(waiting) if n == 0]
    while open_:
        at = open_.pop()
        for after in followers.get(at, ()):
            ends[after] = max(ends[after], ends[at] + loads[after].seconds)
            waiting[after] -= 1
            if waiting[after] == 0:
                open_.append(after)
    return max(ends, default=0.0)


def split_by_count(seconds: Sequence[float], slots: int) -> float:
    """Return how long it takes if each slot gets an equal count of the tasks, as they come."""
    n, slots = len(seconds), max(slots, 1)
    parts = (sum(seconds[k * n // slots : (k + 1) * n // slots]) for k in range(slots))
    return max(parts, default=0.0)


def _followers(loads: Sequence[Load]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for at, load in enumerate(loads):
        for before in load.after:
            found.setdefault(before, []).append(at)
    return found


class _Run:
    """One simulation. Ready tasks stand in a heap for each class of equal needs, as in lanes."""

    def __init__(
        self, loads: Sequence[Load], fleet: Fleet, watch: Watch | None, every_s: float
    ) -> None:
        self.loads = loads
        self.hosts = fleet.hosts
        self.free = [host.slots for host in fleet.hosts]
        self.pools = dict(fleet.pools)
        self.watch, self.every_s = watch, every_s
        self.order: Sequence[float] = [load.order for load in loads]
        self.waiting = [len(load.after) for load in loads]
        self.followers = _followers(loads)
        self.lanes: dict[_Needs, list[tuple[float, int]]] = {}
        self.running: list[tuple[float, int]] = []
        self.ends = [-1.0] * len(loads)
        self.starts = [-1.0] * len(loads)
        self.on = [-1] * len(loads)
        # Quickest first. A host is in the heap at least once while it has a free slot.
        self.idle = [(-host.speed, at) for at, host in enumerate(fleet.hosts) if host.slots]
        heapify(self.idle)

    def run(self) -> Schedule:
        for at, n in enumerate(self.waiting):
            if n == 0:
                self._ready(at)
        self._begin(0.0)
        told_s, ended = 0.0, []
        while self.running:
            now = self.running[0][0]
            while self.running and self.running[0][0] <= now:
                at = heappop(self.running)[1]
                self._end(at)
                ended.append(at)
            if self.watch is not None and now - told_s >= self.every_s:
                self._reorder(self.watch(now, ended))
                told_s, ended = now, []
            self._begin(now)
        return Schedule(tuple(self.starts), tuple(self.ends), tuple(self.on))

    def _ready(self, at: int) -> None:
        load = self.loads[at]
        heappush(self.lanes.setdefault((load.cpus, load.pools), []), (self.order[at], at))

    def _reorder(self, order: Sequence[float] | None) -> None:
        if order is None:
            return
        self.order = order
        for lane in self.lanes.values():
            lane[:] = [(order[at], at) for _, at in lane]
            heapify(lane)

    def _end(self, at: int) -> None:
        load, host = self.loads[at], self.on[at]
        if self.free[host] == 0:
            heappush(self.idle, (-self.hosts[host].speed, host))
        self.free[host] += load.cpus
        for pool, n in load.pools:
            self.pools[pool] += n
        for after in self.followers.get(at, ()):
            self.waiting[after] -= 1
            if self.waiting[after] == 0:
                self._ready(after)

    def _begin(self, now: float) -> None:
        """Start what fits, in order; a class of tasks that does not fit is passed over."""
        heads = [(lane[0], needs) for needs, lane in self.lanes.items() if lane]
        heapify(heads)
        while heads and self.idle:
            (_, at), needs = heads[0]
            host = self._place(needs)
            if host is None:
                heappop(heads)
                continue
            lane = self.lanes[needs]
            heappop(lane)
            self._start(at, host, now)
            heappop(heads)
            if lane:
                heappush(heads, (lane[0], needs))

    def _place(self, needs: _Needs) -> int | None:
        cpus, pools = needs
        if any(self.pools.get(pool, 0) < n for pool, n in pools):
            return None
        while self.idle and self.free[self.idle[0][1]] == 0:
            heappop(self.idle)
        if not self.idle:
            return None
        if self.free[self.idle[0][1]] >= cpus:
            return self.idle[0][1]
        fitting = [at for at, free in enumerate(self.free) if free >= cpus]
        return max(fitting, key=lambda at: (self.hosts[at].speed, -at), default=None)

    def _start(self, at: int, host: int, now: float) -> None:
        load = self.loads[at]
        self.free[host] -= load.cpus
        for pool, n in load.pools:
            self.pools[pool] -= n
        self.on[at] = host
        self.starts[at] = now
        self.ends[at] = now + load.seconds / self.hosts[host].speed
        heappush(self.running, (self.ends[at], at))
