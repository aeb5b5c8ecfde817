"""What loops do while the store does not answer: try again, less and less often, and say so once."""

PAUSE_S = 1.0  # before the first new attempt; doubles up to
PAUSE_MOST_S = 10.0


class Patience:
    """Follows one outage after the other, for one loop."""

    def __init__(self) -> None:
        self.trouble: str | None = None  # since the store last answered
        self._pause_s = PAUSE_S

    def is_news(self, trouble: str) -> bool:
        """Whether this trouble has not been said since the store last answered."""
        before, self.trouble = self.trouble, trouble
        return trouble != before

    def next_pause_s(self) -> float:
        """Return for how long to wait before the next attempt."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, PAUSE_MOST_S)
        return pause_s

    def end(self) -> None:
        """The store has answered."""
        self.trouble, self._pause_s = None, PAUSE_S
