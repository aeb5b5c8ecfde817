"""The ledger of fair shares, by a worker of some slots that is simulated here."""

import heapq
from collections import Counter

import pytest

from stoker.model.shares import Ledger, ShareBy, Shares

SECOND_US = 1_000_000


def simulate(shares, slots, arrivals, until_s):
    """Run groups' endless tasks of `(arrives, group, cpus, seconds)`; return cpu seconds by group."""
    ledger, had, running, now_s = Ledger(), Counter(), [], 0.0
    for serial in range(100_000):
        while len(running) >= slots:
            now_s, attempt, group, seconds = heapq.heappop(running)
            ledger.end(attempt, seconds)
            had[group] += seconds
        if now_s > until_s:
            return had
        there = {group: seconds for at_s, group, seconds in arrivals if at_s <= now_s}
        standing = ledger.standing(there, int(now_s * SECOND_US))
        group = min(standing, key=lambda one: (standing[one], one))
        attempt = serial.to_bytes(16, "big")
        ledger.begin(shares, attempt, group, 1, int(now_s * SECOND_US))
        heapq.heappush(running, (now_s + there[group], attempt, group, there[group]))
    raise AssertionError("it did not end")


USERS = Shares(by=ShareBy.USER)


def test_two_with_tasks_of_different_length_get_the_same_time():
    had = simulate(USERS, 2, [(0, "anna", 1.0), (0, "ben", 30.0)], 3000)
    assert had["anna"] == pytest.approx(had["ben"], rel=0.05)


def test_three_on_one_slot_all_get_their_third():
    had = simulate(USERS, 1, [(0, "a", 1.0), (0, "b", 2.0), (0, "c", 3.0)], 600)
    assert [had[one] for one in "abc"] == pytest.approx([200] * 3, rel=0.05)


def test_weights_are_held_also_on_one_slot():
    shares = Shares(by=ShareBy.USER, weights={"anna": 3.0})
    had = simulate(shares, 1, [(0, "anna", 1.0), (0, "ben", 1.0)], 400)
    assert had["anna"] / had["ben"] == pytest.approx(3, rel=0.05)


def test_who_comes_late_gets_a_share_from_then_on_and_no_more():
    had = simulate(USERS, 1, [(0, "anna", 1.0), (500, "ben", 1.0)], 600)
    assert had["ben"] == pytest.approx(50, abs=3)


def test_an_attempt_that_never_began_is_not_charged():
    ledger = Ledger()
    ledger.standing(["anna"], 0)
    ledger.begin(USERS, b"x", "anna", 4, 0)
    assert ledger.standing(["anna"], 10 * SECOND_US) == {"anna": 40}
    ledger.end(b"x", None)
    assert ledger.standing(["anna"], 10 * SECOND_US) == {"anna": 0}
    assert not ledger.open


@pytest.mark.parametrize(
    ("by", "group"),
    [(ShareBy.USER, "anna"), (ShareBy.PIPELINE, "spikes"), (ShareBy.FILE, "people/anna"), (None, "")],
)  # fmt: skip
def test_the_group_of_a_task(by, group):
    shares = Shares(by=by, files={"spikes": "people/anna"})
    assert shares.group("anna", "spikes") == group
