"""What the sources of a pipeline hold now, taken in once; and their records of how items stand."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stoker.intake.register_found import Taker
from stoker.intake.sources.kinds import make_progress, make_source
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
    done = Registered()
    for declared in pipeline.sources:
        source = make_source(
            store, pipeline, declared, project_folder=project_folder, is_staying=False
        )
        taker = Taker(store, pipeline.name, source, actor, max_open=declared.max_open)
        try:
            done.add(_take_settled(taker, declared.settle_s, on_wait))
        finally:
            source.close()
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
        is_last = not taker.source.pending or time.monotonic() >= until_s
        if is_last or taker.is_full:
            # The last look may have met what the looks before it registered.
            ours = total.registered + total.changed - done.registered - done.changed
            total.known = max(0, done.known - ours)
            total.conflicts, total.refused = done.conflicts, done.refused
            total.is_full = taker.is_full
            _tell_rest(taker, total)
            return total
        if on_wait is not None:
            on_wait(taker.source.pending, settle_s)
        time.sleep(settle_s)


def _tell_rest(taker: Taker, done: Registered) -> None:
    """Say what the last look left."""
    pending = taker.source.pending
    if pending and not taker.is_full:
        still = "1 is" if pending == 1 else f"{pending:,} are"
        name = taker.source.name
        done.refuse(
            f"source `{name}`: {still} still being written, or gone; the next run looks again"
        )
    tell = done.say if done.refused else done.refuse  # what was refused is counted already
    for line in (taker.source.trouble or "").splitlines():
        tell(f"source `{taker.source.name}`: {line}")
