"""Working until nothing is left, and what is said at the end."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.project.janitor import Janitor
from stoker.store import reports
from stoker.store.claim import Left, anything_left
from stoker.store.reap import promote_due, reap

if TYPE_CHECKING:
    from stoker.model.settings import Settings
    from stoker.store.connect import Store
    from stoker.work.progress import Event

OnEvent = Callable[["Event"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Where everything stands after a run.

    All but `items`, `quarantined` and `elapsed_s` count tasks. `was_idle`: there was nothing to do.
    `was_interrupted`: somebody stopped it.
    """

    items: int
    tasks: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    held: int
    blocked: int
    quarantined: int
    elapsed_s: float
    was_idle: bool = False
    was_interrupted: bool = False


def left_to_do(store: "Store") -> Left:
    """Return what is left, after taking back what dead workers held."""
    reap(store)
    promote_due(store)
    return anything_left(store)


def work_off(
    store: "Store",
    settings: "Settings",
    *,
    pipeline: str | None,
    slots: int | None,
    on_event: OnEvent | None,
) -> RunSummary:
    """Nothing is ready, running or in back-off any more, unless somebody interrupted.

    The worker is gone, nothing is left of workers that died on this host, and the counts are up to
    date.
    """
    started = time.monotonic()
    from stoker.work import leftovers

    is_idle = left_to_do(store).is_nothing
    was_interrupted = False
    scratch_root = leftovers.scratch_root(store, settings)
    if is_idle:
        leftovers.clear(store, scratch_root)
    else:
        from stoker.work.worker import Worker

        worker = Worker(store, settings, slots=slots, drain=True, on_event=on_event)
        with Janitor(store, scratch_root=scratch_root):
            was_interrupted = worker.work().was_interrupted
    return summarise(
        store,
        pipeline=pipeline,
        elapsed_s=time.monotonic() - started,
        was_idle=is_idle,
        was_interrupted=was_interrupted,
    )


def summarise(
    store: "Store",
    *,
    pipeline: str | None,
    elapsed_s: float,
    was_idle: bool,
    was_interrupted: bool,
) -> RunSummary:
    """Return where the pipeline, or all of them, stands now."""
    found = reports.status(store, pipeline=pipeline).pipelines.values()
    tasks = {
        word: sum(one.tasks[word] for one in found)
        for word in ("done", "failed", "skipped", "cancelled", "held", "blocked")
    }
    return RunSummary(
        items=sum(sum(one.items.values()) for one in found),
        tasks=sum(sum(one.tasks.values()) for one in found),
        **tasks,
        quarantined=sum(one.items["quarantined"] for one in found),
        elapsed_s=round(elapsed_s, 3),
        was_idle=was_idle,
        was_interrupted=was_interrupted,
    )
