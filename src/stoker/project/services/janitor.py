"""The thread that keeps counts and the store's file in order while a worker has its hands full."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stoker.errors import StokerError, StoreGone
from stoker.model.retention import Retention
from stoker.model.task import Content
from stoker.store import journal_fold
from stoker.store.brief_waits import if_free
from stoker.store.ends.lost_hosts import begin_again_elsewhere
from stoker.store.ends.reap import promote_all_due, reap
from stoker.store.forecasts import reordering
from stoker.store.holdings import error_folders, temporary
from stoker.store.orders.new_version import settle
from stoker.store.retention import counted_hours
from stoker.store.sharing import retention_of
from stoker.work import leftovers, removal
from stoker.work.patience import Patience
from stoker.work.store_link import StoreLink
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from stoker.store.unit import Store

TICK_S = 3.0
STRETCH = 4.0  # at most, of a tick where workers share cpus
FOLD_LIMIT_S = 2.0  # at each tick; the same for tasks that follow a new version
PRUNE_S = 0.2  # at each tick, while there is something to forget
PRUNE_AGAIN_S = 3600.0
HOURS_AGAIN_S = 86_400.0
LEFTOVERS_S = 15.0  # between looks for what dead workers left on this host

_DONE = object()
_log = logging.getLogger(__name__)


class Janitor(Companion):
    """The service that tidies every few seconds; `also` is called with each tick.

    `scratch_root` is where the workers of this host have their scratch: what one that died together
    with its warden has left there, and running, is cleared by the others. What is older than the
    store's retention says is forgotten, a little at each tick. The `crowding` of the worker beside it
    stretches the time between two ticks, as the janitors of workers that share cpus do the same.

    A store or a disk that does not answer is tried again with the next tick.
    """

    name = "janitor"

    def __init__(
        self,
        store: "Store",
        *,
        scratch_root: str,
        tick_s: float = TICK_S,
        crowding: Callable[[], float] = lambda: 1.0,
        also: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._store = store
        self._retention = Retention()
        self._pruning: Iterator[None] | None = None
        self._prune_from_s = time.monotonic()
        self._hours_from_s = time.monotonic() + PRUNE_AGAIN_S
        self._tick_s = tick_s
        self._crowding = crowding
        self._also = also
        self._scratch_root = scratch_root
        self._cleared_s = time.monotonic()
        self._outage = Patience()

    def stop(self) -> None:
        """The loop has ended, and temporary outputs that nothing needs are gone."""
        super().stop()
        self._try(lambda: remove_temporary(self._store))
        self._try(lambda: _look_after_error_folders(self._store, is_last=True))

    def health(self) -> str | None:
        """Return why housekeeping has to wait."""
        return self._outage.trouble

    def _run(self) -> None:
        while not self._over.wait(self._tick_s * min(self._crowding(), STRETCH)):
            self._try(self._tidy)

    def _try(self, work: Callable[[], None]) -> None:
        """Do it, or say why not; of an outage once."""
        try:
            work()
        except StoreGone:
            return  # the worker says so, and ends
        except (StokerError, OSError) as error:
            if self._outage.is_news(str(error)):
                _log.warning(
                    "housekeeping has to wait",
                    extra={"event": "housekeeping_failed", "error": str(error)},
                )
        else:
            self._outage.end()

    def _tidy(self) -> None:
        settle(self._store, limit_s=FOLD_LIMIT_S)
        journal_fold.fold(self._store, limit_s=FOLD_LIMIT_S)
        reordering.look_after(self._store)
        begin_again_elsewhere(self._store)
        remove_temporary(self._store)
        _look_after_error_folders(self._store)
        self._store.checkpoint()
        self._clear_leftovers()
        self._prune()
        self._forget_hours()
        if self._also is not None:
            self._also()

    def _prune(self) -> None:
        """Forget a little of what is too old; from the beginning every hour, or by a new retention."""
        now_s = time.monotonic()
        retention = retention_of(self._store)
        if retention != self._retention:
            self._retention, self._pruning, self._prune_from_s = retention, None, now_s
        if self._retention.is_nothing or now_s < self._prune_from_s:
            return
        if self._pruning is None:
            from stoker.store.retention import prune
            from stoker.store.retention.counts import Pruned

            self._pruning = prune.steps(self._store, self._retention, Pruned())
        while time.monotonic() < now_s + PRUNE_S:
            if next(self._pruning, _DONE) is _DONE:
                self._pruning = None
                self._prune_from_s = now_s + PRUNE_AGAIN_S
                return

    def _forget_hours(self) -> None:
        """Forget counts of hours long ago, once a day; a short run leaves it to others."""
        now_s = time.monotonic()
        if now_s >= self._hours_from_s:
            self._hours_from_s = now_s + HOURS_AGAIN_S
            for _ in counted_hours.forget(self._store):
                if self._over.is_set():
                    return

    def _clear_leftovers(self) -> None:
        if time.monotonic() >= self._cleared_s + LEFTOVERS_S:
            leftovers.clear(StoreLink(self._store), self._scratch_root)
            self._cleared_s = time.monotonic()


def _look_after_error_folders(store: "Store", *, is_last: bool = False) -> None:
    """Error folders are as they should be; most stores have none, and nothing is loaded for them."""
    if error_folders.are_any(store):
        from stoker.project.services.error_folders import look_after

        look_after(store, is_last=is_last)


def tidy_once(store: "Store") -> None:
    """What dead workers held is ready again, what is due is, counts are right, no waste is left.

    All tasks follow the current versions.     What is older than the store's retention says is forgotten.
    """
    reap(store)
    settle(store)
    promote_all_due(store)
    begin_again_elsewhere(store)
    remove_temporary(store)
    journal_fold.fold(store)
    _look_after_error_folders(store)
    with if_free(store):
        reordering.look_after(store, at_once=True)
    for _ in counted_hours.forget(store):
        pass
    retention = retention_of(store)
    if not retention.is_nothing:
        from stoker.store.retention import prune

        prune.prune(store, retention)
    store.checkpoint()


def remove_temporary(store: "Store") -> None:
    """Temporary outputs that nothing needs any more are gone, as far as they are as published."""
    while temporary.expire(store, _look):
        pass


def _look(path: str, content: Content) -> Callable[[], str | None]:
    """Return what removes a temporary output; what stays of it is in the log."""
    remove = removal.look(path, content)

    def removing() -> str | None:
        kept = remove()
        if kept is not None:
            _log.warning(
                "a temporary output is not as it was published, and is left",
                extra={"event": "temporary_left", "path": kept},
            )
        return kept

    return removing
