"""The ledger of fair shares, by a worker of some slots that is simulated here."""

import heapq
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.model.shares import Ledger, ShareBy, Shares, parts_of_the_way

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


def test_who_comes_back_stands_where_the_least_served_of_the_others_does():
    ledger = Ledger(had={"anna": 10.0, "ben": 30.0, "carl": 2.0, "dora": 20.0})
    ledger.standing(["anna", "ben"], 0)
    found = ledger.standing(["anna", "ben", "carl", "dora"], 0)
    assert found == {"anna": 10.0, "ben": 30.0, "carl": 10.0, "dora": 20.0}
    assert ledger.had["carl"] == 10.0, "what it is short of is forgiven for good"


def test_an_attempt_that_never_began_is_not_charged():
    ledger = Ledger()
    ledger.standing(["anna"], 0)
    ledger.begin(USERS, b"x", "anna", 4, 3 * SECOND_US)
    assert ledger.standing(["anna"], 10 * SECOND_US) == {"anna": 28}
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


def test_divided_at_every_moment_the_small_is_through_first():
    assert parts_of_the_way(USERS, {"anna": 990.0, "ben": 10.0}) == {"anna": 1.0, "ben": 0.02}
    thrice = Shares(by=ShareBy.USER, weights={"ben": 3.0})
    assert parts_of_the_way(thrice, {"anna": 50.0, "ben": 50.0}) == {
        "anna": 1.0,
        "ben": pytest.approx(2 / 3),
    }
    assert parts_of_the_way(USERS, {"anna": 0.0}) == {"anna": 1.0}
    assert parts_of_the_way(USERS, {}) == {}


@given(st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1e9), min_size=1))
def test_the_last_is_through_at_the_end_and_nobody_before_his_own_work(work):
    shares = Shares(by=ShareBy.USER, weights={"a": 0.5, "b": 7.0})
    ends = parts_of_the_way(shares, work)
    whole = sum(work.values())
    assert max(ends.values()) == pytest.approx(1.0)
    for one, took_s in work.items():
        assert took_s / max(whole, 1e-300) * (1 - 1e-9) <= ends[one] <= 1.0
