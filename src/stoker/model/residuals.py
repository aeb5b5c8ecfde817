"""What a fit leaves open: how attempts scatter around it, as quantiles.

In logarithms of actual over expected. Attempts that were cut off say where the others are, a few that are
far out say nothing, and the tail is longer than a few attempts can show.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from stoker.model.line import PRIOR_NOISE, PRIOR_WEIGHT
from stoker.model.weighted import at_share

PRIOR_TAIL = 0.25  # the mean length of a tail, in logarithms
MOST_TAIL = 1.0  # and the longest: with a longer one there would be no mean
TAIL_PART = 10  # one in so many attempts is of the tail; so many at least, if they are half
QUANTILES = 33
LEAST_TAIL = 0.01  # nothing always takes exactly as long
OUTLASTED = 0.4  # by how much what nobody outlasted goes on: for half as long again
FENCE, LEAST_WIDTH = (
    6,
    0.1,
)  # an outlier is so many times the middle half's width above it, at least of this
SURE = 12  # attempts; of fewer one may be an outlier, of more two, or this share of them
FEW_SHARE = 0.02
_NOTHING = 1e-9  # of a weight
_UNITS = tuple(NormalDist().inv_cdf((k + 0.5) / QUANTILES) for k in range(QUANTILES))


def shifted_up(left: Sequence[tuple[float, float, bool]]) -> list[tuple[float, float]]:
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
        elif above > _NOTHING:
            factor *= 1 + weight / above
        else:
            told.append((r + OUTLASTED, weight * factor))
    return told


def without_outliers(left: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Bring a few that are far above the rest down to the edge; many are no outliers but the tail."""
    ordered = sorted(left)
    quarter, upper = at_share(ordered, 0.25), at_share(ordered, 0.75)
    fence = upper + FENCE * max(upper - quarter, LEAST_WIDTH)
    beyond = sum(weight for r, weight in left if r > fence)
    few = max(1.0 if len(left) < SURE else 2.0, FEW_SHARE * sum(weight for _, weight in left))
    if not beyond or beyond > few + _NOTHING:
        return left
    return [(min(r, fence), weight) for r, weight in left]


def quantiles(left: Sequence[tuple[float, float]], log_mean: float, n: float) -> tuple[float, ...]:
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


def of_tail(n: int) -> int:
    """Return how many of the longest attempts tell of the tail."""
    return max(n // TAIL_PART, min(n // 2, TAIL_PART))


def _tail(ordered: Sequence[tuple[float, float]]) -> float:
    """Return how far, on average, logarithms are beyond a high quantile: the tail's own length.

    Between the k-th largest of an exponential tail and the next is its length over k (Rényi, "On the
    theory of order statistics", Acta Mathematica Academiae Scientiarum Hungaricae 4 (1953) 191-231).
    The widest gap is left out: where there are two kinds of attempts, what is between is not a tail.
    """
    highest = ordered[-1 - of_tail(len(ordered)) :]
    above, gaps = 0.0, []
    for (r, weight), (lower, _) in zip(reversed(highest), reversed(highest[:-1]), strict=False):
        above += weight
        gaps.append(above * (r - lower))
    # Of n gaps of mean length 1, the widest has 1 + 1/2 + ... + 1/n.
    n = len(gaps) - sum(1 / k for k in range(1, len(gaps) + 1))
    seen = sum(gaps) - max(gaps, default=0.0)
    found = (PRIOR_WEIGHT * PRIOR_TAIL + seen) / (PRIOR_WEIGHT + n)
    return min(max(found, LEAST_TAIL), MOST_TAIL)
