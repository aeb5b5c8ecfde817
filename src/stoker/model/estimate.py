"""How long an attempt of a step takes, as a function of its item's size, learned from attempts.

Robust regression on logarithms: durations vary by factors, not by seconds, and have heavy tails.
A power of the size that may bend (`line.py`) is put right by the medians of size classes. With few
attempts the prior speaks, with many it is not heard. What the fit cannot tell is kept as quantiles, from
which intervals follow. Attempts that ran into their time limit count as "at least so long".
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

from stoker.model.curve import Curve
from stoker.model.line import (
    PRIOR_NOISE,
    PRIOR_SLOPE,
    PRIOR_SPREAD,
    PRIOR_WEIGHT,
    Line,
    curve_along,
    half_apart,
    line_through,
)
from stoker.model.weighted import at_share, median

SHORTEST_S = 1e-4  # durations below are taken for this: their logarithm would say too much
BEYOND = 0.3  # by how much a logarithm of the duration may be off for each of a size never seen
PRIOR_TAIL = 0.25  # the mean length of a tail, in logarithms
MOST_TAIL = 1.0  # and the longest: with a longer one there would be no mean
TAIL_PART = 10  # one in so many attempts is of the tail; so many at least, if they are half
OLD_WORTH = 2.0  # all attempts of older bodies together count as so many
QUANTILES = 33
_TAIL = 4.0  # the longest a tail goes, in its own mean lengths
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
    logarithms of the smallest and the largest size, beyond which the curve is a guess; `low_slope` and
    `low_error`: the slope at the smallest, and by how much it may be wrong.
    """

    n: int
    expected: Curve
    residuals: tuple[float, ...]
    level_error: float
    slope_error: float
    center: float
    seen: tuple[float, float] = (0.0, 0.0)
    low_slope: float = PRIOR_SLOPE
    low_error: float = PRIOR_SPREAD

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
        wide = [middle + factor * (r - middle) for r in self.residuals[:-1]]
        tail = self.residuals[-1] - self.residuals[-2]
        error = 1.0 / math.sqrt(_of_tail(self.n) + PRIOR_WEIGHT)  # fewer attempts tell of it
        wide.append(wide[-1] + tail * math.exp(error * spread))
        return replace(self, residuals=tuple(wide))

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
        """Return the factor at this size if level and slope are off by so many standard errors.

        Beyond the sizes seen more is open than the slope; what is independent adds up in squares.
        """
        if size is None:
            return math.exp(self.level_error * level)
        x = math.log(size + 1)
        within = min(max(x, self.seen[0]), self.seen[1])
        below, above = min(self.seen[0] - x, 4.0), min(x - self.seen[1], 4.0)
        off = self.slope_error * min(max(within - self.center, -3.0), 3.0)
        if below > 0:
            off = -math.hypot(off - self.low_error * below, half_apart(self.low_slope, below))
        elif above > 0:
            off = math.hypot(off, BEYOND * above)
        return math.exp(self.level_error * level + off * slope)


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
    typical, line = _typical(observations, y, weights)
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
    seen = _seen(observations)
    low_slope, low_error = (PRIOR_SLOPE, PRIOR_SPREAD) if line is None else line.slope_at(seen[0])
    variance = (PRIOR_WEIGHT * PRIOR_NOISE**2 + n * spread) / (PRIOR_WEIGHT + n)
    return Fit(
        n=sum(not one.is_censored for one in observations),
        expected=typical.times(mean),
        residuals=_quantiles(told, math.log(mean), n),
        level_error=min(math.sqrt(variance / n + 0.02**2), 1.5),
        slope_error=PRIOR_SPREAD if line is None else math.sqrt(line.slope_variance),
        center=0.0 if line is None else line.center,
        seen=seen,
        low_slope=low_slope,
        low_error=low_error,
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
        known[host] = was + (median(pairs) - was) * n / (n + 10)
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
) -> tuple[Curve, Line | None]:
    """Return the curve of medians, and the line below it where there are sizes."""
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
        seconds = math.exp(median(unsized))
        return Curve((0,), (seconds,), seconds), None
    line = line_through(sized)
    found = curve_along(sized, line)
    without = math.exp(median(unsized)) if unsized else math.exp(line.level)
    return Curve(found.sizes, found.seconds, without), line


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
    quarter, upper = at_share(ordered, 0.25), at_share(ordered, 0.75)
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
    tail, last = _tail(ordered), 0.5 / len(ordered)
    found = []
    for k in range(QUANTILES - 1):
        above = 1 - k / (QUANTILES - 1)
        found.append(at_share(ordered, 1 - above) + tail * max(math.log(last / above), 0.0))
    found.append(found[-1] + tail)
    return tuple(r - log_mean + doubt * unit for r, unit in zip(found, _UNITS, strict=True))


def _of_tail(n: int) -> int:
    """Return how many of the longest attempts tell of the tail."""
    return max(n // TAIL_PART, min(n // 2, TAIL_PART))


def _tail(ordered: Sequence[tuple[float, float]]) -> float:
    """Return how far, on average, logarithms lie beyond a high quantile: the tail's own length.

    Between the k-th largest of an exponential tail and the next lies its length over k (Rényi, "On the
    theory of order statistics", Acta Mathematica Academiae Scientiarum Hungaricae 4 (1953) 191-231).
    The widest gap is left out: where there are two kinds of attempts, what lies between is no tail.
    """
    highest = ordered[-1 - _of_tail(len(ordered)) :]
    above, gaps = 0.0, []
    for (r, weight), (lower, _) in zip(reversed(highest), reversed(highest[:-1]), strict=False):
        above += weight
        gaps.append(above * (r - lower))
    # Of n gaps of mean length 1, the widest has 1 + 1/2 + ... + 1/n.
    n = len(gaps) - sum(1 / k for k in range(1, len(gaps) + 1))
    seen = sum(gaps) - max(gaps, default=0.0)
    found = (PRIOR_WEIGHT * PRIOR_TAIL + seen) / (PRIOR_WEIGHT + n)
    return min(max(found, 0.01), MOST_TAIL)
