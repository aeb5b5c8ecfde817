"""Owns what the store is shown of attempts that take a while: their process, and their publishing."""

import time
from collections.abc import Iterable
from contextlib import suppress

from stoker.errors import Unavailable
from stoker.work.link import Link
from stoker.work.running import Running

NOTE_AFTER_S = 1.0  # an attempt that runs, or is published, for longer shows that in the store


class Notes:
    """The notes of one worker; each attempt is noted once, and again where the store was away."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._noted_s = 0.0

    def take(self, running: Iterable[Running], publishing: Iterable[Running]) -> bool:
        """Note what is due; return whether any attempt has taken a while."""
        now_s, since_us = time.monotonic(), time.time_ns() // 1000 - int(NOTE_AFTER_S * 1_000_000)
        slow = [one for one in running if now_s - one.started_s > NOTE_AFTER_S]
        published = [one for one in publishing if (one.publishing_us or 0) < since_us]
        if (slow or published) and now_s >= self._noted_s:
            self._noted_s = now_s + NOTE_AFTER_S
            with suppress(Unavailable):
                self._note_started([one for one in slow if not one.is_noted])
                self._note_publishing([one for one in published if not one.is_publishing_noted])
        return bool(slow or published)

    def _note_started(self, fresh: list[Running]) -> None:
        if fresh:
            self._link.note_started([one.shown for one in fresh])
            for one in fresh:
                one.is_noted = True

    def _note_publishing(self, fresh: list[Running]) -> None:
        if fresh:
            since_us = {one.claimed.attempt: one.publishing_us or 0 for one in fresh}
            self._link.note_publishing(since_us)
            for one in fresh:
                one.is_publishing_noted = True
