"""Hours of the day, over midnight and over the changes of the clock."""

from datetime import UTC, datetime
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
    assert Hours(150, 480, VIENNA).opens_us(us("2026-03-29T01:00")) == us("2026-03-29T03:00")
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


CHANGES = {  # the moment, in UTC, at which a clock is put forward or back
    ("Europe/Berlin", "forward"): "2026-03-29T01:00+00:00",
    ("Europe/Berlin", "back"): "2026-10-25T01:00+00:00",
    ("America/New_York", "forward"): "2026-03-08T07:00+00:00",
    ("America/New_York", "back"): "2026-11-01T06:00+00:00",
    ("Australia/Lord_Howe", "forward"): "2026-10-03T15:30+00:00",  # by half an hour
    ("Australia/Lord_Howe", "back"): "2026-04-04T15:00+00:00",
    ("America/Santiago", "forward"): "2026-09-06T04:00+00:00",  # at midnight
    ("America/Santiago", "back"): "2026-04-05T03:00+00:00",
}
WINDOWS = ["01:00-01:30", "01:30-02:15", "02:00-02:30", "02:05-02:10", "02:15-02:45", "02:30-08:00",
           "23:30-00:30", "00:00-00:20", "20:00-08:00", "08:00-20:00", "03:00-03:05"]  # fmt: skip
MINUTE_US = 60_000_000


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("zone", "direction"), list(CHANGES))
def test_around_a_change_of_the_clock_the_first_open_minute_is_found(zone, direction, window):
    change_us = int(datetime.fromisoformat(CHANGES[zone, direction]).timestamp()) * 1_000_000
    hours = parse_hours(window, zone)
    minutes = range(change_us - 200 * MINUTE_US, change_us + 1_700 * MINUTE_US, MINUTE_US)
    opens_us = None
    for at_us in reversed(minutes):  # minute by minute, from behind
        opens_us = at_us if hours.is_open(at_us) else opens_us
        if opens_us is not None and at_us % (15 * MINUTE_US) == 0:
            assert hours.opens_us(at_us) == opens_us, datetime.fromtimestamp(at_us / 1e6, tz=UTC)
            if opens_us != at_us:
                assert hours.opens_us(at_us + 59_999_999) == opens_us


def test_hours_open_on_the_full_minute_whenever_it_is_asked():
    at_us = us("2026-05-04T20:30") + 17_654_321
    assert DAY.opens_us(at_us) == us("2026-05-05T08:00")
