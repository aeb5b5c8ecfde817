"""What `status` and `workers` say of workers that do not do what they are there for."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from stoker.cli.fleet import troubles


def worker(state="alive", minutes=1, trouble=None):
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    return SimpleNamespace(
        name="w", host="n1", state=state, running=2, lease_until=until, trouble=trouble
    )


def test_a_lapsed_lease_is_shown_with_who_takes_its_attempts_back():
    (line,) = troubles([worker(minutes=-3)])
    assert "`w` on `n1` has not answered, and its lease has been over for 3" in line
    assert "`stoker up --once`, takes its 2 attempts back" in line


def test_nothing_is_said_of_workers_that_work_or_have_ended():
    assert list(troubles([worker(), worker("ended", -3), worker("dead", -3)])) == []


def test_trouble_is_told():
    assert list(troubles([worker(trouble="no room")])) == ["`w` claims nothing: no room"]
