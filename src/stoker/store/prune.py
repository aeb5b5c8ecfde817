"""Forgetting, by age and state: items, earlier attempts, what attempts wrote, the journal's details.

`steps` does one small transaction at a time, for `stoker prune`, which does them all at once, and for
the janitor, which does some now and then. Published files are never touched.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from stoker.model.selection import Selection
from stoker.model.settings import Retention
from stoker.store import condense, fold, forget, waste
from stoker.store import selection as selections
from stoker.store.journal import Entry, append, to_json
from stoker.store.pruned import Pruned

if TYPE_CHECKING:
    from stoker.store.control import Who
    from stoker.store.unit import Store

_FOLD_LIMIT_S = 30.0


def prune(
    store: "Store",
    retention: Retention,
    *,
    pipeline: str | None = None,
    who: "Who | None" = None,
    dry_run: bool = False,
) -> Pruned:
    """Everything that is older than `retention` says is forgotten; of one pipeline, or of all.

    The journal says first who asked for it, and why, if a person did.
    """
    done = Pruned()
    if who is not None and not dry_run:
        with store.writing() as unit:
            append(unit, [Entry("prune", pipeline, n=0, data=to_json(who.data()))])
    for _ in steps(store, retention, done, pipeline=pipeline, dry_run=dry_run):
        pass
    return done


def steps(
    store: "Store",
    retention: Retention,
    done: Pruned,
    *,
    pipeline: str | None = None,
    dry_run: bool = False,
) -> Iterator[None]:
    """Forget a little at each step, adding it to `done`.

    Cut short, it has done whole items; log files that nothing speaks of any more are noted in the
    store until they are deleted.
    """
    fold.fold(store, limit_s=_FOLD_LIMIT_S)
    with store.reading() as unit:
        now_us = unit.now_us
        if pipeline is not None:
            selections.check(unit, Selection(pipeline=pipeline))

    def before(ages: dict[str, float]) -> dict[str, int]:
        return {word: now_us - int(age_s * 1_000_000) for word, age_s in ages.items()}

    if retention.items:
        for_items = before(dict(retention.items))
        yield from forget.items(store, for_items, done, pipeline=pipeline, dry_run=dry_run)
    if retention.attempts:
        for_attempts = before(dict(retention.attempts))
        yield from forget.attempts(store, for_attempts, done, pipeline=pipeline, dry_run=dry_run)
    if retention.logs:
        for_logs = before(dict(retention.logs))
        yield from forget.logs(store, for_logs, done, pipeline=pipeline, dry_run=dry_run)
    if retention.items or retention.journal is not None:
        ages = [age for age in (retention.journal, *retention.items.values()) if age is not None]
        yield from condense.journal(
            store,
            now_us - int(min(ages) * 1_000_000),
            done,
            of_known=retention.journal is not None,
            pipeline=pipeline,
            dry_run=dry_run,
        )
    if not dry_run:
        fold.fold(store, limit_s=_FOLD_LIMIT_S)
        yield from waste.remove(store, done)
        while store.give_back():
            yield
        while store.give_back():
            yield
