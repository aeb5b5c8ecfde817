"""How long an attempt of a step takes, as a function of its item's size, learned from attempts.

Robust regression on logarithms: durations vary by factors, not by seconds, and have heavy tails.
A power of the size, drawn by Huber's weights and towards a prior that says "grows with the size",
is put right by the medians of size classes once there are enough attempts. With few attempts the
prior speaks, with many it is not heard. What the fit cannot tell is kept as quantiles, from which
intervals follow. Attempts that ran into their time limit count as "at least so long".
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

from stoker.model.curve import Curve

SHORTEST_S = 1e-4  # durations below are taken for this: their logarithm would say too much
PRIOR_SLOPE, PRIOR_SPREAD = 0.7, 0.5  # of the power of the size
PRIOR_NOISE, PRIOR_WEIGHT = 0.5, 2.0  # of a logarithm of a duration; worth so many attempts
BEYOND = 0.3  # by how much a logarithm of the duration may be off for each of a size never seen
OLD_WORTH = 2.0  # all attempts of older bodies together count as so many
QUANTILES = 33
_HUBER = 1.345
_TAIL = 4.0  # the longest a tail goes, in its own mean lengths
_ROUNDS = 8
_CLASS = 12  # attempts in a class of sizes, at least
_CLASSES = 6
_UNITS = tuple(NormalDist().inv_cdf((k + 0.5) / QUANTILES) for k in range(QUANTILES))


class Observation(NamedTuple):
    """One attempt that ended. `is_censored`: it was stopped by its limit, and would have gone on."""

    size: int | None
    seconds: float
    host: str = ""
    is_current: bool = True  # the step's body is still the same
    is_censored: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """What attempts tell of a step. `expected` has mean durations on a host of speed 1.

    `residuals`: quantiles of the logarithm of actual over expected. `level_error` and `slope_error`:
    by how much, in logarithms, the whole curve and its slope around `center` may be wrong. `seen`: the
    logarithms of the smallest and the largest size, beyond which the curve is a guess.
    """

    n: int
    expected: Curve
    residuals: tuple[float, ...]
    level_error: float
    slope_error: float
    center: float
    seen: tuple[float, float] = (0.0, 0.0)

    def seconds(self, size: int | None) -> float:
        """Return the expected duration on a host of speed 1."""
        return self.expected.at(size)

    @property
    def spread_error(self) -> float:
        """By how much, in logarithms, the residuals may be wider or narrower than those seen."""
        return 1.0 / math.sqrt(self.n + PRIOR_WEIGHT)

    def widened(self, spread: float) -> "Fit":
        """Return the fit with residuals further from their middle, by so many standard errors."""
        middle, factor = self.residual(0.5), math.exp(self.spread_error * spread)
        wide = tuple(middle + factor * (r - middle) for r in self.residuals)
        return replace(self, residuals=wide)

    def residual(self, share: float) -> float:
        """Return the logarithm of actual over expected below which that share of attempts lies.

        Beyond the last quantile but one, tails fall as those of powers do, whatever was seen.
        """
        place = min(max(share, 0.0), 1.0) * (len(self.residuals) - 1)
        low = min(int(place), len(self.residuals) - 2)
        part, width = place - low, self.residuals[low + 1] - self.residuals[low]
        if low == len(self.residuals) - 2:
            part = min(-math.log(max(1.0 - part, 1e-9)), _TAIL)
        return self.residuals[low] + part * width

    def share_below(self, residual: float) -> float:
        """Return the share of attempts whose logarithm of actual over expected is lower."""
        known = self.residuals
        last = len(known) - 2
        if residual <= known[0]:
            return 0.0
        low = min(bisect_left(known, residual) - 1, last)
        width = known[low + 1] - known[low]
        part = (residual - known[low]) / width if width > 0 else 1.0
        if low == last:
            part = 1.0 if part >= _TAIL else 1.0 - math.exp(-part)
        return (low + min(part, 1.0)) / (len(known) - 1)

    def wrong_by(self, size: int | None, level: float, slope: float) -> float:
        """Return the factor at this size if level and slope are off by so many standard errors."""
        if size is None:
            return math.exp(self.level_error * level)
        x = math.log(size + 1)
        off = self.slope_error * min(max(x - self.center, -3.0), 3.0)
        beyond = BEYOND * min(max(self.seen[0] - x, x - self.seen[1], 0.0), 4.0)
        return math.exp(self.level_error * level + (off - beyond) * slope)


def fit(
    observations: Sequence[Observation], speeds: Mapping[str, float] | None = None
) -> Fit | None:
    """Return what the attempts tell; None where none has come to its own end.

    `speeds`: how much quicker each host is than others; durations are brought to speed 1.
    """
    if all(one.is_censored for one in observations):
        return None
    weights = _weights(observations)
    y = [_log_seconds(one, speeds or {}) for one in observations]
    typical, slope_error, center = _typical(observations, y, weights)
    left = [
        (value - math.log(typical.at(one.size)), weight)
        for one, value, weight in zip(observations, y, weights, strict=True)
    ]
    told = _without_outliers(
        _shifted_up(
            [(*pair, one.is_censored) for pair, one in zip(left, observations, strict=True)]
        )
    )
    total = sum(weight for _, weight in told)
    mean = sum(weight * math.exp(r) for r, weight in told) / total
    spread = sum(weight * (math.exp(r) / mean - 1) ** 2 for r, weight in told) / total
    width = sum(weight * (r - math.log(mean)) ** 2 for r, weight in told) / total
    spread = max(spread, math.expm1(min(width, 3.0)))  # few attempts show little of a long tail
    n = total**2 / sum(weight**2 for _, weight in told)
    variance = (PRIOR_WEIGHT * PRIOR_NOISE**2 + n * spread) / (PRIOR_WEIGHT + n)
    return Fit(
        n=sum(not one.is_censored for one in observations),
        expected=typical.times(mean),
        residuals=_quantiles(told, math.log(mean), n),
        level_error=min(math.sqrt(variance / n + 0.02**2), 1.5),
        slope_error=slope_error,
        center=center,
        seen=_seen(observations),
    )


def _seen(observations: Sequence[Observation]) -> tuple[float, float]:
    logs = [math.log(one.size + 1) for one in observations if one.size is not None]
    return (min(logs), max(logs)) if logs else (0.0, 0.0)


def host_speeds(
    runs: Iterable[tuple[Fit, Sequence[Observation]]], before: Mapping[str, float]
) -> dict[str, float]:
    """Return how quick each host is, by what its attempts of all steps took beside the fits.

    Around 1 on the whole; hosts seen seldom stay near 1, or near what was known before.
    """
    logs: dict[str, list[tuple[float, float]]] = {}
    for found, observations in runs:
        middle = found.residual(0.5)
        for one in observations:
            if not one.is_censored and one.is_current:
                took = math.log(max(one.seconds, SHORTEST_S))
                off = math.log(found.seconds(one.size)) + middle - took
                logs.setdefault(one.host, []).append((off, 1.0))
    known = {host: math.log(factor) for host, factor in before.items()}
    for host, pairs in logs.items():
        n, was = len(pairs), known.get(host, 0.0)
        known[host] = was + (_median(pairs) - was) * n / (n + 10)
    counts = {host: len(pairs) for host, pairs in logs.items()}
    total = sum(counts.values())
    shift = sum(known[host] * n for host, n in counts.items()) / total if total else 0.0
    return {host: math.exp(min(max(value - shift, -3.0), 3.0)) for host, value in known.items()}


def remaining(found: Fit, expected_s: float, elapsed_s: float, share: float) -> float:
    """Return what is left of a running attempt, in that share of the cases left open.

    One that has outlasted all that is known goes on for a time like the one that it has had.
    """
    elapsed_s = max(elapsed_s, 0.0)
    if elapsed_s <= 0 or expected_s <= 0:
        return expected_s * math.exp(found.residual(share))
    passed = found.share_below(math.log(elapsed_s / expected_s))
    if passed >= 1.0:
        return -0.5 * elapsed_s * math.log(max(1.0 - share, 1e-3))
    whole = expected_s * math.exp(found.residual(passed + share * (1.0 - passed)))
    return max(whole - elapsed_s, 0.0)


def _weights(observations: Sequence[Observation]) -> list[float]:
    """Attempts of older bodies count for a few, all together, unless there are no others."""
    old = sum(not one.is_current for one in observations)
    if old in (0, len(observations)):
        return [1.0] * len(observations)
    worth = min(1.0, OLD_WORTH / old)
    return [1.0 if one.is_current else worth for one in observations]


def _log_seconds(one: Observation, speeds: Mapping[str, float]) -> float:
    return math.log(max(one.seconds * speeds.get(one.host, 1.0), SHORTEST_S))


def _typical(
    observations: Sequence[Observation], y: Sequence[float], weights: Sequence[float]
) -> tuple[Curve, float, float]:
    """Return the curve of medians, the error of its slope, and the logarithm of its middle size."""
    sized = [
        (math.log(one.size + 1), value, weight, one.is_censored)
        for one, value, weight in zip(observations, y, weights, strict=True)
        if one.size is not None
    ]
    unsized = [
        (value, weight)
        for one, value, weight in zip(observations, y, weights, strict=True)
        if one.size is None and not one.is_censored
    ]
    if not sized:
        seconds = math.exp(_median(unsized))
        return Curve((0,), (seconds,), seconds), PRIOR_SPREAD, 0.0
    level, slope, slope_error, center = _line(sized)
    found = _knots(sized, level, slope, center)
    without = math.exp(_median(unsized)) if unsized else math.exp(level)
    return Curve(found.sizes, found.seconds, without), slope_error, center


def _line(points: Sequence[tuple[float, float, float, bool]]) -> tuple[float, float, float, float]:
    """Return level at the middle size, slope, the slope's error, and the middle, all logarithms."""
    center = _median([(x, w) for x, _, w, _ in points])
    level = _median([(value, w) for _, value, w, _ in points])
    slope, noise, n = PRIOR_SLOPE, PRIOR_NOISE, float(len(points))
    information = 1 / PRIOR_SPREAD**2
    for _ in range(_ROUNDS):
        left = [value - level - slope * (x - center) for x, value, _, _ in points]
        scale = 1.4826 * _median(
            [(abs(r), w) for r, (_, _, w, _) in zip(left, points, strict=True)]
        )
        noise = math.sqrt((PRIOR_WEIGHT * PRIOR_NOISE**2 + n * scale**2) / (PRIOR_WEIGHT + n))
        sums = [1e-12, 0.0, 0.0, 0.0, 0.0]
        for r, (x, value, w, is_censored) in zip(left, points, strict=True):
            # A limit below the line fits any line; one above pulls it up as an attempt would.
            if is_censored and r < 0:
                continue
            trust = w * min(1.0, _HUBER * noise / max(abs(r), 1e-9))
            dx = x - center
            for at, term in enumerate((1.0, dx, value, dx * dx, dx * value)):
                sums[at] += trust * term
        count, sum_x, sum_y, sum_xx, sum_xy = sums
        information = (sum_xx - sum_x**2 / count) / noise**2 + 1 / PRIOR_SPREAD**2
        pull = (sum_xy - sum_x * sum_y / count) / noise**2 + PRIOR_SLOPE / PRIOR_SPREAD**2
        slope = min(max(pull / information, -0.5), 3.0)
        level = (sum_y - slope * sum_x) / count
    return level, slope, 1 / math.sqrt(information), center


def _knots(
    points: Sequence[tuple[float, float, float, bool]], level: float, slope: float, center: float
) -> Curve:
    """Return the power as a curve, lifted to the medians of size classes where these are full."""
    ordered = sorted(points)
    classes = max(1, min(_CLASSES, len(ordered) // _CLASS))
    lifts: list[tuple[float, float]] = []  # logarithm of the size, and by how much
    for at in range(classes):
        part = ordered[at * len(ordered) // classes : (at + 1) * len(ordered) // classes]
        left = [(v - level - slope * (x - center), w) for x, v, w, c in part if not c]
        if left and len(part) >= _CLASS:
            full = sum(w for _, w in left)
            middle = _median([(x, w) for x, _, w, _ in part])
            lifts.append((middle, _median(left) * full / (full + 4)))
    low, high = ordered[0][0], ordered[-1][0]
    places = sorted({max(low - 2.0, 0.0), low, *(x for x, _ in lifts), high, high + 2.0})
    if len(places) < 5:
        places = sorted({*places, low + (high - low) / 4, (low + high) / 2})
    sizes: list[int] = [0]
    # Below what was seen, half way between a time that keeps falling and one that has a floor.
    fall = max(slope, 0.0) / 2

    def reckoned(x: float) -> float:
        return math.exp(level + slope * (x - center) + _lift(lifts, x) + fall * max(low - x, 0.0))

    seconds = [reckoned(max(low - 4.0, 0.0))]
    for x in places:
        size = max(round(math.exp(x)) - 1, 0)
        if size > sizes[-1]:
            sizes.append(size)
            seconds.append(reckoned(x))
        elif size == 0:
            seconds[0] = reckoned(x)
    return Curve(tuple(sizes), tuple(seconds), math.exp(level))


def _lift(lifts: Sequence[tuple[float, float]], x: float) -> float:
    if not lifts:
        return 0.0
    high = bisect_left(lifts, (x, -math.inf))
    if high == 0:
        return lifts[0][1]
    if high == len(lifts):
        return lifts[-1][1]
    (x0, one), (x1, other) = lifts[high - 1], lifts[high]
    return one + (other - one) * (x - x0) / (x1 - x0) if x1 > x0 else other


def _shifted_up(left: Sequence[tuple[float, float, bool]]) -> list[tuple[float, float]]:
    """Give the weight of attempts that were cut off to those that took longer.

    Efron, "The two sample problem with censored data", Proceedings of the Fifth Berkeley Symposium
    4 (1967) 831-853. What nobody outlasted goes on for half as long again.
    """
    ordered = sorted(left)
    above = sum(weight for _, weight, _ in ordered)
    factor, told = 1.0, []
    for r, weight, is_censored in ordered:
        above -= weight
        if not is_censored:
            told.append((r, weight * factor))
        elif above > 1e-9:
            factor *= 1 + weight / above
        else:
            told.append((r + 0.4, weight * factor))
    return told


def _without_outliers(left: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Bring a few that lie far above the rest down to the edge; many are no outliers but the tail."""
    ordered = sorted(left)
    quarter, upper = _at_share(ordered, 0.25), _at_share(ordered, 0.75)
    fence = upper + 6 * max(upper - quarter, 0.1)
    beyond = sum(weight for r, weight in left if r > fence)
    few = max(1.0 if len(left) < 12 else 2.0, 0.02 * sum(weight for _, weight in left))
    if not beyond or beyond > few + 1e-9:
        return left
    return [(min(r, fence), weight) for r, weight in left]


def _quantiles(left: Sequence[tuple[float, float]], log_mean: float, n: float) -> tuple[float, ...]:
    """Return evenly spaced quantiles, wider where few attempts cannot show how wide they are."""
    ordered = sorted(left)
    doubt = PRIOR_NOISE * math.sqrt(PRIOR_WEIGHT / (PRIOR_WEIGHT + n * n))
    found = [_at_share(ordered, k / (QUANTILES - 1)) for k in range(QUANTILES)]
    found[-1] = found[-2] + _tail(ordered, found)
    return tuple(r - log_mean + doubt * unit for r, unit in zip(found, _UNITS, strict=True))


def _tail(ordered: Sequence[tuple[float, float]], quantiles: Sequence[float]) -> float:
    """Return how far, on average, logarithms lie beyond a high quantile: the tail's own length.

    The lesser for two quantiles: where there are two kinds of attempts, one kind is not the tail of
    the other.
    """
    found = []
    for place in (QUANTILES * 4 // 5, QUANTILES * 9 // 10):
        beyond = [(r - quantiles[place], w) for r, w in ordered if r > quantiles[place]]
        if beyond:
            found.append(sum(r * w for r, w in beyond) / sum(w for _, w in beyond))
    return max(min(found, default=0.0), 0.01)


def _median(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the median of values with weights."""
    return _at_share(sorted(pairs), 0.5)


def _at_share(ordered: Sequence[tuple[float, float]], share: float) -> float:
    """Return the value below which that share of the weight lies, of sorted values with weights."""
    total = sum(weight for _, weight in ordered)
    passed, before = 0.0, ordered[0]
    before_at = 0.0
    for value, weight in ordered:
        at = (passed + weight / 2) / total
        if at >= share:
            if at == before_at or value == before[0]:
                return value
            part = (share - before_at) / (at - before_at)
            return before[0] + max(part, 0.0) * (value - before[0]) if passed else value
        passed += weight
        before, before_at = (value, weight), at
    return ordered[-1][0]
