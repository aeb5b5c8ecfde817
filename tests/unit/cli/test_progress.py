"""What the progress of a run says between two looks at the store."""

from types import SimpleNamespace

import pytest

from stoker.cli import progress as progress_
from stoker.cli.drained import Drained
from stoker.cli.progress import ASK_S, Progress


def event(done, running=()):
    return SimpleNamespace(done=done, failed=0, skipped=0, cancelled=0, running=running)


def test_what_was_ended_since_the_totals_were_asked_for_is_counted_in():
    tasks = {"done": 3, "skipped": 0, "failed": 1, "cancelled": 0, "ready": 6}
    status = SimpleNamespace(pipelines={"p": SimpleNamespace(tasks=tasks, eta_s=None)})
    progress = Progress(SimpleNamespace(status=lambda **_: status), None)
    assert progress._totals(event(0)) == (0, 0, None)
    progress._ask(event(2))
    assert progress._totals(event(2)) == (4, 10, None)
    assert progress._totals(event(5)) == (7, 10, None)
    assert progress._totals(event(50)) == (10, 10, None)


@pytest.mark.parametrize(("done", "later_s", "asked"), [(29, 99, 1), (30, 99, 2), (30, 1, 1)])
def test_when_half_as_many_more_have_ended_the_end_is_reckoned_anew(
    monkeypatch, done, later_s, asked
):
    """However dear asking is: most is learned early in a run."""
    now, calls = [100.0], []
    clock = SimpleNamespace(
        monotonic=lambda: now[0], thread_time=iter(range(0, 100_000, 1000)).__next__
    )
    monkeypatch.setattr(progress_, "time", clock)
    status = SimpleNamespace(pipelines={})
    progress = Progress(SimpleNamespace(status=lambda **_: calls.append(1) or status), None)
    progress._ask(event(20))
    now[0] += min(later_s, ASK_S)
    progress._ask(event(done))
    assert len(calls) == asked


def test_a_service_has_the_last_word_each_time_that_nothing_is_left():
    tasks, since = {"ready": 0, "running": 0, "blocked": 1}, []
    busy = SimpleNamespace(share=0.97, worked_s=100.0, equal_split_s=150.0)
    drained = Drained(
        SimpleNamespace(
            status=lambda: SimpleNamespace(pipelines={"p": SimpleNamespace(tasks=tasks)}),
            busy_since=lambda at, **_: since.append(at) or busy,
        )
    )
    assert drained.look(event(0)) is None
    assert drained.look(event(0, running=(1,))) is None
    assert drained.look(event(1)) is None, "something is left"
    tasks["blocked"] = 0
    assert drained.look(event(2)).startswith(
        "nothing is left; slots busy 97%; split by equal count"
    )
    assert drained.look(event(2)) is None, "once is enough"
    assert drained.look(event(3)) is not None, "what began and ended between two looks counts"
    assert since[0] < since[1]


def test_a_batch_job_says_a_line_a_minute_and_asks_nobody():
    project = SimpleNamespace(status=lambda **_: pytest.fail("asked"))
    with progress_.progress_for(project, stays=True, is_batch_job=True) as progress:
        assert progress.interval_s == 60
        progress._ask(event(2))
        assert progress._totals(event(2)) == (0, 0, None)
