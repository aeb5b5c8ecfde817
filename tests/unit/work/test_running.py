"""The stages of an attempt in hand: each carries what is known then, and none can be skipped."""

from types import SimpleNamespace

import pytest

from stoker.errors import Bug
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.work.checks import Ending
from stoker.work.running import Begun, Ended, Running, Stopping, Waiting

TIME_UP = Ending(AttemptState.TIMED_OUT, Verdict.RETRY)


@pytest.fixture
def running():
    recipe = SimpleNamespace(step=SimpleNamespace(timeout_s=60.0))
    return Running(SimpleNamespace(attempt=b"a"), recipe, 1)


def test_what_waits_has_no_process_and_cannot_end(running):
    assert running.stage == Waiting()
    assert (running.begun, running.stopped, running.ended, running.seat) == (None,) * 4
    with pytest.raises(Bug):
        running.end()


def test_an_end_keeps_the_process_and_why_it_was_stopped(running):
    running.begin(7)
    assert running.process.deadline_s == running.process.started_s + 60
    running.stage = Stopping(running.process, TIME_UP, 1.0)
    running.end()
    assert isinstance(running.stage, Ended)
    assert (running.process.pid, running.stopped) == (7, TIME_UP)
    assert running.publishing_us is None
    running.publish()
    assert running.publishing_us is not None
    assert (running.process.pid, running.stopped) == (7, TIME_UP)


def test_only_what_has_ended_is_published(running):
    running.begin(7)
    with pytest.raises(Bug):
        running.publish()


def test_a_warm_process_that_comes_to_an_attempt_late_does_not_take_back_its_stop(running):
    """The helper has started, and only now the attempt's own time begins."""
    running.begin(7)
    before = running.process
    running.stage = Stopping(before, TIME_UP, 1.0)
    running.begin(7)
    assert running.stopped == TIME_UP
    assert isinstance(running.process, Begun)
    assert running.process is not before
