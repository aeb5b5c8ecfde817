"""What happens when tasks are taken in order by whatever is free: the scheduler, played through.

Pure and quick, so that plans, forecasts, tests and benchmarks all use the one rule that claims
follow: of the tasks that fit what is free, the first in order begins. Ties are broken by position,
hence the same input gives the same schedule.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from stoker.model.gate import Gate, Turnstile
from stoker.model.load import RUNNING, Load, Needs
from stoker.model.pool import Pool
from stoker.model.queues import Queues
from stoker.model.shares import Shares

NO_SHARES = Shares()


class Host(NamedTuple):
    """Slots of one host; a host of speed 2 needs half the time.

    Without `memory_bytes` or `tags` it has as much, and as many, as are needed.
    """

    slots: int
    speed: float = 1.0
    memory_bytes: int | None = None
    tags: frozenset[str] | None = None

    def holds(self, needs: Needs) -> int:
        """Return how many tasks of these needs it has room for at once; pools are not looked at."""
        if self.tags is not None and not needs.tags <= self.tags:
            return 0
        n = self.slots // needs.cpus
        if needs.memory_bytes and self.memory_bytes is not None:
            n = min(n, self.memory_bytes // needs.memory_bytes)
        return n


@dataclass(frozen=True, slots=True)
class Fleet:
    """What tasks may fill at the same time: hosts, and pools with their slots.

    `per_host` are the pools of which each host has so many slots of its own. `gates` belong to pools
    whose tasks may not begin at any time. `shares`: between whom the slots are divided; they make
    `order` one of priorities, as `rank.order_key` returns it.
    """

    hosts: tuple[Host, ...]
    pools: Mapping[str, int] = field(default_factory=dict)
    per_host: Mapping[str, int] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)
    shares: Shares = NO_SHARES

    @property
    def slots(self) -> int:
        """All slots together."""
        return sum(host.slots for host in self.hosts)

    @property
    def pool_slots(self) -> dict[str, int]:
        """The slots of every pool, those of all hosts together."""
        of_hosts = {pool: n * len(self.hosts) for pool, n in self.per_host.items()}
        return {**self.pools, **of_hosts}


def fleet_of(
    hosts: Sequence[Host], pools: Iterable[Pool], now_us: int, shares: Shares = NO_SHARES
) -> Fleet:
    """Return these hosts with these pools and shares, for a simulation that begins now."""
    pools, hosts = list(pools), tuple(hosts)
    return Fleet(
        hosts,
        pools={pool.name: len(pool.slots) for pool in pools if not pool.is_per_host},
        per_host={pool.name: len(pool.slots) for pool in pools if pool.is_per_host},
        gates={
            pool.name: Gate(
                pool.hours,
                # A rate of each host is taken for one of all hosts.
                pool.per_minute and pool.per_minute * (len(hosts) if pool.is_per_host else 1),
                now_us,
            )
            for pool in pools
            if pool.hours is not None or pool.per_minute is not None
        },
        shares=shares,
    )


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


# Called with the tasks that have ended by that time; returns a new order for all tasks, or None.
Watch = Callable[[float, Sequence[int]], Sequence[float] | None]


def simulate(
    loads: Sequence[Load], fleet: Fleet, *, watch: Watch | None = None, every_s: float = 0.0
) -> Schedule:
    """Return the schedule of these tasks on this fleet.

    `watch` is called after ends, at most every `every_s` seconds of the simulated time.
    """
    return _Run(loads, fleet, watch, every_s).run()


def lower_bound(loads: Sequence[Load], fleet: Fleet) -> float:
    """Return what no schedule can be quicker than: all work on all slots, or the longest chain.

    Or all that need certain tags on the hosts that have them, all memory, and all of a pool.
    """
    fastest = max((host.speed for host in fleet.hosts), default=1.0)
    if not loads or power(fleet.hosts) <= 0:
        return 0.0
    bounds = [_memory_bound(loads, fleet.hosts)]
    for tags in {frozenset[str](), *(load.needs.tags for load in loads)}:
        able = power([host for host in fleet.hosts if host.tags is None or tags <= host.tags])
        work = sum(load.seconds * load.needs.cpus for load in loads if tags <= load.needs.tags)
        bounds.append(work / able if able else 0.0)
    for pool, slots in fleet.pool_slots.items():
        takers = [(load, n) for load in loads for name, n in load.needs.pools if name == pool]
        needed = sum(load.seconds * n for load, n in takers)
        bounds.append(needed / fastest / slots if slots else 0.0)
        waiting = [load for load, _ in takers if load.order != RUNNING]
        if pool in fleet.gates and waiting:
            gate, least = fleet.gates[pool], min(load.seconds for load in waiting) / fastest
            bounds.append(max(gate.opens_s(0.0), gate.turns_s(len(waiting))) + least)
    return max(*bounds, longest_chain(loads) / fastest)


def power(hosts: Iterable[Host]) -> float:
    """Return how many seconds of work these hosts do in one, with all slots filled."""
    return sum(host.slots * host.speed for host in hosts)


def memory_power(hosts: Iterable[Host]) -> float:
    """Return the same for bytes of memory that are held; endless where a host's are not known."""
    return sum(
        math.inf if host.memory_bytes is None else host.memory_bytes * host.speed for host in hosts
    )


def _memory_bound(loads: Iterable[Load], hosts: Iterable[Host]) -> float:
    held = sum(load.seconds * load.needs.memory_bytes for load in loads)
    there = memory_power(hosts)
    return held / there if there else 0.0


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


def split_by_count(
    seconds: Sequence[float], slots: int, hosts: Sequence[Host] | None = None
) -> float:
    """Return how long it takes if each slot gets an equal count of the tasks, as they come.

    The slots are of these hosts, if it is said, and otherwise of hosts of speed 1.
    """
    n, slots = len(seconds), max(slots, 1)
    parts = [sum(seconds[k * n // slots : (k + 1) * n // slots]) for k in range(slots)]
    if hosts is not None:
        speeds = [host.speed for host in hosts for _ in range(host.slots)]
        parts = [part / speed for part, speed in zip(parts, speeds, strict=False)]
    return max(parts, default=0.0)


def _followers(loads: Sequence[Load]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for at, load in enumerate(loads):
        for before in load.after:
            found.setdefault(before, []).append(at)
    return found


class _Room:
    """Which hosts have room for one class of needs, the quickest first.

    Every host that has is in the heap; one that has not is taken out when it comes to the top, and
    put back when something on it ends.
    """

    def __init__(self, hosts: Sequence[Host], needs: Needs, per_host: Mapping[str, int]) -> None:
        self.cpus, self.memory_bytes = needs.cpus, needs.memory_bytes
        self.shared = [(pool, n) for pool, n in needs.pools if pool not in per_host]
        self.local = [(pool, n) for pool, n in needs.pools if pool in per_host]
        self.heap = [
            (-host.speed, at)
            for at, host in enumerate(hosts)
            if needs.host in (None, at) and host.holds(needs)
        ]
        self.there = [True] * len(hosts)  # also those that are too small, and never come back
        heapify(self.heap)

    def add(self, host: int, speed: float) -> None:
        """The host is looked at again."""
        if not self.there[host]:
            self.there[host] = True
            heappush(self.heap, (-speed, host))

    def drop(self) -> None:
        """The host at the top has no room."""
        self.there[heappop(self.heap)[1]] = False


class _Run:
    """One simulation."""

    def __init__(
        self, loads: Sequence[Load], fleet: Fleet, watch: Watch | None, every_s: float
    ) -> None:
        self.loads = list(loads)
        self.bound: dict[Hashable, int] = {}  # what stays together, by what it has in common
        self.hosts = fleet.hosts
        self.per_host = fleet.per_host
        self.free = [host.slots for host in fleet.hosts]
        self.memory = [
            math.inf if host.memory_bytes is None else host.memory_bytes for host in fleet.hosts
        ]
        self.pools = dict(fleet.pools)
        self.local = [dict(fleet.per_host) for _ in fleet.hosts] if fleet.per_host else []
        self.gates = {pool: Turnstile(gate) for pool, gate in fleet.gates.items()}
        self.watch, self.every_s = watch, every_s
        self.ready = Queues(self.loads, fleet.shares)
        self.waiting = [len(load.after) for load in loads]
        self.followers = _followers(loads)
        self.rooms: dict[Needs, _Room] = {}
        self.events: list[tuple[float, int]] = []  # a task ends, or (-1) a gate opens
        self.wakes: set[float] = set()
        self.ends = [-1.0] * len(loads)
        self.starts = [-1.0] * len(loads)
        self.on = [-1] * len(loads)

    def run(self) -> Schedule:
        for at, n in enumerate(self.waiting):
            if n == 0:
                self._ready(at)
        self._begin(0.0)
        told_s, ended = 0.0, []
        while self.events:
            now = self.events[0][0]
            while self.events and self.events[0][0] <= now:
                at = heappop(self.events)[1]
                if at >= 0:
                    self._end(at)
                    ended.append(at)
            if self.watch is not None and ended and now - told_s >= self.every_s:
                order = self.watch(now, ended)
                if order is not None:
                    self.ready.reorder(order)
                told_s, ended = now, []
            self._begin(now)
        return Schedule(tuple(self.starts), tuple(self.ends), tuple(self.on))

    def _ready(self, at: int) -> None:
        load = self.loads[at]
        if load.together is not None and load.together in self.bound:
            needs = load.needs._replace(host=self.bound[load.together])
            load = self.loads[at] = load._replace(needs=needs)
        needs = load.needs
        if needs not in self.rooms:
            self.rooms[needs] = _Room(self.hosts, needs, self.per_host)
        self.ready.add(at)

    def _begin(self, now: float) -> None:
        """Start what fits, in order; a class of tasks that does not fit is passed over."""
        closed = [one for one in self.rooms if self._opens_s(one, now) > now] if self.gates else ()
        self.ready.begin(closed)
        while (at := self.ready.first()) is not None:
            host = self._place(self.loads[at].needs, now, is_gated=self.ready.order[at] != RUNNING)
            if host is None:
                self.ready.pass_over()
            else:
                self._start(at, host, now)

    def _place(self, needs: Needs, now: float, *, is_gated: bool) -> int | None:
        room = self.rooms[needs]
        for pool, n in room.shared:
            if self.pools.get(pool, 0) < n:
                return None
        while room.heap and not self._fits(room, room.heap[0][1]):
            room.drop()
        if not room.heap:
            return None
        if self.gates and is_gated and (opens_s := self._opens_s(needs, now)) > now:
            self._wake(opens_s)
            return None
        return room.heap[0][1]

    def _opens_s(self, needs: Needs, now: float) -> float:
        of = (self.gates[pool].opens_s(now) for pool, _ in needs.pools if pool in self.gates)
        return max(of, default=now)

    def _fits(self, room: _Room, host: int) -> bool:
        if self.free[host] < room.cpus or self.memory[host] < room.memory_bytes:
            return False
        return not room.local or all(self.local[host][pool] >= n for pool, n in room.local)

    def _wake(self, at_s: float) -> None:
        if at_s not in self.wakes:
            self.wakes.add(at_s)
            heappush(self.events, (at_s, -1))

    def _start(self, at: int, host: int, now: float) -> None:
        load = self.loads[at]
        self._take(load.needs, host, 1)
        if self.gates and self.ready.order[at] != RUNNING:
            for pool, _ in load.needs.pools:
                if pool in self.gates:
                    self.gates[pool].begin(now)
        if load.together is not None:
            self.bound.setdefault(load.together, host)
        seconds = load.seconds / self.hosts[host].speed
        self.ready.take(seconds)
        self.on[at] = host
        self.starts[at] = now
        self.ends[at] = now + seconds
        heappush(self.events, (self.ends[at], at))

    def _end(self, at: int) -> None:
        host = self.on[at]
        self._take(self.loads[at].needs, host, -1)
        self.ready.end(at)
        for room in self.rooms.values():
            room.add(host, self.hosts[host].speed)
        for after in self.followers.get(at, ()):
            self.waiting[after] -= 1
            if self.waiting[after] == 0:
                self._ready(after)

    def _take(self, needs: Needs, host: int, sign: int) -> None:
        """Take what a task needs of the host and the pools, or with -1 give it back."""
        self.free[host] -= sign * needs.cpus
        self.memory[host] -= sign * needs.memory_bytes
        for pool, n in needs.pools:
            of = self.local[host] if pool in self.per_host else self.pools
            of[pool] -= sign * n
