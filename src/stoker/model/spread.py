"""How far attempts scatter around what is expected, as a function of their items' sizes.

Small items often take much the same time, and large ones anything: then one width for all would promise
too much of the large ones and too little of the small. The width is a power of the size, its exponent
drawn towards nought as far as few attempts show it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

PRIOR_SLOPE_SPREAD = 0.2  # of the logarithm of the width, for each logarithm of the size
MOST_SLOPE = 0.6
_ROUNDS = 14  # of halving the interval that contains the slope
_LEAST = 1e-3  # of a deviation: nothing is exactly as expected


class Spread(NamedTuple):
    """The width at a size, as a multiple of the width at `center`, a logarithm of a size.

    Beyond the sizes seen, from `low` to `high`, it is as at their ends.
    """

    slope: float = 0.0
    center: float = 0.0
    low: float = 0.0
    high: float = 0.0

    def at(self, size: int | None) -> float:
        """Return the multiple for an item of that size; None: of unknown size."""
        if size is None or not self.slope:
            return 1.0
        x = min(max(math.log(size + 1), self.low), self.high)
        return math.exp(self.slope * (x - self.center))


EVEN = Spread()  # the same at all sizes


def spread_of(points: Sequence[tuple[float, float, float]]) -> Spread:
    """Return the spread of these: logarithm of the size, of actual over expected, and weight.

    The slope that makes the deviations most likely, if they are as Laplace's law has them: their
    logarithms, weighted by how far each is off, do not grow with the size any more.
    """
    total = sum(weight for _, _, weight in points)
    if not total:
        return EVEN
    center = sum(weight * x for x, _, weight in points) / total
    low, high = min(x for x, _, _ in points), max(x for x, _, _ in points)
    off = [(x - center, max(abs(r), _LEAST) * weight) for x, r, weight in points]

    def excess(slope: float) -> float:
        """By how much what is far off is at larger sizes still; falls as the slope grows."""
        worth = [(dx, far * math.exp(-slope * dx)) for dx, far in off]
        tilted = sum(dx * far for dx, far in worth) / sum(far for _, far in worth)
        return total * tilted - slope / PRIOR_SLOPE_SPREAD**2

    least, most = -MOST_SLOPE, MOST_SLOPE
    for _ in range(_ROUNDS):
        middle = (least + most) / 2
        if excess(middle) > 0:
            least = middle
        else:
            most = middle
    return Spread((least + most) / 2, center, low, high)
