"""A power of the size that may bend, through attempts that scatter: robust, and towards a prior.

The prior says "grows somewhat less than the size, and more nearly with it the larger it is", as does a
time with a start that every attempt pays. Beyond the sizes seen the power goes straight on; below them,
where longest-first looks last, half way between that and a time with such a start.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stoker.model.curve import Curve
from stoker.model.weighted import median

PRIOR_SLOPE, PRIOR_SPREAD = 0.7, 0.5  # of the power of the size
# Half of what the slope gains for each logarithm of the size: in `a + b * size` it gains s * (1 - s) where
# it is s, in a power nothing. Half way between them, with room for either and for a little beyond.
PRIOR_BEND, BEND_SPREAD = 0.05, 0.1
PRIOR_NOISE, PRIOR_WEIGHT = 0.5, 2.0  # of a logarithm of a duration; worth so many attempts
_UNSEEN = (PRIOR_SPREAD**2, BEND_SPREAD**2, 0.0)
_BENT = 3.0  # the power bends so far from the middle, and goes straight on from there
_HUBER = 1.345
_ROUNDS = 8
_ENOUGH = 12  # attempts that tell whether there is a start
_STARTS = (0.0, 0.25, 0.5, 0.75, 0.9)  # that are tried: the sizes of so many of the attempts
_START_COST = 1.0  # what a start has to explain better: a power without one is believed before
_TRIALS = 3  # rounds for each of them
_SOME = 100  # attempts that are looked at for that, evenly chosen by their sizes
_CLASS = 12  # attempts in a class of sizes, at least
_CLASSES = 6

# The logarithm of a size and that of a duration, what they count for, and whether it was cut off there.
Point = tuple[float, float, float, bool]


@dataclass(frozen=True, slots=True)
class Line:
    """Logarithms of seconds by logarithms of sizes: a power that may bend around `center`.

    Of the size and `start` together: below a size of `start` the time changes little. `doubt` is how
    much the slope at the smallest size differs between the starts that fit nearly as well.
    """

    center: float
    level: float
    slope: float
    bend: float
    slope_variance: float
    bend_variance: float
    covariance: float
    start: float = 0.0
    doubt: float = 0.0

    def at(self, x: float) -> float:
        """Return the logarithm of the seconds there."""
        return self.along(_with_start(x, self.start))

    def along(self, moved_x: float) -> float:
        """Return the same for the logarithm of size and start together."""
        dx = moved_x - self.center
        return self.level + self.slope * dx + self.bend * _curved(dx)

    def slope_at(self, x: float) -> tuple[float, float]:
        """Return the slope there, and its error: no bend is quite the same everywhere."""
        lever = 2 * min(max(_with_start(x, self.start) - self.center, -_BENT), _BENT)
        variance = self.slope_variance + lever * (2 * self.covariance + lever * self.bend_variance)
        share = 1.0 / (1.0 + self.start * math.exp(-x))  # of the size in both together
        error = math.sqrt(max(variance, 0.0) * share**2 + BEND_SPREAD**2 + self.doubt**2)
        return share * (self.slope + lever * self.bend), error


def _curved(dx: float) -> float:
    """A square near the middle, straight further out: the few far sizes must not bend it all."""
    return dx * dx if abs(dx) <= _BENT else _BENT * (2 * abs(dx) - _BENT)


def _with_start(x: float, start: float) -> float:
    """Return the logarithm of the size, given by its own, and the start together."""
    return math.log(math.exp(x) + start) if start else x


def line_through(points: Sequence[Point]) -> Line:
    """Return the line through the points, by Huber's weights and towards the prior.

    With the start that fits best, where the points are enough to tell.
    """
    plain, noise = _line_from(points, 0.0, rounds=_ROUNDS)
    if len(points) < _ENOUGH:
        return plain
    ordered = sorted(points)
    some = ordered[:: -(-len(ordered) // _SOME)]
    starts = dict.fromkeys(math.exp(some[int(share * (len(some) - 1))][0]) for share in _STARTS)
    lines = [plain, *(_line_from(some, start, rounds=_TRIALS)[0] for start in starts)]
    costs = [_cost(line, some, noise) for line in lines]
    chances = [math.exp((min(costs) - cost) / 2) for cost in costs]
    lowest = ordered[0][0]
    slopes = [line.slope_at(lowest)[0] for line in lines]
    best = lines[costs.index(min(costs))]
    off = [(slope - best.slope_at(lowest)[0]) ** 2 for slope in slopes]
    doubt = sum(c * one for c, one in zip(chances, off, strict=True)) / sum(chances)
    if best.start:
        best, _ = _line_from(points, best.start, rounds=_ROUNDS)
    return replace(best, doubt=math.sqrt(doubt))


def _line_from(points: Sequence[Point], start: float, *, rounds: int) -> tuple[Line, float]:
    """Return the line with this start, and by how much the points scatter around it."""
    moved = [(_with_start(x, start), y, w, is_censored) for x, y, w, is_censored in points]
    center = median([(x, w) for x, _, w, _ in moved])
    level = median([(y, w) for _, y, w, _ in moved])
    found = Line(center, level, PRIOR_SLOPE, PRIOR_BEND, *_UNSEEN, start)
    n, noise = float(len(points)), PRIOR_NOISE
    for _ in range(rounds):
        left = [y - found.along(x) for x, y, _, _ in moved]
        scale = 1.4826 * median([(abs(r), w) for r, (_, _, w, _) in zip(left, moved, strict=True)])
        noise = math.sqrt((PRIOR_WEIGHT * PRIOR_NOISE**2 + n * scale**2) / (PRIOR_WEIGHT + n))
        trusted = [
            (x - center, y, w * min(1.0, _HUBER * noise / max(abs(r), 1e-9)))
            for r, (x, y, w, is_censored) in zip(left, moved, strict=True)
            # A limit below the line fits any line; one above pulls it up as an attempt would.
            if not is_censored or r >= 0
        ]
        found = _solved(found, noise, trusted) if trusted else found
    return found, noise


def _cost(line: Line, points: Sequence[Point], noise: float) -> float:
    """Return how unlikely the points and the line are: twice the negative logarithm, by Huber's loss."""
    cost = _START_COST if line.start else 0.0
    cost += ((line.slope - PRIOR_SLOPE) / PRIOR_SPREAD) ** 2
    cost += ((line.bend - PRIOR_BEND) / BEND_SPREAD) ** 2
    for x, y, w, is_censored in points:
        r = (y - line.at(x)) / noise
        if not is_censored or r >= 0:
            cost += w * (r * r if abs(r) <= _HUBER else _HUBER * (2 * abs(r) - _HUBER))
    return cost


def _solved(before: Line, noise: float, trusted: Sequence[tuple[float, float, float]]) -> Line:
    """Return the line, around the same center, of least squares through these, weighted, with what the prior is worth."""
    count = sum(w for _, _, w in trusted)
    mean_x = sum(w * dx for dx, _, w in trusted) / count
    mean_z = sum(w * _curved(dx) for dx, _, w in trusted) / count
    mean_y = sum(w * y for _, y, w in trusted) / count
    xx, zz = 1 / PRIOR_SPREAD**2, 1 / BEND_SPREAD**2
    xy, zy, xz = PRIOR_SLOPE * xx, PRIOR_BEND * zz, 0.0
    for dx, y, w in trusted:
        x, z, worth = dx - mean_x, _curved(dx) - mean_z, w / noise**2
        xx += worth * x * x
        zz += worth * z * z
        xz += worth * x * z
        xy += worth * x * (y - mean_y)
        zy += worth * z * (y - mean_y)
    whole = xx * zz - xz * xz
    slope = min(max((zz * xy - xz * zy) / whole, -0.5), 3.0)
    bend = (zy - xz * slope) / zz
    level = mean_y - slope * mean_x - bend * mean_z
    return replace(
        before,
        level=level,
        slope=slope,
        bend=bend,
        slope_variance=zz / whole,
        bend_variance=xx / whole,
        covariance=-xz / whole,
    )


def curve_along(points: Sequence[Point], line: Line) -> Curve:
    """Return the power as a curve, lifted to the medians of size classes where these are full."""
    ordered = sorted(points)
    classes = max(1, min(_CLASSES, len(ordered) // _CLASS))
    lifts: list[tuple[float, float]] = []  # logarithm of the size, and by how much
    for at in range(classes):
        part = ordered[at * len(ordered) // classes : (at + 1) * len(ordered) // classes]
        left = [(v - line.at(x), w) for x, v, w, c in part if not c]
        if left and len(part) >= _CLASS:
            full = sum(w for _, w in left)
            middle = median([(x, w) for x, _, w, _ in part])
            lifts.append((middle, median(left) * full / (full + 4)))
    low, high = ordered[0][0], ordered[-1][0]
    places = sorted({max(low - 2.0, 0.0), low, *(x for x, _ in lifts), high, high + 2.0})
    if len(places) < 5:
        places = sorted({*places, low + (high - low) / 4, (low + high) / 2})
    sizes: list[int] = [0]
    at_low, at_high = line.slope_at(low)[0], max(line.slope_at(high)[0], 0.0)

    def reckoned(x: float) -> float:
        within = min(max(x, low), high)
        beyond = _falls(at_low, low - x) if x < low else at_high * max(x - high, 0.0)
        return math.exp(line.at(within) + _lift(lifts, within) + beyond)

    seconds = [reckoned(max(low - 4.0, 0.0))]
    for x in places:
        size = max(round(math.exp(x)) - 1, 0)
        if size > sizes[-1]:
            sizes.append(size)
            seconds.append(reckoned(x))
        elif size == 0:
            seconds[0] = reckoned(x)
    return Curve(tuple(sizes), tuple(seconds), math.exp(line.level))


def _falls(slope: float, below: float) -> float:
    """Return by what logarithm the time changes so far below the smallest size seen."""
    return half_apart(slope, below) - max(slope, 0.0) * below


def half_apart(slope: float, below: float) -> float:
    """Return half the logarithm between a power and `a + b * size`, so far below where they touch."""
    share = min(max(slope, 0.0), 1.0)
    return (math.log(max(1.0 - share + share * math.exp(-below), 1e-9)) + share * below) / 2


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
