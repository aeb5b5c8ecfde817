"""The service that keeps pilots under way: one visit to every batch system each few seconds.

What the record alone shows, as a pilot whose worker has enlisted, is acted on at the next tick; the
batch systems themselves are asked once a minute.
"""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import StokerError, StoreGone
from stoker.model.batch import Manners
from stoker.project.opened import Opened, Opening
from stoker.work.patience import Patience
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from stoker.project.verbs.batch import Batch
    from stoker.store.unit import Store

TICK_S = 5.0

_log = logging.getLogger(__name__)


class Pilots(Companion):
    """Visits the batch systems of a project's file, which may change: `reload` reads it again."""

    name = "pilots"

    def __init__(
        self,
        file: Path,
        store: "Store",
        *,
        tick_s: float = TICK_S,
        manners: Manners | None = None,
    ) -> None:
        super().__init__()
        self._file = file
        self._store = store
        self._tick_s = tick_s
        self._manners = manners or Manners()
        self._outage = Patience()
        self._is_stale = False
        self._asked_s: dict[str, float] = {}
        self._batch: Batch | None = None

    def reload(self) -> None:
        """The next visit goes by the file as it is then. From any thread."""
        self._is_stale = True

    def health(self) -> str | None:
        """Return why no batch system can be visited."""
        return self._outage.trouble

    def _run(self) -> None:
        while not self._over.wait(self._tick_s):
            try:
                self._visit()
            except StoreGone:
                return  # the worker says so, and ends
            except (StokerError, OSError) as error:
                if self._outage.is_news(str(error)):
                    _log.warning(
                        "batch systems cannot be visited",
                        extra={"event": "visit_failed", "error": str(error)},
                    )
            else:
                self._outage.end()

    def _visit(self) -> None:
        if self._batch is None or self._is_stale:
            self._is_stale = False
            self._batch = self._read()
        self._batch.visit(is_due=self._is_due)

    def _read(self) -> "Batch":
        """Return the verbs on the batch systems of the file as it is now."""
        from stoker.project.verbs.batch import Batch

        opening = Opening(self._file)
        opening.store = self._store
        return Batch(Opened(self._file, opening=opening), self._manners)

    def _is_due(self, batch: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._asked_s.get(batch, -self._manners.look_s) < self._manners.look_s:
            return False
        self._asked_s[batch] = now_s
        return True
