"""When it will all be done: the scheduler played through many times, with durations as they vary.

Each time the curves are off by what their fits leave open, alike for all tasks of a step, and each
task takes what one of the step's attempts could take. The middle of the ends is the forecast, eight
in ten of them the interval.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from stoker.model.curve import Curve
from stoker.model.estimate import Fit, remaining
from stoker.model.load import ONE_CPU, RUNNING, Load, Needs
from stoker.model.simulate import Fleet, memory_power, power, simulate

if TYPE_CHECKING:
    from stoker.model.pipeline import Step as PipelineStep

EVENTS = 30_000  # simulated for one forecast, a fifth of a second
ROUNDS_LEAST, ROUNDS_MOST = 15, 200
SHARE = 0.8  # of the cases that the interval holds
UNKNOWN_LEVEL, UNKNOWN_NOISE = 1.2, 0.7  # logarithms: of a step without history
_UNIT = NormalDist()
_Limit = str | int | frozenset[str] | Needs
_MEMORY = 0
Uniform = Callable[[], float]  # the next number between 0 and 1


class Step(NamedTuple):
    """The estimates of a step: `fit` is None where nothing of it has ended yet.

    `retries`: how often a task that has failed is tried again.
    """

    curve: Curve
    fit: Fit | None = None
    retries: int = 0

    @property
    def extra(self) -> float:
        """How much failed attempts add to a task's expected time, as a share of it."""
        return 0.0 if self.fit is None else self.fit.tried_again(self.retries)


class Open(NamedTuple):
    """A task still to be done.

    `group`: what has an end of its own. `elapsed_s` and `speed`: of its running attempt and that
    one's host. `share` and `together`: as in `Load`.
    """

    step: Hashable
    size: int | None
    order: float = 0.0
    needs: Needs = ONE_CPU
    after: tuple[int, ...] = ()
    group: Hashable = None
    elapsed_s: float | None = None
    speed: float = 1.0
    share: str = ""
    together: Hashable = None


class Forecast(NamedTuple):
    """Seconds from now to the end; in eight of ten cases between `low_s` and `high_s`."""

    eta_s: float
    low_s: float
    high_s: float


class Bulk(NamedTuple):
    """Many tasks of a step, by how many there are and a size that stands for them all."""

    step: Hashable
    n: int
    size: int | None
    needs: Needs = ONE_CPU


def needs_of(spec: "PipelineStep", *, level: int = 0) -> Needs:
    """Return what a task of the step needs, at that level of its memory."""
    memory = spec.memory_bytes
    return Needs(
        spec.cpus,
        tuple(sorted(spec.pools.items())),
        memory[min(level, len(memory) - 1)] if memory else 0,
        frozenset(spec.needs),
    )


def forecast(
    tasks: Sequence[Open], steps: Mapping[Hashable, Step], fleet: Fleet, uniform: Uniform
) -> dict[Hashable, Forecast]:
    """Return when the last task of each group ends; a group of which some never can is left out."""
    if not tasks or fleet.slots == 0:
        return {}
    rounds = min(max(EVENTS // len(tasks), ROUNDS_LEAST), ROUNDS_MOST)
    ends: dict[Hashable, list[float]] = {}
    never: set[Hashable] = set()
    for guess in _guesses(steps, rounds, uniform):
        loads = [_load(task, guess[task.step], uniform) for task in tasks]
        schedule = simulate(loads, fleet)
        last: dict[Hashable, float] = {}
        for task, end, host in zip(tasks, schedule.ends, schedule.hosts, strict=True):
            if host < 0:
                never.add(task.group)
            last[task.group] = max(last.get(task.group, 0.0), end)
        for group, end in last.items():
            ends.setdefault(group, []).append(end)
    return {group: interval(found) for group, found in ends.items() if group not in never}


def forecast_bulk(
    bulks: Sequence[Bulk],
    steps: Mapping[Hashable, Step],
    fleet: Fleet,
    uniform: Uniform,
    *,
    longest_s: float = 0.0,
    pools: Collection[str] | None = None,
) -> Forecast | None:
    """The same for so many tasks that only their total counts, and the longest way through one.

    Cpus, memory and tags set limits, and so does each pool: these `pools`, or by default all. None
    where a task can never run.
    """
    limits = [_limits(bulk, fleet, pools) for bulk in bulks]
    if not bulks or not all(way > 0 for of in limits for way in of.values()):
        return None
    turns: dict[str, int] = {}
    for bulk in bulks:
        for pool, _ in bulk.needs.pools:
            turns[pool] = turns.get(pool, 0) + bulk.n
    ends = []
    for guess in _guesses(steps, ROUNDS_MOST, uniform):
        work_s: dict[_Limit, float] = {}
        for bulk, ways in zip(bulks, limits, strict=True):
            step = guess[bulk.step]
            found = step.step.fit
            spread = (
                UNKNOWN_NOISE if found is None else max(abs(found.residual(0.85, bulk.size)), 0.05)
            )
            chance = spread / math.sqrt(bulk.n) * _normal(uniform())
            took_s = bulk.n * step.expected_s(bulk.size) * math.exp(chance)
            took_s *= 1.0 + step.step.extra
            for limit, way in ways.items():
                work_s[limit] = work_s.get(limit, 0.0) + took_s / way
        ends.append(max(longest_s, *(_through(limit, work_s, turns, fleet) for limit in work_s)))
    return interval(ends)


def can_run(bulk: Bulk, fleet: Fleet) -> bool:
    """Whether the hosts and pools are large enough for one of these tasks."""
    return all(way > 0 for way in _limits(bulk, fleet, None).values())


def _limits(bulk: Bulk, fleet: Fleet, pools: Collection[str] | None) -> dict[_Limit, float]:
    """Return how many of these tasks go at once, in hosts of speed 1, as far as each limit goes.

    The limits are the slots of the hosts that have the tags, all memory, the hosts on which several
    such tasks find room or none, and the pools by their names.
    """
    needs, hosts = bulk.needs, fleet.hosts
    able = [host for host in hosts if host.tags is None or needs.tags <= host.tags]
    of_host = needs._replace(pools=())
    ways: dict[_Limit, float] = {
        frozenset(): power(hosts) / needs.cpus,
        needs.tags: power(able) / needs.cpus,
        of_host: sum(host.holds(of_host) * host.speed for host in hosts),
    }
    if needs.memory_bytes:
        ways[_MEMORY] = memory_power(hosts) / needs.memory_bytes
    for pool, n in needs.pools:
        if pools is None or pool in pools:
            of_hosts = fleet.per_host.get(pool, 0) // n * len(hosts)
            speed = power(hosts) / max(fleet.slots, 1)
            ways[pool] = (fleet.pools.get(pool, 0) // n + of_hosts) * speed
    return ways


def _through(
    limit: _Limit, work_s: Mapping[_Limit, float], turns: Mapping[str, int], fleet: Fleet
) -> float:
    """Return when all are through, as far as this limit and its gate go."""
    gate = fleet.gates.get(limit) if isinstance(limit, str) else None
    if gate is None or not isinstance(limit, str):
        return work_s[limit]
    return max(gate.after_s(work_s[limit]), gate.turns_s(turns[limit]))


def interval(ends: Sequence[float]) -> Forecast:
    """Return the middle of the ends, and the two between which eight in ten of them are."""
    ordered = sorted(ends)
    low, high = (1 - SHARE) / 2, (1 + SHARE) / 2
    return Forecast(_at(ordered, 0.5), _at(ordered, low), _at(ordered, high))


def expected_loads(tasks: Sequence[Open], steps: Mapping[Hashable, Step]) -> list[Load]:
    """Return the tasks as they are expected to go, without chance."""
    return [
        _as_load(task, steps[task.step].curve.at(task.size) * (1.0 + steps[task.step].extra))
        for task in tasks
    ]


class _Guess(NamedTuple):
    """A step as it might truly be: how far its level and slope are off, in standard errors."""

    step: Step
    level: float
    slope: float

    def expected_s(self, size: int | None) -> float:
        curve, found = self.step.curve, self.step.fit
        if found is None:
            return curve.at(size) * math.exp(UNKNOWN_LEVEL * self.level)
        return curve.at(size) * found.wrong_by(size, self.level, self.slope)


def _load(task: Open, guess: _Guess, uniform: Uniform) -> Load:
    expected_s, found, share = guess.expected_s(task.size), guess.step.fit, uniform()
    if found is None:
        seconds = expected_s * math.exp(UNKNOWN_NOISE * _normal(share))
        if task.elapsed_s is not None:
            seconds = max(seconds - task.elapsed_s * task.speed, 0.2 * seconds)
    elif task.elapsed_s is None:
        seconds = expected_s * math.exp(found.residual(share, task.size))
    else:
        seconds = remaining(found, expected_s, task.elapsed_s * task.speed, share, task.size)
    if found is not None and found.failing:
        left = guess.step.retries
        while left and uniform() < found.failing:
            seconds += expected_s * found.failed_part
            left -= 1
    return _as_load(task, seconds)


def _as_load(task: Open, seconds: float) -> Load:
    # What runs has its place already: it comes before all that waits.
    order = RUNNING if task.elapsed_s is not None else task.order
    return Load(seconds, order, task.needs, task.after, task.share, task.together)


def _guesses(
    steps: Mapping[Hashable, Step], rounds: int, uniform: Uniform
) -> Iterator[dict[Hashable, _Guess]]:
    """Yield what the steps might be, for each round: errors spread evenly, in a shuffled order."""
    units = [_UNIT.inv_cdf((k + 0.5) / rounds) for k in range(rounds)]
    errors = {step: [_shuffled(units, uniform) for _ in range(3)] for step in steps}
    for at in range(rounds):
        guess = {}
        for name, step in steps.items():
            level, slope, spread = (several[at] for several in errors[name])
            wide = step if step.fit is None else step._replace(fit=step.fit.widened(spread))
            guess[name] = _Guess(wide, level, slope)
        yield guess


def _normal(share: float) -> float:
    return _UNIT.inv_cdf(min(max(share, 1e-6), 1 - 1e-6))


def _shuffled(values: Sequence[float], uniform: Uniform) -> list[float]:
    return [value for _, value in sorted((uniform(), value) for value in values)]


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
