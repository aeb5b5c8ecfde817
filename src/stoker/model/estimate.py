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
from stoker.model.residuals import of_tail, quantiles, shifted_up, without_outliers
from stoker.model.spread import EVEN, Spread, spread_of
from stoker.model.weighted import median

SHORTEST_S = 1e-4  # durations below are taken for this: their logarithm would say too much
BEYOND = 0.3  # by how much a logarithm of the duration may be off for each of a size never seen
OLD_WORTH = 2.0  # all attempts of older bodies together count as so many
LEAST_ERROR, MOST_ERROR = 0.02, 1.5  # of the level: no number of attempts shows it more exactly
_MOST_BEYOND = 4.0  # logarithms of a size that an error grows with, beyond the sizes seen
_MOST_WITHIN = 3.0  # and away from the middle, within them
_MOST_SPEED = 3.0  # the logarithm of how much quicker than others a host can be
_SPEED_WORTH = 10  # attempts that what was known of a host's speed is worth
_OUTLASTS = 0.5  # of what it has had: a mean for what goes on beyond all that is known
_TAIL = 4.0  # the longest a tail goes, in its own mean lengths


class Observation(NamedTuple):
    """One attempt that ended. `is_censored`: it was stopped by its limit, and would have gone on.

    `has_failed`: it does not count as the step's work, and its task is tried again where it may be.
    """

    size: int | None
    seconds: float
    host: str = ""
    is_current: bool = True  # the step's body is still the same
    is_censored: bool = False
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """What attempts tell of a step. `expected` has mean durations on a host of speed 1.

    `residuals`: quantiles of the logarithm of actual over expected, where the `spread` is 1; `log_mean` is
    by how much there the logarithm of the mean is above the typical one. `level_error` and `slope_error`:
    by how much, in logarithms, the whole curve and its slope around `center` may be wrong. `seen`: the
    logarithms of the smallest and the largest size, beyond which the curve is a guess; `low_slope` and
    `low_error`: the slope at the smallest, and by how much it may be wrong. `failing`: the share of
    attempts that fail, and `failed_part` how much of the expected time such an attempt takes.
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
    spread: Spread = EVEN
    log_mean: float = 0.0
    failing: float = 0.0
    failed_part: float = 1.0

    def seconds(self, size: int | None) -> float:
        """Return the expected duration on a host of speed 1."""
        return self.expected.at(size)

    def tried_again(self, retries: int) -> float:
        """Return how much failed attempts add to a task's expected time, as a share of it."""
        return self.failed_part * sum(self.failing**n for n in range(1, retries + 1))

    @property
    def spread_error(self) -> float:
        """By how much, in logarithms, the residuals may be wider or narrower than those seen."""
        return 1.0 / math.sqrt(self.n + PRIOR_WEIGHT)

    def widened(self, spread: float) -> "Fit":
        """Return the fit with residuals further from their middle, by so many standard errors."""
        middle, factor = self.residual(0.5), math.exp(self.spread_error * spread)
        wide = [middle + factor * (r - middle) for r in self.residuals[:-1]]
        tail = self.residuals[-1] - self.residuals[-2]
        error = 1.0 / math.sqrt(of_tail(self.n) + PRIOR_WEIGHT)  # fewer attempts tell of it
        wide.append(wide[-1] + tail * math.exp(error * spread))
        return replace(self, residuals=tuple(wide))

    def residual(self, share: float, size: int | None = None) -> float:
        """Return the logarithm of actual over expected below which that share of attempts is.

        Of attempts at items of that size; None: of all. Beyond the last quantile but one, tails fall as those of powers do, whatever was seen.
        """
        place = min(max(share, 0.0), 1.0) * (len(self.residuals) - 1)
        low = min(int(place), len(self.residuals) - 2)
        part, width = place - low, self.residuals[low + 1] - self.residuals[low]
        if low == len(self.residuals) - 2:
            part = min(-math.log(max(1.0 - part, 1e-9)), _TAIL)
        wide = self.spread.at(size)
        return wide * (self.residuals[low] + part * width) + self._shift(wide)

    def _shift(self, wide: float) -> float:
        """Return how the wider residuals are lower beside a mean further above the middle."""
        return self.log_mean * wide * (1.0 - wide)

    def share_below(self, residual: float, size: int | None = None) -> float:
        """Return the share of attempts whose logarithm of actual over expected is lower."""
        wide = self.spread.at(size)
        residual = (residual - self._shift(wide)) / wide
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
        below, above = min(self.seen[0] - x, _MOST_BEYOND), min(x - self.seen[1], _MOST_BEYOND)
        off = self.slope_error * min(max(within - self.center, -_MOST_WITHIN), _MOST_WITHIN)
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
    failed = [one for one in observations if one.has_failed]
    observations = [one for one in observations if one.is_censored or not one.has_failed]
    if all(one.is_censored for one in observations):
        return None
    weights = _weights(observations)
    y = [_log_seconds(one, speeds or {}) for one in observations]
    typical, line = _typical(observations, y, weights)
    left = [
        (value - math.log(typical.at(one.size)), weight)
        for one, value, weight in zip(observations, y, weights, strict=True)
    ]
    spread = _spread_by_size(observations, left)
    told = without_outliers(
        shifted_up(
            [
                (r / spread.at(one.size), weight, one.is_censored)
                for (r, weight), one in zip(left, observations, strict=True)
            ]
        )
    )
    total = sum(weight for _, weight in told)
    mean = sum(weight * math.exp(r) for r, weight in told) / total
    varied = sum(weight * (math.exp(r) / mean - 1) ** 2 for r, weight in told) / total
    width = sum(weight * (r - math.log(mean)) ** 2 for r, weight in told) / total
    varied = max(varied, math.expm1(min(width, 3.0)))  # few attempts show little of a long tail
    n = total**2 / sum(weight**2 for _, weight in told)
    seen = _seen(observations)
    low_slope, low_error = (PRIOR_SLOPE, PRIOR_SPREAD) if line is None else line.slope_at(seen[0])
    variance = (PRIOR_WEIGHT * PRIOR_NOISE**2 + n * varied) / (PRIOR_WEIGHT + n)
    expected = _means(typical, spread, math.log(mean))
    failing, failed_part = _failures(failed, observations, expected, speeds or {})
    return Fit(
        n=sum(not one.is_censored for one in observations),
        expected=expected,
        residuals=quantiles(told, math.log(mean), n),
        level_error=min(math.sqrt(variance / n + LEAST_ERROR**2), MOST_ERROR),
        slope_error=PRIOR_SPREAD if line is None else math.sqrt(line.slope_variance),
        center=0.0 if line is None else line.center,
        seen=seen,
        low_slope=low_slope,
        low_error=low_error,
        spread=spread,
        log_mean=math.log(mean),
        failing=failing,
        failed_part=failed_part,
    )


def _failures(
    failed: Sequence[Observation],
    ended: Sequence[Observation],
    expected: Curve,
    speeds: Mapping[str, float],
) -> tuple[float, float]:
    """Return the share of attempts that fail, and what part of the expected time these take.

    By the step as it is now: what failed before it was changed may have been mended.
    """
    current = [one for one in failed if one.is_current]
    n_ended = sum(one.is_current and not one.is_censored for one in ended)
    if not current:
        return 0.0, 1.0
    parts = [
        min(one.seconds * speeds.get(one.host, 1.0) / max(expected.at(one.size), SHORTEST_S), 1.0)
        for one in current
    ]
    return len(current) / (len(current) + n_ended + 1), (sum(parts) + 1.0) / (len(parts) + 1)


def _spread_by_size(
    observations: Sequence[Observation], left: Sequence[tuple[float, float]]
) -> Spread:
    """Return how wide attempts scatter by the sizes of their items, by those that came to their end."""
    kept = iter(without_outliers(list(left)))
    return spread_of(
        [
            (math.log(one.size + 1), r, weight)
            for one, (r, weight) in zip(observations, kept, strict=True)
            if one.size is not None and not one.is_censored
        ]
    )


def _means(typical: Curve, spread: Spread, log_mean: float) -> Curve:
    """Return the curve of means above that of medians, further above where attempts scatter more.

    By the squares of the widths, as it is where logarithms are normal.
    """
    lifted = typical.times(math.exp(log_mean))
    if not spread.slope:
        return lifted
    seconds = [
        took_s * math.exp(log_mean * (spread.at(size) ** 2 - 1.0))
        for size, took_s in zip(lifted.sizes, lifted.seconds, strict=True)
    ]
    return replace(lifted, seconds=tuple(seconds))


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
        known[host] = was + (median(pairs) - was) * n / (n + _SPEED_WORTH)
    counts = {host: len(pairs) for host, pairs in logs.items()}
    total = sum(counts.values())
    shift = sum(known[host] * n for host, n in counts.items()) / total if total else 0.0
    return {
        host: math.exp(min(max(value - shift, -_MOST_SPEED), _MOST_SPEED))
        for host, value in known.items()
    }


def remaining(
    found: Fit, expected_s: float, elapsed_s: float, share: float, size: int | None = None
) -> float:
    """Return what is left of a running attempt, in that share of the cases left open.

    One that has outlasted all that is known goes on for a time like the one that it has had.
    """
    elapsed_s = max(elapsed_s, 0.0)
    if elapsed_s <= 0 or expected_s <= 0:
        return expected_s * math.exp(found.residual(share, size))
    passed = found.share_below(math.log(elapsed_s / expected_s), size)
    if passed >= 1.0:
        return -_OUTLASTS * elapsed_s * math.log(max(1.0 - share, 1e-3))
    whole = expected_s * math.exp(found.residual(passed + share * (1.0 - passed), size))
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
