"""How long the steps of a pipeline take, and how much memory they use of what they ask for.

Of a bounded part of the record: the attempts that estimates are learned from, and the newest ones.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.forecasts.estimates import Took

if TYPE_CHECKING:
    from stoker.store.unit import Store, Unit

NEWEST = 2_000  # attempts, of all pipelines, that are looked through for memory
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_WELL = 0  # how attempts ended that say how long the step takes

_A, _T, _E = tables.attempt, tables.task, tables.estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDurations:
    """One step. `seconds` are quantiles, those of `SHARES`, of `n` attempts that succeeded.

    Memory is what attempts used at most and on average, of the `n_measured` newest; None: unknown.
    """

    step: str
    n: int
    seconds: tuple[float, ...]
    n_measured: int = 0
    most_bytes: int | None = None
    mean_bytes: int | None = None


def durations(store: "Store", pipeline: str) -> list[StepDurations]:
    """Return the steps of the pipeline that have been done, in no order."""
    with store.reading() as unit:
        steps = {
            one.id: one.name for one in catalog(unit).steps.values() if one.pipeline == pipeline
        }
        query = select(_E.c.step_id, _E.c.sample).where(_E.c.step_id.in_(sorted(steps)))
        samples = unit.execute(query).fetchall() if steps else []
        used = _memory(unit, sorted(steps)) if samples else {}
    found = []
    for row in samples:
        took = sorted(
            one.ms / 1000
            for one in (Took(*each) for each in json.loads(row.sample))
            if one.how == _WELL
        )
        if not took:
            continue
        memory = used.get(row.step_id)
        found.append(
            StepDurations(
                step=steps[row.step_id],
                n=len(took),
                seconds=tuple(quantile(took, share) for share in SHARES),
                n_measured=0 if memory is None else memory.n,
                most_bytes=None if memory is None else int(memory.most),
                mean_bytes=None if memory is None else int(memory.mean),
            )
        )
    return found


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which this share of the others is, between two neighbours if need be."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _memory(unit: "Unit", steps: list[int]) -> dict[int, Any]:
    """Return what the newest attempts of these steps used, by step."""
    newest = (
        select(_A.c.task_id, _A.c.max_rss_bytes)
        .where(_A.c.id >= b"")
        .order_by(_A.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
    of_step = _T.c.step_id + 0  # no column, so that nobody begins with all tasks of the steps
    query = (
        select(
            _T.c.step_id,
            func.count().label("n"),
            func.max(newest.c.max_rss_bytes).label("most"),
            func.avg(newest.c.max_rss_bytes).label("mean"),
        )
        .join(_T, _T.c.id == newest.c.task_id)
        .where(newest.c.max_rss_bytes > 0, of_step.in_(steps))
        .group_by(_T.c.step_id)
        .limit(len(steps))
    )
    return {row.step_id: row for row in unit.execute(query).fetchall()}
