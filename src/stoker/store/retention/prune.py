"""Forgetting, by age and state: items, earlier attempts, what attempts wrote, the journal's details.

`steps` does one small transaction at a time, for `stoker prune`, which does them all at once, and for
the janitor, which does some now and then. Published files are never touched.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.store import journal_fold
from stoker.store import selection as selections
from stoker.store.journal import Entry, append, to_json
from stoker.store.retention import condense, deleted_logs, forget
from stoker.store.retention.counts import Pruned

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store

_FOLD_LIMIT_S = 30.0
_EVERYTHING = Selection()
FORGETTABLE = ("done", "cancelled")  # states of items


def prune(
    store: "Store",
    retention: Retention,
    *,
    selection: Selection = _EVERYTHING,
    actor: "Actor | None" = None,
    dry_run: bool = False,
) -> Pruned:
    """What is older than `retention` says is forgotten; of one pipeline, or of all.

    A selection that says more than a pipeline chooses items to forget; nothing else is forgotten
    then. The journal says first who asked for it, and why, if a person did.
    """
    done = Pruned()
    wanted = _narrowed(retention, selection)
    with store.reading() as unit:
        selections.check(unit, selection)
    if actor is not None and not dry_run:
        with store.writing() as unit:
            append(unit, [Entry("prune", selection.pipeline, n=0, data=to_json(actor.data()))])
    for _ in steps(store, wanted, done, selection=selection, dry_run=dry_run):
        pass
    return done


def chooses_items(selection: Selection) -> bool:
    """Whether it says more than a pipeline, so that only items can be meant."""
    return not replace(selection, pipeline=None).is_everything


def _narrowed(retention: Retention, selection: Selection) -> Retention:
    """Return the ages that apply to what is selected; UserError where there are none."""
    if selection.steps:
        raise UserError("an item is forgotten with all its steps; select items without `--step`")
    selections.where_filter(selection)
    if not chooses_items(selection):
        return retention
    for word in selection.states:
        if word not in FORGETTABLE:
            raise UserError(
                f"`{word}` is not a state in which items can be forgotten; "
                f"those are {', '.join(f'`{state}`' for state in FORGETTABLE)}"
            )
    states = selection.states or FORGETTABLE
    ages = {word: age_s for word, age_s in retention.items.items() if word in states}
    if not ages:
        raise UserError(
            "give the age of the items to forget, as `--older-than 365d`, or set `items` in "
            "`[retention]` of `stoker.toml`"
        )
    return Retention(items=ages)


def steps(
    store: "Store",
    retention: Retention,
    done: Pruned,
    *,
    selection: Selection = _EVERYTHING,
    dry_run: bool = False,
) -> Iterator[None]:
    """Forget a little at each step, adding it to `done`.

    Cut short, it has done whole items; log files that nothing speaks of any more are noted in the
    store until they are deleted.
    """
    journal_fold.fold(store, limit_s=_FOLD_LIMIT_S)
    with store.reading() as unit:
        now_us = unit.now_us
    pipeline = selection.pipeline

    def before(ages: dict[str, float]) -> dict[str, int]:
        return {word: now_us - int(age_s * 1_000_000) for word, age_s in ages.items()}

    if retention.items:
        for_items = before(dict(retention.items))
        yield from forget.items(store, for_items, done, selection=selection, dry_run=dry_run)
    if retention.attempts:
        for_attempts = before(dict(retention.attempts))
        yield from forget.attempts(store, for_attempts, done, pipeline=pipeline, dry_run=dry_run)
    if retention.logs:
        for_logs = before(dict(retention.logs))
        yield from forget.logs(store, for_logs, done, pipeline=pipeline, dry_run=dry_run)
    if not chooses_items(selection) and (retention.items or retention.journal is not None):
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
        journal_fold.fold(store, limit_s=_FOLD_LIMIT_S)
        yield from deleted_logs.remove(store, done)
        while store.give_back():
            yield
        while store.give_back():
            yield
