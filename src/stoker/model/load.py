"""One task of a simulation: how long it takes and what it needs meanwhile."""

import math
from collections.abc import Hashable
from typing import NamedTuple

RUNNING = -math.inf  # the order of what runs already: it has its place, and no gate holds it up


class Needs(NamedTuple):
    """What a task takes while it runs: cpus and memory of one host with these tags, slots of pools.

    `host`: the position of the only host that may run it; None: any that has the rest.
    """

    cpus: int = 1
    pools: tuple[tuple[str, int], ...] = ()
    memory_bytes: int = 0
    tags: frozenset[str] = frozenset()
    host: int | None = None


ONE_CPU = Needs()


class Load(NamedTuple):
    """One task: how long it takes on a host of speed 1, what it needs, and what it waits for.

    `order`: lower begins first. `after`: positions of the tasks that come before it. `share`: the
    group that it belongs to, where slots are divided between groups. `together`: all tasks that have
    this run on the host of the first of them that begins; None: wherever there is room.
    """

    seconds: float
    order: float = 0.0
    needs: Needs = ONE_CPU
    after: tuple[int, ...] = ()
    share: str = ""
    together: Hashable = None
