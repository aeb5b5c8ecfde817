"""The ready tasks of a simulation, and which of them comes next: by order alone, or by fair shares."""

import math
from collections.abc import Collection, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from stoker.model.load import RUNNING, Load, Needs
from stoker.model.rank import priority_of
from stoker.model.shares import Shares

_Place = tuple[float, ...]  # in the order of what comes next; ends with the task's position


class _Lane:
    """The ready tasks of equal needs and of one group."""

    __slots__ = ("needs", "share", "tasks")

    def __init__(self, needs: Needs, share: str) -> None:
        self.needs = needs
        self.share = share
        self.tasks: list[tuple[float, int]] = []


class Queues:
    """Ready tasks stand in a lane for each class of equal needs and each group that shares slots.

    Of tasks of equal priority the one whose group has had the least comes next, in seconds of cpus
    over its weight. As in the ledgers of workers, who had nothing to do gains nothing by it.
    """

    def __init__(self, loads: Sequence[Load], shares: Shares) -> None:
        self.order: Sequence[float] = [load.order for load in loads]
        self._loads = loads
        self._shares = shares
        self._is_shared = shares.by is not None
        self._lanes: dict[tuple[Needs, str], _Lane] = {}
        self._heads: list[tuple[_Place, _Lane]] = []
        self._had: dict[str, float] = {}
        self._running: dict[str, int] = {}
        self._busy: set[str] = set()

    def add(self, at: int) -> None:
        """The task at this position is ready."""
        load = self._loads[at]
        name = load.needs, load.share
        if name not in self._lanes:
            self._lanes[name] = _Lane(*name)
            self._had.setdefault(load.share, 0.0)
        heappush(self._lanes[name].tasks, (self.order[at], at))

    def reorder(self, order: Sequence[float]) -> None:
        """From now on the tasks have this order."""
        self.order = order
        for lane in self._lanes.values():
            lane.tasks = [(order[at], at) for _, at in lane.tasks]
            heapify(lane.tasks)

    def begin(self, closed: Collection[Needs] = ()) -> None:
        """Look at all lanes again, from the first; tasks of needs that are `closed` do not count."""
        lanes = [lane for lane in self._lanes.values() if lane.tasks]
        if self._is_shared:
            self._let_in({lane.share for lane in lanes if lane.needs not in closed})
        self._heads = [(self._place(lane), lane) for lane in lanes]
        heapify(self._heads)

    def first(self) -> int | None:
        """Return the position of the task that comes next; None where no lane is left."""
        while self._heads:
            place, lane = self._heads[0]
            if not self._is_shared or place[1] == self._had[lane.share]:
                return lane.tasks[0][1]
            heapreplace(self._heads, (self._place(lane), lane))  # its group has had more since
        return None

    def pass_over(self) -> None:
        """The first task does not fit: nothing of its lane begins until all are looked at again."""
        heappop(self._heads)

    def take(self, seconds: float) -> None:
        """The first task begins, and will take so long."""
        lane = self._heads[0][1]
        heappop(lane.tasks)
        if self._is_shared:
            share = lane.share
            self._had[share] += seconds * lane.needs.cpus / self._shares.weight(share)
            self._running[share] = self._running.get(share, 0) + 1
        if lane.tasks:
            heapreplace(self._heads, (self._place(lane), lane))
        else:
            heappop(self._heads)

    def end(self, at: int) -> None:
        """The task has ended."""
        if self._is_shared:
            self._running[self._loads[at].share] -= 1

    def _place(self, lane: _Lane) -> _Place:
        if not self._is_shared:
            return lane.tasks[0]
        order, at = lane.tasks[0]
        priority = math.inf if order == RUNNING else priority_of(round(order))
        return -priority, self._had[lane.share], order, at

    def _let_in(self, present: set[str]) -> None:
        """These groups have tasks: those that had none before stand where the least served does."""
        if not present <= self._busy:
            least = min((self._had[share] for share in self._busy), default=0.0)
            for share in present - self._busy:
                self._had[share] = max(self._had[share], least)
        self._busy = present | {share for share, n in self._running.items() if n}
