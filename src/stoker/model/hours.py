"""Hours of the day in which a pool is open, on the clock of a place."""

import re
from calendar import timegm
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

PATTERN = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
_SECOND_US = 1_000_000
_LAST_US = 253_370_764_800 * _SECOND_US  # the year 9999: no calendar goes further
_DAYS = 8  # a clock that is put forward may leave out the hour that is looked for


@dataclass(frozen=True, slots=True)
class Hours:
    """From `begin` up to, and without, `end`, in minutes after midnight; `end` may be the next day.

    `zone` is the place whose clock counts; None: that of the host that asks.
    """

    begin: int
    end: int
    zone: str | None = None

    def is_open(self, at_us: int) -> bool:
        """Whether that moment, in microseconds since the epoch, is within these hours.

        One beyond all calendars, as a forecast from next to nothing may have, is within all.
        """
        if at_us >= _LAST_US:
            return True
        local = self._local(at_us)
        minute = local.hour * 60 + local.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def opens_us(self, at_us: int) -> int:
        """Return the first moment from then on that is within these hours."""
        if self.is_open(at_us):
            return at_us
        opens_us = self._begins_us(at_us)
        # Where the clock is put forward or back, the hours may begin at that moment.
        changes_us = self._changes_us(at_us, opens_us)
        return changes_us if changes_us is not None and self.is_open(changes_us) else opens_us

    def _begins_us(self, at_us: int) -> int:
        """Return when the clock shows the begin of these hours next, for the first or second time."""
        first = self._local(at_us).replace(tzinfo=None, second=0, microsecond=0, fold=0)
        first = first.replace(hour=self.begin // 60, minute=self.begin % 60)
        for day in range(_DAYS):
            local = first + timedelta(days=day)
            for begins_us in sorted(self._moment_us(local.replace(fold=fold)) for fold in (0, 1)):
                if begins_us > at_us and self.is_open(begins_us):
                    return begins_us
        return at_us + 86_400 * _SECOND_US  # a place whose clock never shows these hours

    def _changes_us(self, from_us: int, to_us: int) -> int | None:
        """Return the moment in between at which the clock was put forward or back; None if it was not."""
        before = self._ahead_s(from_us)
        if self._ahead_s(to_us) == before:
            return None
        low, high = from_us // _SECOND_US, to_us // _SECOND_US
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (
                (middle, high) if self._ahead_s(middle * _SECOND_US) == before else (low, middle)
            )
        return high * _SECOND_US

    def _ahead_s(self, at_us: int) -> int:
        """Return by how much the clock is ahead of universal time."""
        return timegm(self._local(at_us).timetuple()) - at_us // _SECOND_US

    @property
    def _place(self) -> tzinfo | None:
        return ZoneInfo(self.zone) if self.zone else None

    def _local(self, at_us: int) -> datetime:
        return datetime.fromtimestamp(at_us // _SECOND_US, tz=self._place)

    def _moment_us(self, local: datetime) -> int:
        return int(local.replace(tzinfo=self._place).timestamp()) * _SECOND_US

    def __str__(self) -> str:
        hours = "-".join(f"{one // 60:02}:{one % 60:02}" for one in (self.begin, self.end))
        return f"{hours} ({self.zone})" if self.zone else hours


def parse_hours(text: str, zone: str | None = None) -> Hours:
    """Return the hours that `20:00-08:00` means; ValueError says what is allowed."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"`{text}` is not a time of day; write hours as in `20:00-08:00`")
    begin, end = (int(one[:2]) * 60 + int(one[3:]) for one in text.split("-"))
    if begin == end:
        raise ValueError(f"`{text}` begins when it ends; leave it out for the whole day")
    return Hours(begin, end, zone)
