"""When it will all be done: the scheduler played through many times, with durations as they vary.

Each time the curves are off by what their fits leave open, alike for all tasks of a step, and each
task takes what one of the step's attempts could take. The middle of the ends is the forecast, eight
in ten of them the interval.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from stoker.model.estimate import Curve, Fit, remaining
from stoker.model.simulate import Fleet, Load, simulate

EVENTS = 30_000  # simulated for one forecast, about a tenth of a second
ROUNDS_LEAST, ROUNDS_MOST = 15, 200
SHARE = 0.8  # of the cases that the interval holds
UNKNOWN_LEVEL, UNKNOWN_NOISE = 1.2, 0.7  # logarithms: of a step without history
_UNIT = NormalDist()
Uniform = Callable[[], float]  # the next number between 0 and 1


class Step(NamedTuple):
    """What is reckoned of a step: `fit` is None where nothing of it has ended yet."""

    curve: Curve
    fit: Fit | None = None


class Open(NamedTuple):
    """A task still to be done. `elapsed_s` and `speed`: of its running attempt and that one's host."""

    step: Hashable
    size: int | None
    order: float = 0.0
    cpus: int = 1
    pools: tuple[tuple[str, int], ...] = ()
    after: tuple[int, ...] = ()
    group: Hashable = None
    elapsed_s: float | None = None
    speed: float = 1.0


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
    cpus: int = 1


def forecast(
    tasks: Sequence[Open], steps: Mapping[Hashable, Step], fleet: Fleet, uniform: Uniform
) -> dict[Hashable, Forecast]:
    """Return when the last task of each group ends; a group of which some never can is left out."""
    if not tasks or fleet.slots == 0:
        return {}
    rounds = min(max(EVENTS // len(tasks), ROUNDS_LEAST), ROUNDS_MOST)
    levels = _levels(steps, rounds, uniform)
    ends: dict[Hashable, list[float]] = {}
    never: set[Hashable] = set()
    for at in range(rounds):
        loads = [_load(task, steps[task.step], levels[task.step][at], uniform()) for task in tasks]
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
) -> Forecast | None:
    """The same for so many tasks that only their total counts, and the longest way through one."""
    power = sum(host.slots * host.speed for host in fleet.hosts)
    if not bulks or power <= 0:
        return None
    levels = _levels(steps, ROUNDS_MOST, uniform)
    ends = []
    for at in range(ROUNDS_MOST):
        work_s = 0.0
        for bulk in bulks:
            step, (level, slope) = steps[bulk.step], levels[bulk.step][at]
            spread = UNKNOWN_NOISE if step.fit is None else max(abs(step.fit.residual(0.85)), 0.05)
            chance = spread / math.sqrt(bulk.n) * _UNIT.inv_cdf(min(max(uniform(), 1e-6), 1 - 1e-6))
            mean_s = step.curve.at(bulk.size) * _wrong_by(step, bulk.size, level, slope)
            work_s += bulk.n * bulk.cpus * mean_s * math.exp(chance)
        ends.append(max(work_s / power, longest_s))
    return interval(ends)


def interval(ends: Sequence[float]) -> Forecast:
    """Return the middle of the ends, and between which eight in ten of them lie."""
    ordered = sorted(ends)
    low, high = (1 - SHARE) / 2, (1 + SHARE) / 2
    return Forecast(_at(ordered, 0.5), _at(ordered, low), _at(ordered, high))


def expected_loads(tasks: Sequence[Open], steps: Mapping[Hashable, Step]) -> list[Load]:
    """Return the tasks as they are expected to go, without chance."""
    return [_as_load(task, steps[task.step].curve.at(task.size)) for task in tasks]


def _load(task: Open, step: Step, level: tuple[float, float], share: float) -> Load:
    expected_s = step.curve.at(task.size) * _wrong_by(step, task.size, *level)
    if step.fit is None:
        chance = UNKNOWN_NOISE * _UNIT.inv_cdf(min(max(share, 1e-6), 1 - 1e-6))
        seconds = expected_s * math.exp(chance)
        if task.elapsed_s is not None:
            seconds = max(seconds - task.elapsed_s * task.speed, 0.2 * seconds)
    elif task.elapsed_s is None:
        seconds = expected_s * math.exp(step.fit.residual(share))
    else:
        seconds = remaining(step.fit, expected_s, task.elapsed_s * task.speed, share)
    return _as_load(task, seconds)


def _as_load(task: Open, seconds: float) -> Load:
    # What runs has its place already: it comes before all that waits.
    order = -math.inf if task.elapsed_s is not None else task.order
    return Load(seconds, order, task.cpus, task.pools, task.after)


def _wrong_by(step: Step, size: int | None, level: float, slope: float) -> float:
    if step.fit is None:
        return math.exp(UNKNOWN_LEVEL * level)
    return step.fit.wrong_by(size, level, slope)


def _levels(
    steps: Mapping[Hashable, Step], rounds: int, uniform: Uniform
) -> dict[Hashable, list[tuple[float, float]]]:
    """Return how far off each step's level and slope are in each round: spread evenly, shuffled."""
    units = [_UNIT.inv_cdf((k + 0.5) / rounds) for k in range(rounds)]
    return {
        step: list(zip(_shuffled(units, uniform), _shuffled(units, uniform), strict=True))
        for step in steps
    }


def _shuffled(values: Sequence[float], uniform: Uniform) -> list[float]:
    return [value for _, value in sorted((uniform(), value) for value in values)]


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
