"""How often a worker that finds nothing asks again."""

import itertools

import pytest

from stoker.model.shares import Ledger
from stoker.model.worker import Grant
from stoker.work import claims as module
from stoker.work.claims import Claims


class Clock:
    """Stands still until it is put forward."""

    def __init__(self):
        self.now_s = 1000.0

    def monotonic(self):
        return self.now_s


class EmptyStore:
    """Has nothing for anybody; many workers share the cpus of the one that asks."""

    def __init__(self, crowding, clock):
        self.asked_s = []
        self._crowding, self._clock = crowding, clock

    def claim(self, *_, **__):
        self.asked_s.append(self._clock.now_s)
        return Grant([], Ledger(), is_crowded=True, crowding=self._crowding)


def asked(monkeypatch, crowding, *, for_s):
    """Return the moments at which one worker asks, and its claims."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    store = EmptyStore(crowding, clock)
    claims = Claims(store, 1, lambda _: None, slots=2, memory_bytes=1 << 30)
    until_s = clock.now_s + for_s
    while clock.now_s < until_s:
        claims.refill(cpus_used=0, memory_used=0)
        clock.now_s = max(claims.next_s, clock.now_s + 0.001)
    return store.asked_s, claims


def test_one_alone_asks_every_second(monkeypatch):
    moments, _ = asked(monkeypatch, 1.0, for_s=100)
    pauses = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert pauses[0] < 0.03, "at first, soon"
    assert max(pauses) <= 1.25 * module.PAUSE_MOST_S + 0.001
    assert len(set(pauses[10:])) > 10, "not in step with others"


@pytest.mark.parametrize("crowding", [4.0, 8.0])
def test_workers_that_share_cpus_ask_together_as_often_as_one(monkeypatch, crowding):
    alone, _ = asked(monkeypatch, 1.0, for_s=1000)
    many, _ = asked(monkeypatch, crowding, for_s=1000)
    assert len(many) * crowding == pytest.approx(len(alone), rel=0.15)


def test_no_crowd_makes_a_worker_wait_for_long(monkeypatch):
    moments, _ = asked(monkeypatch, 500.0, for_s=200)
    longest_s = max(later - earlier for earlier, later in itertools.pairwise(moments))
    assert longest_s <= 1.25 * module.MOST_CROWDED * module.PAUSE_MOST_S + 0.001


def test_the_time_behind_others_is_counted_whatever_the_pauses(monkeypatch):
    _, claims = asked(monkeypatch, 8.0, for_s=100)
    assert claims.crowded_s == pytest.approx(100, abs=15)


def test_news_make_it_ask_at_once(monkeypatch):
    _, claims = asked(monkeypatch, 8.0, for_s=100)
    claims.hurry()
    assert claims.next_s == 0.0


@pytest.mark.parametrize(("granted", "waits"), [(0, True), (3, True), (512, False)])
def test_a_claim_that_brought_less_than_it_asked_for_is_not_followed_by_another(
    monkeypatch, granted, waits
):
    """There was no more. What the worker itself ends may make room, and then it asks at once."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    asked_for = []

    class Store(EmptyStore):
        def claim(self, *_, limit, **__):
            asked_for.append(limit)
            return Grant(["task"] * min(granted, limit), Ledger(), is_crowded=False)

    claims = Claims(Store(1.0, clock), 1, lambda _: None, slots=2, memory_bytes=1 << 30)
    claims._take = lambda _: None
    claims.appetite.recent_s = 0.0001
    assert claims.refill(cpus_used=0, memory_used=0)
    assert asked_for == [module.Appetite(2, recent_s=0.0001).limit(2, 0.0)]
    assert claims.found_nothing == (granted == 0)
    assert claims.refill(cpus_used=0, memory_used=0) is not waits
    claims.hurry()
    assert claims.refill(cpus_used=0, memory_used=0)
