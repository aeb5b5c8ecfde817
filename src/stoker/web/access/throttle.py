"""Slows down guessing: after some wrong answers, a name or an address has to wait."""

import threading
import time
from collections.abc import Callable

WRONG = 10  # answers in that time
WINDOW_S = 600.0
_MOST = 10_000  # names and addresses that are remembered


class Throttle:
    """Counts wrong answers by name and by address, of this process: it is a brake, not a record."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._wrong: dict[str, list[float]] = {}

    def wait_s(self, *keys: str) -> float:
        """Return how long the next answer has to wait; 0 if it may come now."""
        with self._lock:
            return max(self._wait_s(key) for key in keys)

    def note_wrong(self, *keys: str) -> None:
        """Another answer for these was wrong."""
        now_s = self._now_s()
        with self._lock:
            for key in keys:
                times = [at for at in self._wrong.pop(key, []) if at > now_s - WINDOW_S]
                self._wrong[key] = [*times, now_s][-WRONG:]
            while len(self._wrong) > _MOST:
                del self._wrong[next(iter(self._wrong))]

    def note_right(self, *keys: str) -> None:
        """An answer for these was right: they begin again."""
        with self._lock:
            for key in keys:
                self._wrong.pop(key, None)

    def _wait_s(self, key: str) -> float:
        times = self._wrong.get(key, [])
        return max(0.0, times[0] + WINDOW_S - self._now_s()) if len(times) >= WRONG else 0.0
