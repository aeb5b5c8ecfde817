"""The service that visits outposts: each as often as the file says, one at a time and apart from others.

An outpost that does not answer holds nobody up but itself: every one has a thread of its own.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import StokerError, StoreGone
from stoker.project.opened import Opened, Opening
from stoker.work import threads
from stoker.work.patience import Patience
from stoker.work.threads import Companion

if TYPE_CHECKING:
    import threading

    from stoker.outpost.visited import Visited
    from stoker.project.verbs.sites import Sites
    from stoker.store.unit import Store

TICK_S = 1.0
MORE_S = 2.0  # after a visit that has left something for the next
END_S = 5.0  # for visits that are under way when all ends; what they leave, the next one does

_log = logging.getLogger(__name__)


class Visits(Companion):
    """Visits the outposts of a project's file, which may change: `reload` reads it again.

    `on_news` is called when a visit has brought something, so that others need not wait.
    """

    name = "visits"

    def __init__(
        self,
        file: Path,
        store: "Store",
        *,
        every_s: float | None = None,
        on_news: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._file = file
        self._store = store
        self._every_s = every_s
        self._on_news = on_news
        self._fail: threads.OnFailure = lambda _problem: None
        self._is_stale = True
        self._sites: Sites | None = None
        self._due_s: dict[str, float] = {}
        self._under_way: dict[str, threading.Thread] = {}
        self._outages: dict[str, Patience] = {}

    def start(self, on_failure: threads.OnFailure) -> None:
        """Visits are made from now on."""
        self._fail = on_failure
        super().start(on_failure)

    def reload(self) -> None:
        """The next visit goes by the file as it is then. From any thread."""
        self._is_stale = True

    def has_sites(self) -> bool:
        """Whether there is any site to visit."""
        self._sites = self._sites or self._read()
        return bool(self._sites.intervals())

    def health(self) -> str | None:
        """Return why an outpost cannot be visited, of the first that cannot."""
        return next((one.trouble for one in list(self._outages.values()) if one.trouble), None)

    def _run(self) -> None:
        while not self._over.wait(TICK_S if self._every_s is None else min(TICK_S, self._every_s)):
            try:
                self._visit_due()
            except StoreGone:
                break  # the worker says so, and ends
            except (StokerError, OSError) as error:
                self._note("", error)
        if self._sites is not None:
            self._sites.break_off()
        until_s = time.monotonic() + END_S
        for thread in self._under_way.values():
            thread.join(max(0.0, until_s - time.monotonic()))

    def _visit_due(self) -> None:
        if self._sites is None or self._is_stale:
            self._is_stale = False
            self._sites = self._read()
            self._sites.take_over()
        now_s = time.monotonic()
        for name, every_s in self._sites.intervals().items():
            thread = self._under_way.get(name)
            if now_s < self._due_s.get(name, 0.0) or (thread is not None and thread.is_alive()):
                continue
            self._due_s[name] = now_s + min(every_s, self._every_s or every_s)
            self._under_way[name] = threads.start(
                self._visit, self._sites, name, name=f"stoker-visit-{name}", on_failure=self._fail
            )

    def _visit(self, sites: "Sites", name: str) -> None:
        try:
            self._visit_once(sites, name)
        except Exception:
            if self._over.is_set():
                return  # the store was closed before a visit that hangs came to its end
            raise

    def _visit_once(self, sites: "Sites", name: str) -> None:
        try:
            done = sites.visit(name)
        except StoreGone:
            return
        except (StokerError, OSError) as error:
            self._note(name, error)
            return
        self._outages.setdefault(name, Patience()).end()
        if _is_news(done):
            self._on_news()
        if done.more:
            self._due_s[name] = min(self._due_s[name], time.monotonic() + MORE_S)

    def _note(self, name: str, error: Exception) -> None:
        if self._outages.setdefault(name, Patience()).is_news(str(error)):
            _log.warning(
                "a site cannot be visited; `stoker site list` says why",
                extra={"event": "visit_failed", "site": name, "error": str(error)},
            )

    def _read(self) -> "Sites":
        """Return the verbs on the sites of the file as it is now."""
        from stoker.project.verbs.sites import Sites

        opening = Opening(self._file)
        opening.store = self._store
        return Sites(Opened(self._file, opening=opening))


def _is_news(done: "Visited") -> bool:
    return bool(done.recorded or done.lost or done.given_back or done.cancelled)
