"""Bringing counts and estimates up to date on behalf of verbs that only read."""

from typing import TYPE_CHECKING

from stoker.errors import StokerError
from stoker.store import journal_fold
from stoker.store.forecasts import estimates

if TYPE_CHECKING:
    from stoker.store.unit import Store


def catch_up(store: "Store", *, fold_s: float, learn_s: float | None = None) -> bool:
    """The counts, and with `learn_s` the estimates, contain what has happened; return whether all of it.

    A verb that reads neither waits for somebody who has locked the store, nor needs the right to
    write: it shows what was counted last. A store that does not answer at all fails at the read.
    """
    try:
        with store.without_waiting():
            is_whole = journal_fold.fold(store, limit_s=fold_s)
            if learn_s is not None:
                estimates.catch_up(store, limit_s=learn_s)
    except StokerError:
        return False
    return is_whole
