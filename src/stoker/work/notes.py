"""Owns what the store is shown of attempts that take a while: their process, and their publishing."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress

from stoker.errors import Unavailable
from stoker.model.id_types import AttemptId
from stoker.work.link import Link
from stoker.work.running import Publishing, Running

NOTE_AFTER_S = 1.0  # an attempt that runs, or is published, for longer shows that in the store


class Notes:
    """The notes of one worker; each attempt is noted once, and again where the store was away."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._noted_s = 0.0

    def take(self, running: Iterable[Running], publishing: Iterable[Running]) -> bool:
        """Note what is due; return whether any attempt has taken a while."""
        now_s, since_us = time.monotonic(), time.time_ns() // 1000 - int(NOTE_AFTER_S * 1_000_000)
        slow = [one for one in running if now_s - one.process.started_s > NOTE_AFTER_S]
        published = {
            one.claimed.attempt: one.stage
            for one in publishing
            if isinstance(one.stage, Publishing) and one.stage.since_us < since_us
        }
        if (slow or published) and now_s >= self._noted_s:
            self._noted_s = now_s + NOTE_AFTER_S
            with suppress(Unavailable):
                self._note_started([one for one in slow if not one.process.is_noted])
                self._note_publishing(
                    {attempt: one for attempt, one in published.items() if not one.is_noted}
                )
        return bool(slow or published)

    def _note_started(self, fresh: list[Running]) -> None:
        if fresh:
            self._link.note_started([one.shown for one in fresh])
            for one in fresh:
                one.process.is_noted = True

    def _note_publishing(self, fresh: Mapping[AttemptId, Publishing]) -> None:
        if fresh:
            self._link.note_publishing({attempt: one.since_us for attempt, one in fresh.items()})
            for one in fresh.values():
                one.is_noted = True
