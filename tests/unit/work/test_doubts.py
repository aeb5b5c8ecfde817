"""A failure counts only if no order to stop comes right after it."""

import pytest

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.work import doubts
from stoker.work.doubts import Doubts
from stoker.work.orders import STOPPED


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(doubts.time, "monotonic", lambda: now[0])
    return now


def result(state=AttemptState.FAILED, verdict=Verdict.RETRY, **more) -> Result:
    return Result(attempt=b"a" * 16, task_id=1, state=state, verdict=verdict, **more)


FAILURES = [
    {"exit_code": 1},
    {"exit_code": 143},
    {"signal": 15},
    {"signal": 10},
    {"exit_code": 2, "verdict": Verdict.FAIL},
    {"reason": "prepare failed: Terminated"},
]


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("is_batch_job", [True, False])
def test_what_fails_just_before_an_order_to_stop_was_stopped(clock, how, is_batch_job):
    waiting = Doubts(is_batch_job=is_batch_job)
    assert waiting.sift([result(**how)], None) == []
    assert waiting
    clock[0] += 0.19
    assert waiting.sift([], None) == []
    (found,) = waiting.sift([], STOPPED)
    assert (found.state, found.verdict, found.reason) == STOPPED[:3]
    assert found.exit_code == how.get("exit_code")
    assert not waiting


@pytest.mark.parametrize("how", FAILURES)
def test_what_fails_while_the_worker_stops_was_stopped(clock, how):
    (found,) = Doubts(is_batch_job=False).sift([result(**how)], STOPPED)
    assert found.state is AttemptState.CANCELLED


@pytest.mark.parametrize(
    ("how", "is_batch_job", "wait_s"),
    [
        ({"exit_code": 1}, False, doubts.DOUBT_S),
        ({"exit_code": 1}, True, doubts.LONG_DOUBT_S),
        ({"exit_code": 130}, False, doubts.LONG_DOUBT_S),
        ({"signal": 15}, False, doubts.LONG_DOUBT_S),
        ({"signal": 11}, False, doubts.DOUBT_S),
    ],
)
def test_a_failure_without_an_order_stays_one(clock, how, is_batch_job, wait_s):
    waiting = Doubts(is_batch_job=is_batch_job)
    one = result(**how)
    assert waiting.sift([one], None) == []
    assert waiting.due_s() == 1000.0 + wait_s
    clock[0] += wait_s
    assert waiting.sift([], None) == [one]
    assert waiting.due_s() is None


@pytest.mark.parametrize(
    "one",
    [
        result(AttemptState.SUCCEEDED, Verdict.DONE),
        result(AttemptState.FAILED, Verdict.LATER, exit_code=75),
        result(AttemptState.TIMED_OUT),
        result(AttemptState.OUT_OF_MEMORY),
        result(AttemptState.CANCELLED, Verdict.FAIL),
    ],
)
@pytest.mark.parametrize("stopped", [None, STOPPED])
def test_every_other_end_is_recorded_as_it_is(one, stopped):
    assert Doubts(is_batch_job=True).sift([one], stopped) == [one]
