"""A pilot's reports while it works, and the order to end that it may find."""

from typing import TYPE_CHECKING

from stoker.errors import StokerError
from stoker.store.pilots import starts
from stoker.work.patience import Patience
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from collections.abc import Callable

    from stoker.store.pilots.pilots import Pilot
    from stoker.store.unit import Store
    from stoker.work.progress import Event

REPORT_S = 60.0


class PilotReports(Companion):
    """Reports every minute how much the worker of a pilot has done; stops it once that is ordered.

    `see` gets the worker's snapshots, and hands them on to `on_event`; `on_order` stops it in order.
    """

    name = "pilot"

    def __init__(
        self,
        store: "Store",
        pilot: "Pilot",
        on_event: "Callable[[Event], None]",
        *,
        every_s: float = REPORT_S,
    ) -> None:
        super().__init__()
        self.pilot = pilot
        self.on_order: Callable[[], None] | None = None
        self._store = store
        self._on_event = on_event
        self._every_s = every_s
        self._outage = Patience()
        self._done = 0

    def see(self, event: "Event") -> None:
        """The worker is at this."""
        self._done = event.done
        self._on_event(event)

    def health(self) -> str | None:
        """Return why it cannot report."""
        return self._outage.trouble

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                goes_on = starts.report(self._store, self.pilot.uid, done=self._done)
            except StokerError as error:
                self._outage.is_news(str(error))  # the worker says so itself
                continue
            self._outage.end()
            if not goes_on and self.on_order is not None:
                self.on_order()
                self.on_order = None  # a second order would not let what runs end
