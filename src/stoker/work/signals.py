"""Owns the counting of orders to stop, for a worker and for its warden.

One order may come as several signals: a terminal, a service manager and a warden may each pass it on.
"""

import math
import signal
import time

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # orders to stop
# Words that the end is near: `sbatch --signal`, `qsub -notify` and soft limits of time send them.
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
SAME_ORDER_S = 0.3  # signals closer together than this are one order


class Signals:
    """How many orders to stop have come."""

    def __init__(self) -> None:
        self.count = 0
        self._signalled_s = -math.inf

    def add(self) -> None:
        """One more order has come."""
        self.count += 1

    def add_signal(self) -> bool:
        """Whether the signal that has just come is an order of its own, which is counted then."""
        now_s = time.monotonic()
        if now_s - self._signalled_s <= SAME_ORDER_S:
            return False
        self._signalled_s = now_s
        self.count += 1
        return True


early: list[int] = []  # the warnings that came before there was a worker to hear of them


def note_early(number: int, _frame: object) -> None:
    """Take a warning on behalf of the worker that is about to be."""
    early.append(number)
