"""Working until nothing is left, and what is said at the end."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoker.model.worker import WorkLeft
from stoker.project.services.janitor import Janitor
from stoker.project.services.service import Services
from stoker.store import journal_fold
from stoker.store.claims.claim import anything_left
from stoker.store.ends.reap import promote_all_due, reap
from stoker.store.forecasts import reordering
from stoker.store.forecasts.utilisation import Busy, busy_since, now_us
from stoker.store.reports import overview

if TYPE_CHECKING:
    from stoker.model.settings import Settings
    from stoker.project.away import Away
    from stoker.store.arrivals.counts import Registered
    from stoker.store.unit import Store
    from stoker.work.progress import Event

REORDER_S = 1.0  # before work begins, on tasks that were made ready with an older estimate
OnEvent = Callable[["Event"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Where everything stands after a run.

    All but `items`, `quarantined` and `elapsed_s` count tasks; what is `ready` still needs what was
    not there. `was_idle`: there was nothing to do.
    `was_interrupted`: somebody stopped it. `slots_busy`: the share of the slots' time that attempts
    filled while it worked, which took `worked_s`; had each slot been given the same number of items
    beforehand it would have been `equal_split_s`. These are None where nothing, or too little, ran.
    """

    items: int
    tasks: int
    done: int
    failed: int
    skipped: int
    cancelled: int
    held: int
    blocked: int
    ready: int
    quarantined: int
    elapsed_s: float
    slots_busy: float | None = None
    worked_s: float | None = None
    equal_split_s: float | None = None
    was_idle: bool = False
    was_interrupted: bool = False

    @property
    def lacking(self) -> int:
        """How many tasks are blocked though nothing before them failed, is held or was cancelled.

        They read an output that an older version did not write.
        """
        has_cause = self.failed or self.held or self.cancelled or self.quarantined or self.ready
        return 0 if has_cause or self.was_interrupted else self.blocked


def left_to_do(store: "Store") -> WorkLeft:
    """Return what is left, after taking back what dead workers held."""
    reap(store)
    promote_all_due(store)
    return anything_left(store)


def work_off_in_turns(
    store: "Store",
    settings: "Settings",
    turns: "Turns",
    *,
    pipeline: str | None,
    slots: int | None,
    on_event: OnEvent | None,
    away: "Away",
) -> RunSummary:
    """What was taken is worked off, and what comes of it, until the sources bring nothing new.

    What is out at other sites comes home first.
    """
    started, n = time.monotonic(), 0
    with away.visited():
        while True:
            done = work_off(store, settings, pipeline=pipeline, slots=slots, on_event=on_event)
            n += 1
            if done.was_interrupted:
                break
            try:
                is_more = away.come_home() or turns.go_on()
            except KeyboardInterrupt:
                done = replace(done, was_interrupted=True)
                break
            if not is_more:
                break
    if n > 1:  # what was said of the last turn alone means nothing
        elapsed_s = round(time.monotonic() - started, 3)
        done = replace(
            done,
            elapsed_s=elapsed_s,
            slots_busy=None,
            worked_s=None,
            equal_split_s=None,
            was_idle=False,
        )
    return done


class Turns:
    """What a run takes from the sources, turn by turn.

    `take` is asked again while a source had no room for all of it, and, where there are groups, after
    every turn. When it brings nothing new, `take_last` has groups that only wait for time to pass.
    What is said about what could not be taken is said once.
    """

    def __init__(
        self,
        first: "Sequence[Registered]",
        take: "Callable[[], Sequence[Registered]]",
        take_last: "Callable[[], Sequence[Registered]] | None",
        on_push: "Callable[[Registered], None]",
    ) -> None:
        self._take = take
        self._take_last = take_last
        self._on_push = on_push
        self._told: set[str] = set()
        self._taken = first
        self._tell(first)

    def go_on(self) -> bool:
        """Take what there is now; return whether anything is to be done."""
        was_full = any(one.is_full and one.opened for one in self._taken)
        if not was_full and self._take_last is None:
            return False
        self._taken = self._take()
        self._tell(self._taken)
        if not self._has_more() and self._take_last is not None:
            self._taken = self._take_last()
            self._tell(self._taken)
        return self._has_more()

    def _has_more(self) -> bool:
        return any(one.opened for one in self._taken)

    def _tell(self, taken: "Sequence[Registered]") -> None:
        for one in taken:
            fresh = [text for text in one.messages if text not in self._told]
            one.refused = max(0, one.refused - (len(one.messages) - len(fresh)))
            one.messages = fresh
            self._told.update(fresh)
            if one.is_news:
                self._on_push(one)


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
    from stoker.work import leftovers
    from stoker.work.store_link import StoreLink

    started, since_us = time.monotonic(), now_us(store)
    is_idle = left_to_do(store).is_nothing
    was_interrupted = False
    link = StoreLink(store)
    scratch_root = leftovers.scratch_root(link, settings)
    if is_idle:
        leftovers.clear(link, scratch_root)
    else:
        from stoker.work.worker import Worker

        journal_fold.fold(store)
        reordering.look_after(store, refresh_s=REORDER_S, at_once=True)
        worker = Worker(link, settings, slots=slots, drain=True, on_event=on_event)
        janitor = Janitor(store, scratch_root=scratch_root)
        was_interrupted = Services([janitor], worker).run().was_interrupted
    return summarise(
        store,
        pipeline=pipeline,
        elapsed_s=time.monotonic() - started,
        busy=None if is_idle else busy_since(store, since_us),
        was_idle=is_idle,
        was_interrupted=was_interrupted,
    )


def summarise(
    store: "Store",
    *,
    pipeline: str | None,
    elapsed_s: float,
    busy: Busy | None,
    was_idle: bool,
    was_interrupted: bool,
) -> RunSummary:
    """Return where the pipeline, or all of them, stands now."""
    found = overview.status(store, pipeline=pipeline).pipelines.values()
    tasks = {
        word: sum(one.tasks[word] for one in found)
        for word in ("done", "failed", "skipped", "cancelled", "held", "blocked", "ready")
    }
    return RunSummary(
        items=sum(sum(one.items.values()) for one in found),
        tasks=sum(sum(one.tasks.values()) for one in found),
        **tasks,
        quarantined=sum(one.items["quarantined"] for one in found),
        elapsed_s=round(elapsed_s, 3),
        slots_busy=busy.share if busy else None,
        worked_s=busy.worked_s if busy else None,
        equal_split_s=busy.equal_split_s if busy else None,
        was_idle=was_idle,
        was_interrupted=was_interrupted,
    )
