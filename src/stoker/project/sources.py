"""What the sources of a pipeline hold now, taken in once; and their records of how items stand."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stoker.intake.register_found import Taker
from stoker.intake.sources.kinds import make_progress, make_source
from stoker.model.pipeline import ItemKind
from stoker.store.arrivals.counts import Registered

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.store.actor import Actor
    from stoker.store.unit import Store

PATIENCE = 10  # times `settle` that a run waits for what goes on changing
OnWait = Callable[[int, float], None]


def write_progress(store: "Store", pipeline: "Pipeline", actor: "Actor") -> None:
    """Those sources of the pipeline that keep a record of their items have how all stand now.

    What went wrong stands in the source's row; a later call goes on from there.
    """
    for declared in pipeline.sources:
        progress = make_progress(store, pipeline, declared)
        if progress is not None:
            try:
                Taker(store, pipeline.name, progress, actor).take()
            finally:
                progress.close()


def take_sources(
    store: "Store",
    pipeline: "Pipeline",
    actor: "Actor",
    *,
    project_folder: str,
    on_wait: OnWait | None = None,
) -> Registered | None:
    """What the pipeline's sources hold now is registered; None if it has none.

    What was changed lately is waited for until it has settled, and left for a later call if it goes
    on changing for ten times as long.
    """
    if not pipeline.sources:
        return None
    done = Registered(pipeline=pipeline.name)
    for declared in pipeline.sources:
        source = make_source(
            store,
            pipeline,
            declared,
            project_folder=project_folder,
            is_staying=False,
            actor=actor,
        )
        taker = Taker(store, pipeline.name, source, actor, max_open=declared.max_open)
        try:
            if declared.group is None:
                done.add(_take_settled(taker, declared.settle_s, on_wait))
            else:
                done.add(taker.take())
                _tell_trouble(taker, done)
        finally:
            source.close()
    return done


def last_groups(
    store: "Store",
    pipelines: "Sequence[Pipeline]",
    actor: "Actor",
    *,
    on_wait: OnWait | None = None,
) -> "Callable[[], list[Registered]] | None":
    """Return what registers groups that only wait for time to pass; None where there are no groups.

    To be called when everything else is done and the sources have nothing new: it returns what
    changed anything. A file that names members and was written just now is waited for until it has
    settled.
    """
    of_groups = [pipeline for pipeline in pipelines if pipeline.items is ItemKind.GROUPS]

    def take() -> list[Registered]:
        taken = (_take_last(store, pipeline, actor, on_wait) for pipeline in of_groups)
        return [one for one in taken if one is not None and one.is_news]

    return take if of_groups else None


def _take_last(
    store: "Store", pipeline: "Pipeline", actor: "Actor", on_wait: OnWait | None
) -> Registered | None:
    from stoker.intake.sources.group import GroupSource

    done = None
    for declared in pipeline.sources:
        if declared.group is not None:
            source = GroupSource(store, pipeline, declared, actor=actor, is_staying=False)
            source.is_last = True
            taker = Taker(store, pipeline.name, source, actor)
            done = taker.take()
            if source.settles_in_s:
                if on_wait is not None:
                    on_wait(1, source.settles_in_s)
                time.sleep(source.settles_in_s)
                done.add(taker.take())
            done.pipeline = pipeline.name
            _tell_trouble(taker, done)
    return done


def _take_settled(taker: Taker, settle_s: float, on_wait: OnWait | None) -> Registered:
    """Take from a source, and again while something in it has not settled."""
    total = Registered()
    until_s = time.monotonic() + PATIENCE * settle_s
    while True:
        done = taker.take()
        total.registered += done.registered
        total.changed += done.changed
        total.noted += done.noted
        total.quarantined += done.quarantined
        total.messages += [text for text in done.messages if text not in total.messages]
        is_last = not taker.source.standing.pending or time.monotonic() >= until_s
        if is_last or taker.is_full:
            # The last look may have met what the looks before it registered.
            ours = total.registered + total.changed - done.registered - done.changed
            total.known = max(0, done.known - ours)
            total.conflicts, total.refused = done.conflicts, done.refused
            total.is_full = taker.is_full
            _tell_rest(taker, total)
            return total
        if on_wait is not None:
            on_wait(taker.source.standing.pending, settle_s)
        time.sleep(settle_s)


def _tell_rest(taker: Taker, done: Registered) -> None:
    """Say what the last look left."""
    pending = taker.source.standing.pending
    if pending and not taker.is_full:
        still = "1 is" if pending == 1 else f"{pending:,} are"
        name = taker.source.name
        done.refuse(
            f"source `{name}`: {still} still being written, or gone; the next run looks again"
        )
    _tell_trouble(taker, done)


def _tell_trouble(taker: Taker, done: Registered) -> None:
    """Say what went wrong in the last look. Lines that an earlier one refused count as refused, too."""
    is_counted = bool(done.refused)
    tell = done.say if is_counted else done.refuse
    for line in (taker.trouble or taker.source.standing.trouble or "").splitlines():
        tell(f"source `{taker.source.name}`: {line}")
    if not is_counted and not taker.trouble:
        done.refused = max(done.refused, taker.source.standing.refused)
