"""A clock of the store that a test can set."""

from datetime import datetime


class Clock:
    """Goes on by itself from where it was set last."""

    def __init__(self, store, monkeypatch) -> None:
        self.ahead_us = 0
        self.store = store
        for name in ("begin_write", "begin_read"):
            real = getattr(store.dialect, name)
            monkeypatch.setattr(
                store.dialect,
                name,
                lambda *given, real=real, **more: real(*given, **more) + self.ahead_us,
            )

    def us(self) -> int:
        with self.store.reading() as unit:
            return unit.now_us

    def go(self, *, s: float) -> None:
        self.ahead_us += int(s * 1_000_000)

    def to(self, at: datetime) -> None:
        self.ahead_us += int(at.timestamp() * 1_000_000) - self.us()
