"""The order of tasks: the upward rank, that is how long the way from a task to its item's end is.

Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling for
heterogeneous computing", IEEE Transactions on Parallel and Distributed Systems 13 (2002) 260-274:
a task's rank is its own expected length and the largest rank among its successors. What is on
the longest way begins first.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from stoker.model.curve import Curve

KNOTS = 8  # of a curve of ranks, at most
PRIORITY_BITS = 40  # a priority is 2^40 milliseconds of rank: no rank reaches the next priority
PROBE_S = 1e6  # added to a rank: more than a way is long, less than a priority
MOST_MS = (1 << PRIORITY_BITS - 1) - 1  # seventeen years: a rank is never longer
_RANK_BITS = (1 << PRIORITY_BITS) - 1
Name = TypeVar("Name", bound=Hashable)


def upward_ranks(
    successors: Mapping[Name, Sequence[Name]], seconds: Mapping[Name, float]
) -> dict[Name, float]:
    """Return the rank of each node of a graph without cycles."""
    ranks: dict[Name, float] = {}
    open_: list[Name] = list(successors)
    while open_:
        name = open_[-1]
        missing = [after for after in successors[name] if after not in ranks]
        if name in ranks or not missing:
            open_.pop()
            after = (ranks[one] for one in successors[name])
            ranks[name] = seconds[name] + max(after, default=0.0)
        else:
            open_ += missing
    return ranks


def rank_curves(
    successors: Mapping[Name, Sequence[Name]], own: Mapping[Name, Curve]
) -> dict[Name, Curve]:
    """Return ranks by size, on the same knots for all steps, so that they fall along every edge.

    So they do for sizes beyond the last knot: the slopes there add up along the steepest way, as
    the seconds do along the longest, so that no successor overtakes however large an item is.
    """
    sizes = _thinned(sorted({size for curve in own.values() for size in curve.sizes}))
    at = [
        upward_ranks(successors, {name: curve.at(size) for name, curve in own.items()})
        for size in sizes
    ]
    without = upward_ranks(successors, {name: curve.without_size for name, curve in own.items()})
    beyond = upward_ranks(successors, {name: curve.pieces()[-1][1] for name, curve in own.items()})
    return {
        name: Curve(tuple(sizes), tuple(ranks[name] for ranks in at), without[name], beyond[name])
        for name in successors
    }


def probing(
    ranks: Mapping[Name, Curve],
    successors: Mapping[Name, Sequence[Name]],
    unknown: Collection[Name],
) -> dict[Name, Curve]:
    """Return the ranks with later steps of which nothing is known before all else, deepest first.

    So the first items go through to their end, and show early how long each step takes, and whether
    it works at all. First steps are left as they are: of these all tasks may be ready at once.
    """
    before = {name: [one for one in ranks if name in successors[one]] for name in ranks}
    depths = upward_ranks(before, dict.fromkeys(ranks, 1.0))
    return {
        name: curve.plus(PROBE_S * (depths[name] - 1)) if name in unknown else curve
        for name, curve in ranks.items()
    }


def order_key(priority: int, rank_s: float) -> int:
    """Return what tasks are claimed by, lowest first: higher priority, then longer rank."""
    return -((priority << PRIORITY_BITS) + rank_ms(rank_s))


def rank_ms(rank_s: float) -> int:
    """Return a rank in whole milliseconds, within what an order key has room for."""
    return min(max(round(rank_s * 1000), 0), MOST_MS)


def priority_of(key: int) -> int:
    """Return the priority in an order key."""
    return -key >> PRIORITY_BITS


def rank_of(key: int) -> float:
    """Return the rank in an order key, in seconds."""
    return (-key & _RANK_BITS) / 1000


def _thinned(sizes: Sequence[int]) -> list[int]:
    """Return at most `KNOTS` of these, the ends among them."""
    if len(sizes) <= KNOTS:
        return list(sizes)
    return sorted({sizes[round(k * (len(sizes) - 1) / (KNOTS - 1))] for k in range(KNOTS)})
