"""Hours of the day, over midnight and over the changes of the clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from stoker.model.hours import Hours, parse_hours

VIENNA = "Europe/Vienna"


def us(text: str, fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(VIENNA), fold=fold)
    return int(local.timestamp()) * 1_000_000


NIGHT, DAY = parse_hours("20:00-08:00", VIENNA), parse_hours("08:00-20:00", VIENNA)


@pytest.mark.parametrize(
    ("at", "is_night"),
    [("19:59:59", False), ("20:00", True), ("23:59", True), ("00:00", True), ("07:59:59", True), ("08:00", False)],
)  # fmt: skip
def test_the_window_over_midnight(at, is_night):
    moment = us(f"2026-05-04T{at}")
    assert NIGHT.is_open(moment) is is_night
    assert DAY.is_open(moment) is not is_night


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-05-04T12:00", "2026-05-04T20:00"),
        ("2026-05-04T21:00", "2026-05-04T21:00"),
        ("2026-03-28T08:30", "2026-03-28T20:00"),
    ],
)
def test_the_night_begins_at_eight_in_the_evening(at, opens):
    assert NIGHT.opens_us(us(at)) == us(opens)


def test_what_is_over_for_today_opens_tomorrow():
    assert DAY.opens_us(us("2026-05-04T20:30")) == us("2026-05-05T08:00")


def test_an_hour_that_the_clock_leaves_out_opens_right_after_or_the_next_day():
    # On 29 March 2026 the clock goes from 02:00 to 03:00.
    assert Hours(150, 480, VIENNA).opens_us(us("2026-03-29T01:00")) == us("2026-03-29T03:30")
    assert Hours(120, 150, VIENNA).opens_us(us("2026-03-29T01:00")) == us("2026-03-30T02:00")


def test_without_a_zone_the_clock_is_the_host_s(monkeypatch):
    import time

    for zone, is_open in ((VIENNA, True), ("America/New_York", False)):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert parse_hours("20:00-08:00").is_open(us("2026-05-04T22:00")) is is_open
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("text", ["", "20:00", "24:00-08:00", "20:60-08:00", "8:00-20:00"])
def test_what_is_no_hours_is_refused(text):
    with pytest.raises(ValueError, match="write hours as in"):
        parse_hours(text)


def test_hours_read_as_they_are_written():
    assert str(parse_hours("20:00-08:05")) == "20:00-08:05"
    assert str(NIGHT) == "20:00-08:00 (Europe/Vienna)"


def test_beyond_all_calendars_every_hour_is_open():
    far_us = 400_000_000_000 * 1_000_000
    assert NIGHT.is_open(far_us)
    assert NIGHT.opens_us(far_us) == far_us
