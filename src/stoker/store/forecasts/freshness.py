"""Bringing counts and estimates up to date on behalf of verbs that only read."""

from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from stoker.errors import StokerError
from stoker.store import tables
from stoker.store.unit import Prepared, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

_H, _J = tables.head, tables.journal
_BEHIND = Prepared(
    select(
        select(_J.c.id).where(_J.c.seq.is_(None)).limit(1).scalar_subquery().label("unfolded"),
        _H.c.seq - _H.c.learned,
    ).where(and_(_H.c.origin == param("origin"), _H.c.epoch == param("epoch")))
)
LEARN_LIMIT_S = 0.05  # where no worker keeps up with what has ended; the next look goes on


def catch_up(
    store: "Store",
    *,
    fold_s: float,
    learn_s: float | None = None,
    activity_s: float | None = None,
) -> bool:
    """The counts, and with `learn_s` the estimates, contain what has happened; return whether all of it.

    With `activity_s`, so does what timelines and rates are drawn from.

    A verb that reads neither waits for somebody who has locked the store, nor needs the right to
    write: it shows what was counted last. A store that does not answer at all fails at the read.
    """
    try:
        with store.without_waiting():
            with store.reading() as unit:
                own = {"origin": store.site, "epoch": store.epoch}
                unfolded, unlearned = unit.run(_BEHIND, **own).fetchone()
            is_whole = unfolded is None
            if not is_whole:
                from stoker.store import journal_fold

                is_whole = journal_fold.fold(store, limit_s=fold_s)
            if learn_s is not None and (unlearned or unfolded is not None):
                from stoker.store.forecasts import estimates

                estimates.catch_up(store, limit_s=learn_s)
            if activity_s is not None:
                from stoker.store.forecasts import activity

                activity.catch_up(store, limit_s=activity_s)
    except StokerError:
        return False
    return is_whole
