"""Deliveries: how many results at once, and how long they wait for others."""

from types import SimpleNamespace

import pytest

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.work import reports


@pytest.fixture
def delivered(monkeypatch):
    """The size of each delivery; the store takes `seconds[0]` for one, by a clock of its own."""
    sizes, seconds, now_s = [], [0.0], [0.0]

    def finish(results):
        sizes.append(len(results))
        now_s[0] += seconds[0]
        return frozenset()

    monkeypatch.setattr(reports, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    return SimpleNamespace(sizes=sizes, seconds=seconds, link=SimpleNamespace(finish=finish))


def some(n):
    good = {"state": AttemptState.SUCCEEDED, "verdict": Verdict.DONE, "attempt": b"a"}
    return [SimpleNamespace(**good) for _ in range(n)]


def wait_s(delivery):
    """How long a result that has just come may wait."""
    delivery.add(some(1))
    return delivery.due_s() - reports.time.monotonic()


def test_a_long_queue_of_results_is_delivered_in_bounded_pieces(delivered):
    delivery = reports.Reports(delivered.link, reports.Counts())
    delivery.add(some(2 * reports.BATCH + 1))
    ends = [delivery.flush() for _ in range(3)]
    assert ends == [False, False, True]
    assert delivered.sizes == [reports.BATCH, reports.BATCH, 1]


def test_where_a_delivery_takes_long_results_wait_for_more_others_but_not_for_ever(delivered):
    delivery = reports.Reports(delivered.link, reports.Counts())
    assert wait_s(delivery) <= reports.DELAY_S
    for seconds, least_s, most_s in (
        (0.01, 0.05, reports.DELAY_MOST_S),
        (0.05, 0.15, reports.DELAY_MOST_S),
        (0.0, 0.0, 0.05),
    ):
        delivered.seconds[0] = seconds
        assert delivery.flush()
        assert least_s <= wait_s(delivery) <= most_s


def test_a_result_that_is_awaited_goes_at_once_with_those_that_wait(delivered):
    delivery = reports.Reports(delivered.link, reports.Counts())
    (awaited,) = some(1)
    awaited.attempt = b"b"
    delivery.await_result(awaited.attempt)
    delivery.add(some(2))
    assert delivery.due_s() > reports.time.monotonic()
    delivery.add([awaited])
    assert delivery.due_s() <= reports.time.monotonic()
    assert delivery.flush()
    assert delivered.sizes == [3]
    assert wait_s(delivery) > 0, "the next one waits again"


@pytest.mark.parametrize(
    ("state", "verdict", "counted"),
    [
        (AttemptState.SUCCEEDED, Verdict.DONE, (1, 0, 0, 0)),
        (AttemptState.FAILED, Verdict.RETRY, (0, 1, 0, 0)),
        (AttemptState.FAILED, Verdict.LATER, (0, 0, 0, 0)),
        (AttemptState.SUCCEEDED, Verdict.SKIP, (0, 0, 1, 0)),
        (AttemptState.CANCELLED, Verdict.FAIL, (0, 0, 0, 1)),
    ],
)
def test_an_attempt_that_asks_for_another_time_is_not_counted_as_failed(state, verdict, counted):
    counts = reports.Counts()
    counts.add(SimpleNamespace(state=state, verdict=verdict))
    assert (counts.done, counts.failed, counts.skipped, counts.cancelled) == counted
