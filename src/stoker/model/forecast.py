"""When it will all be done: the scheduler played through many times, with durations as they vary.

Each time the curves are off by what their fits leave open, alike for all tasks of a step, and each
task takes what one of the step's attempts could take. The middle of the ends is the forecast, eight
in ten of them the interval.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from stoker.model.curve import Curve
from stoker.model.estimate import Fit, remaining
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
    ends: dict[Hashable, list[float]] = {}
    never: set[Hashable] = set()
    for guess in _guesses(steps, rounds, uniform):
        loads = [_load(task, guess[task.step], uniform()) for task in tasks]
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
    ends = []
    for guess in _guesses(steps, ROUNDS_MOST, uniform):
        work_s = 0.0
        for bulk in bulks:
            step = guess[bulk.step]
            found = step.step.fit
            spread = UNKNOWN_NOISE if found is None else max(abs(found.residual(0.85)), 0.05)
            chance = spread / math.sqrt(bulk.n) * _normal(uniform())
            work_s += bulk.n * bulk.cpus * step.expected_s(bulk.size) * math.exp(chance)
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


class _Guess(NamedTuple):
    """A step as it might truly be: how far its level and slope are off, in standard errors."""

    step: Step
    level: float
    slope: float

    def expected_s(self, size: int | None) -> float:
        curve, found = self.step
        if found is None:
            return curve.at(size) * math.exp(UNKNOWN_LEVEL * self.level)
        return curve.at(size) * found.wrong_by(size, self.level, self.slope)


def _load(task: Open, guess: _Guess, share: float) -> Load:
    expected_s, found = guess.expected_s(task.size), guess.step.fit
    if found is None:
        seconds = expected_s * math.exp(UNKNOWN_NOISE * _normal(share))
        if task.elapsed_s is not None:
            seconds = max(seconds - task.elapsed_s * task.speed, 0.2 * seconds)
    elif task.elapsed_s is None:
        seconds = expected_s * math.exp(found.residual(share))
    else:
        seconds = remaining(found, expected_s, task.elapsed_s * task.speed, share)
    return _as_load(task, seconds)


def _as_load(task: Open, seconds: float) -> Load:
    # What runs has its place already: it comes before all that waits.
    order = -math.inf if task.elapsed_s is not None else task.order
    return Load(seconds, order, task.cpus, task.pools, task.after)


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
            wide = step if step.fit is None else Step(step.curve, step.fit.widened(spread))
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
