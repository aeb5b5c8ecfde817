"""What the progress of a run says between two looks at the store."""

import re
from types import SimpleNamespace

import pytest

from stoker.cli import progress as progress_
from stoker.cli.chronicle import Chronicle
from stoker.cli.drained import Drained
from stoker.cli.progress import ASK_S, LiveProgress, Progress


def event(done, running=(), *, queued=0, crowding=1.0):
    return SimpleNamespace(
        done=done,
        failed=0,
        skipped=0,
        cancelled=0,
        running=running,
        queued=queued,
        crowding=crowding,
    )


def test_what_was_ended_since_the_totals_were_asked_for_is_counted_in():
    tasks = {"done": 3, "skipped": 0, "failed": 1, "cancelled": 0, "ready": 6}
    status = SimpleNamespace(pipelines={"p": SimpleNamespace(tasks=tasks, eta_s=None)})
    progress = Progress(SimpleNamespace(status=lambda **_: status), None)
    assert progress._totals(event(0)) == (0, 0, None)
    progress._ask(event(2))
    # Two of the four that are over were over before: the run is about the other eight.
    assert progress._totals(event(2)) == (2, 8, None)
    assert progress._totals(event(5)) == (5, 8, None)
    assert progress._totals(event(50)) == (8, 8, None)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_bar_its_counts_and_the_time_to_go_fit_on_one_line(width):
    from rich.console import Console

    tasks = {"done": 0, "skipped": 0, "failed": 0, "cancelled": 0, "ready": 1400}
    of = SimpleNamespace(tasks=tasks, eta_s=4000.0, eta_interval_s=(3600.0, 100_000.0))
    status = SimpleNamespace(pipelines={"p": of})
    live = LiveProgress(SimpleNamespace(status=lambda **_: status), None)
    now = event(0, queued=1)
    live._ask(now)
    now.is_stopping, now.trouble, now.rate, now.elapsed_s = False, None, None, 1.0
    console = Console(width=width, height=10, color_system=None, force_terminal=False)
    with console.capture() as caught:
        console.print(live._picture(now, console))
    first, second, *_ = caught.get().splitlines()
    assert "0 of 1,400 ta" in first
    assert second.startswith("0 done, 0 running")
    assert ("about 1h06m to go (" in first) == (width > 40)
    assert ("27h46m)" in first) == (width > 40)


def test_a_service_reports_what_was_taken_refused_and_finished_with_the_time():
    def status(items, trouble=None):
        tasks = {"running": 1, "ready": 2} if items.get("waiting") else {"running": 0, "ready": 0}
        source = SimpleNamespace(pipeline="p", source="s", trouble=trouble)
        pipelines = {"p": SimpleNamespace(items=items, tasks=tasks)}
        return SimpleNamespace(pipelines=pipelines, sources=[source])

    said, now = [], []
    chronicle = Chronicle(SimpleNamespace(status=lambda: now[0]), said.append)

    def look(*args):
        now[:] = [status(*args)]
        chronicle.look()
        lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in said]
        assert all(line not in said for line in lines), "each line has the time"
        said.clear()
        return lines

    assert look({"waiting": 0, "done": 5}) == [], "what was there before is no news"
    assert look({"waiting": 3, "done": 5}) == ["p: 3 items taken (tasks: 1 running, 2 ready)"]
    assert look({"waiting": 3, "done": 5}, "row 3 is bad") == ["p/s: row 3 is bad"]
    assert look({"waiting": 3, "done": 5}, "row 3 is bad") == []
    assert look({"done": 7, "failed": 1}) == ["p: 2 done, 1 failed", "p/s: is all right again"]
    assert look({"done": 8, "failed": 0}) == ["p: 1 done"]


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


def asks(monkeypatch, told, *, for_s=100):
    """Return how often the totals are asked for while the worker tells the same."""
    now, calls = [100.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: 0.0)
    monkeypatch.setattr(progress_, "time", clock)
    status = SimpleNamespace(pipelines={})
    progress = Progress(SimpleNamespace(status=lambda **_: calls.append(1) or status), None)
    for _ in range(int(for_s / 0.25)):
        progress._ask(told)
        now[0] += 0.25
    return len(calls)


@pytest.mark.parametrize("told", [event(0, (1,)), event(0, queued=1), event(1)])
def test_a_worker_that_does_something_asks_for_totals_and_of_many_each_less_often(
    monkeypatch, told
):
    alone = asks(monkeypatch, told)
    assert alone == pytest.approx(100 / ASK_S, rel=0.15)
    told.crowding = 8.0
    assert asks(monkeypatch, told) == pytest.approx(alone / 8, abs=1)


def test_a_starved_worker_asks_for_no_totals(monkeypatch):
    assert asks(monkeypatch, event(0)) == 0
