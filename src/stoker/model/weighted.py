"""Quantiles of values that count for more or less."""

from collections.abc import Sequence


def median(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the median of values with weights."""
    return at_share(sorted(pairs), 0.5)


def at_share(ordered: Sequence[tuple[float, float]], share: float) -> float:
    """Return the value below which that share of the weight is, of sorted values with weights."""
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
