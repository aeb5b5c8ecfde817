"""What would happen: items that are not pushed yet and what is left in the store, played through."""

import os
import random
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from stoker.intake.globs import edited_files
from stoker.intake.pushed import Listing
from stoker.intake.table import table_items
from stoker.model.encoding import Answer
from stoker.model.forecast import (
    Bulk,
    Open,
    Step,
    expected_loads,
    forecast,
    forecast_bulk,
    needs_of,
)
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.rank import order_key, rank_curves
from stoker.model.shares import Shares
from stoker.model.simulate import Fleet, Host, fleet_of, lower_bound, simulate, split_by_count
from stoker.project.plans.described import fleet_from
from stoker.project.plans.planned import PlannedTask
from stoker.store.forecasts.estimates import curves_of
from stoker.store.forecasts.open_work_by_name import Left, Waiting

if TYPE_CHECKING:
    from stoker.model.curve import Curve
    from stoker.model.estimate import Fit
    from stoker.model.load import Needs
    from stoker.model.pool import Pool
    from stoker.store.unit import Store

ONE_BY_ONE = 5_000  # tasks; the interval of more follows from their total
_NAME = tuple[str, str]  # of a step: its pipeline and its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Answer):
    """What would happen, in the order in which tasks would begin.

    `makespan_s` and `interval_s` are None where no step has a history: then only the order, by size,
    means anything. `lower_bound_s`: no schedule is quicker, if each task takes what is expected.
    `equal_split_s`: each slot given the same number of items beforehand. `impossible` counts tasks
    that need more than any host or pool has; `refused` items that could not be registered.
    """

    pipelines: tuple[str, ...]
    items: int
    tasks: int
    slots: int
    makespan_s: float | None
    interval_s: tuple[float, float] | None
    lower_bound_s: float
    equal_split_s: float
    without_history: tuple[str, ...]
    impossible: int
    refused: tuple[str, ...]
    order: tuple[PlannedTask, ...]

    def to_svg(self) -> str:
        """Return a chart of it: a row for each slot, a bar for each task."""
        from stoker.project.plans.gantt import Caption, draw, duration

        note = "no attempt has ended yet: lengths are guessed, only the order means something"
        if self.makespan_s is not None:
            note = f"about {duration(self.makespan_s)}"
            if self.interval_s is not None:
                note += " ({} to {})".format(*map(duration, self.interval_s))
            note += f" · no order could be quicker than {duration(self.lower_bound_s)}"
            note += f" · {self._busy:.0%} of the slots' time is used"
        caption = Caption(
            heading=f"{', '.join(self.pipelines)}: {self.tasks:,} tasks on {self.slots:,} slots",
            note=note,
            bound_s=self.lower_bound_s,
            interval_s=self.interval_s,
            is_known=self.makespan_s is not None,
        )
        return draw(self.order, caption)

    @property
    def _busy(self) -> float:
        worked_s = sum((one.end_s - one.start_s) * len(one.slots) for one in self.order)
        return worked_s / ((self.makespan_s or 0.0) * self.slots or 1.0)


def plan(
    store: "Store | None",
    pipelines: Sequence[Pipeline],
    paths: Sequence[str],
    *,
    project_folder: str,
    pools: "Sequence[Pool]",
    shares: Shares,
    described: str | None,
    own: Host,
    user: str,
) -> Plan:
    """Return what would happen to the paths, or to what the sources hold, and to what is left.

    On the fleet that is `described`, else on the workers alive, else on this host, `own`. What is not
    registered yet counts as pushed by `user`.
    """
    planner = Planner(store, pipelines, project_folder, shares)
    for one in pipelines:
        planner.add(one, paths, user)
    names, hosts = planner.waiting.hosts, planner.waiting.fleet.hosts
    if described is not None:
        names, hosts = fleet_from(described)
    elif not hosts:
        names, hosts = ["here"], (own,)
    now_us = time.time_ns() // 1000
    return planner.plan(fleet_of(hosts, planner.waiting.pools(pools), now_us, shares), names)


class Planner:
    """Gathers what is to be done, then plays it through. Changes nothing."""

    def __init__(
        self,
        store: "Store | None",
        pipelines: Sequence[Pipeline],
        project_folder: str,
        shares: Shares,
    ) -> None:
        self.store = store
        self.pipelines = {one.name: one for one in pipelines}
        self.folder = project_folder
        self.shares = shares
        self.refused: list[str] = []
        self.waiting = Waiting(store)
        self.tasks: list[Open] = []
        self.names: list[str] = []  # the item of each task
        self.steps: dict[Hashable, Step] = {}
        self.ranks: dict[Hashable, Curve] = {}
        for one in pipelines:
            self._reckon(one)

    def _reckon(self, pipeline: Pipeline) -> None:
        fits: dict[str, Fit | None] = {
            step.name: self.waiting.fits.get((pipeline.name, step.name)) for step in pipeline.steps
        }
        places = {name: at for at, name in enumerate(fits)}
        curves = curves_of({at: fits[name] for name, at in places.items()})
        own = {name: curves[at] for name, at in places.items()}
        after = {name: pipeline.successors(name) for name in fits}
        retries = {step.name: step.retries for step in pipeline.steps}
        for name, curve in rank_curves(after, own).items():
            self.steps[pipeline.name, name] = Step(own[name], fits[name], retries[name])
            self.ranks[pipeline.name, name] = curve

    def add(self, pipeline: Pipeline, paths: Sequence[str], user: str) -> None:
        """What is left of the pipeline in the store, and these paths or what its sources hold now."""
        for left in self.waiting.of_pipeline(pipeline.name):
            self._add_item(pipeline, left)
        listing = Listing(
            pipeline,
            project_folder=self.folder,
            refuse=self.refused.append,
            priority=pipeline.priority,
        )
        items = listing.names(paths) if paths else self._of_sources(pipeline, listing)
        whole = dict.fromkeys(step.name for step in pipeline.steps)
        for chunk in _chunks(items):
            known = self.waiting.known_keys(pipeline.name, list(chunk))
            for key, item in chunk.items():
                if key not in known and item.reason is None:
                    self._add_item(pipeline, Left(key, item.size_bytes, item.priority, user, whole))

    def _of_sources(self, pipeline: Pipeline, listing: Listing) -> Iterator[NewItem]:
        for source in pipeline.sources:
            if source.folder is not None and os.path.isdir(source.folder):
                if pipeline.items is ItemKind.FOLDERS:
                    inside = os.scandir(source.folder)
                    yield from listing.names(sorted(one.path for one in inside if one.is_dir()))
                else:
                    yield from listing.files_below(source.folder)
            tables = edited_files(source.table, folder=pipeline.folder) if source.table else ()
            for table in filter(os.path.isfile, tables):
                with open(table, "rb") as file:
                    folder = os.path.dirname(table)
                    yield from table_items(
                        listing, file, name=table, folder=folder, form=source.form
                    )

    def _add_item(self, pipeline: Pipeline, left: Left) -> None:
        """Add the tasks of the steps that are left of the item, some of which have run for some time."""
        places: dict[str, int] = {}
        share = self.shares.group(left.by_user, pipeline.name)
        for step in pipeline.steps:
            if step.name not in left.steps:
                continue
            name = (pipeline.name, step.name)
            places[step.name] = len(self.tasks)
            self.tasks.append(
                Open(
                    step=name,
                    size=left.size,
                    order=float(order_key(left.priority, self.ranks[name].at(left.size))),
                    needs=needs_of(step),
                    after=tuple(places[one] for one in step.after if one in places),
                    elapsed_s=left.steps[step.name],
                    share=share,
                    together=step.together and (pipeline.name, left.key, step.together),
                )
            )
            self.names.append(left.key)

    def plan(self, fleet: Fleet, hosts: Sequence[str]) -> Plan:
        """Return what would happen with these hosts, of these names."""
        loads = expected_loads(self.tasks, self.steps)
        schedule = simulate(loads, fleet)
        known = {name for name, step in self.steps.items() if step.fit is not None}
        of_item: dict[tuple[Hashable, str], float] = {}
        for task, key, load in zip(self.tasks, self.names, loads, strict=True):
            pipeline, _ = self._name(task)
            of_item[pipeline, key] = (
                of_item.get((pipeline, key), 0.0) + load.seconds * load.needs.cpus
            )
        interval = self._interval(fleet, schedule.makespan) if known else None
        order = sorted(
            (at for at in range(len(loads)) if schedule.hosts[at] >= 0),
            key=lambda at: (schedule.starts[at], self.tasks[at].order, at),
        )
        slots = _slots(order, self.tasks, schedule.starts, schedule.ends, schedule.hosts)
        return Plan(
            pipelines=tuple(self.pipelines),
            items=len(of_item),
            tasks=len(self.tasks),
            slots=fleet.slots,
            makespan_s=round(schedule.makespan, 3) if known else None,
            interval_s=interval,
            lower_bound_s=round(lower_bound(loads, fleet), 3),
            equal_split_s=round(
                split_by_count(list(of_item.values()), fleet.slots, fleet.hosts), 3
            ),
            without_history=tuple(
                sorted({".".join(self._name(t)) for t in self.tasks if t.step not in known})
            ),
            impossible=schedule.never,
            refused=tuple(self.refused),
            order=tuple(
                PlannedTask(
                    pipeline=self._name(self.tasks[at])[0],
                    item=self.names[at],
                    step=self._name(self.tasks[at])[1],
                    start_s=round(schedule.starts[at], 3),
                    end_s=round(schedule.ends[at], 3),
                    host=hosts[schedule.hosts[at]],
                    slots=slots[at],
                )
                for at in order
            ),
        )

    def _name(self, task: Open) -> _NAME:
        name: _NAME = task.step  # type: ignore[assignment]  # a task of a plan has its name there
        return name

    def _interval(self, fleet: Fleet, makespan_s: float) -> tuple[float, float] | None:
        """Return between which times the end comes in eight of ten cases."""
        draw = random.Random(len(self.tasks)).random  # noqa: S311 - the same plan each time
        if len(self.tasks) <= ONE_BY_ONE:
            found = forecast(self.tasks, self.steps, fleet, draw).get(None)
        else:
            found = forecast_bulk(_bulks(self.tasks), self.steps, fleet, draw)
        if found is None:
            return None
        return (round(min(found.low_s, makespan_s), 3), round(max(found.high_s, makespan_s), 3))


def _chunks(items: Iterable[NewItem], n: int = 500) -> Iterator[dict[str, NewItem]]:
    chunk: dict[str, NewItem] = {}
    for item in items:
        chunk[item.key] = item
        if len(chunk) >= n:
            yield chunk
            chunk = {}
    if chunk:
        yield chunk


def _bulks(tasks: Sequence[Open]) -> list[Bulk]:
    totals: dict[tuple[Hashable, Needs], list[int]] = {}
    for task in tasks:
        found = totals.setdefault((task.step, task.needs), [0, 0, 0])
        found[0] += 1
        found[1] += task.size or 0
        found[2] += task.size is not None
    return [
        Bulk(step, n, round(size / sized) if sized else None, needs)
        for (step, needs), (n, size, sized) in totals.items()
    ]


def _slots(
    order: Sequence[int],
    tasks: Sequence[Open],
    starts: Sequence[float],
    ends: Sequence[float],
    hosts: Sequence[int],
) -> dict[int, tuple[int, ...]]:
    """Return for each task the slots of its host that it has, counted from 0."""
    free: dict[int, list[int]] = {}
    fresh: dict[int, int] = {}
    busy: list[tuple[float, int, int]] = []
    found: dict[int, tuple[int, ...]] = {}
    for at in order:
        while busy and busy[0][0] <= starts[at]:
            _, host, slot = heappop(busy)
            heappush(free.setdefault(host, []), slot)
        host = hosts[at]
        idle, cpus = free.setdefault(host, []), tasks[at].needs.cpus
        while len(idle) < cpus:
            heappush(idle, fresh.get(host, 0))
            fresh[host] = fresh.get(host, 0) + 1
        if cpus == 1:
            mine = [heappop(idle)]
        else:
            idle.sort()  # a sorted list is a heap
            first = _neighbours(idle, cpus)
            mine = idle[first : first + cpus]
            del idle[first : first + cpus]
        for slot in mine:
            heappush(busy, (ends[at], host, slot))
        found[at] = tuple(mine)
    return found


def _neighbours(slots: Sequence[int], n: int) -> int:
    """Return where `n` adjacent slots begin; 0 if nowhere."""
    for at in range(len(slots) - n + 1):
        if slots[at + n - 1] - slots[at] == n - 1:
            return at
    return 0
