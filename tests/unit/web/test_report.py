"""The report stays small whatever the store holds, and says what it left out."""

from datetime import UTC, datetime

import pytest

from stoker.model.states import ItemState, TaskState
from stoker.store.status_rows import PipelineStatus, PoolStatus, Status, WorkerRow
from stoker.store.story_rows import FailureRow
from stoker.web.panel.report import LIMIT_BYTES, report_of

HUGE = "<&\x1b[31m\ud800" * 400  # escapes make it longer still


def pipeline(steps):
    return PipelineStatus(
        items=dict.fromkeys(ItemState.words(), 123456),
        tasks=dict.fromkeys(TaskState.words(), 123456),
        steps={f"s{n}": dict.fromkeys(TaskState.words(), 99999) for n in range(steps)},
        outdated=7,
        eta_s=12_345.0,
        eta_interval_s=(1.0, 999_999.0),
    )


def failure(n):
    return FailureRow(
        pipeline=f"p{n}", step="s", cause=HUGE, n=n + 1, say=None, do=HUGE, reason=HUGE,
        examples=(HUGE[:1000],) * 3,
    )  # fmt: skip


def worker(n):
    at = datetime(2026, 11, 30, tzinfo=UTC)
    return WorkerRow(
        name=f"w{n}", host=HUGE[:200], pid=1, state="alive", slots=0, running=5, started_at=at,
        lease_until=at, ended_at=None, trouble=HUGE, batch_id=None, pilot=None, ends_at=at,
    )  # fmt: skip


def status(*, pipelines, steps, workers):
    return Status(
        pipelines={f"p{n}": pipeline(steps) for n in range(pipelines)},
        pools={"ram": PoolStatus(slots=2, used=1), "none": PoolStatus(slots=0, used=0)},
        workers=tuple(worker(n) for n in range(workers)),
    )


@pytest.mark.parametrize(
    ("pipelines", "steps", "causes", "workers"),
    [(1, 300, 0, 0), (3_000, 2, 0, 0), (1, 1, 5_000, 0), (30, 300, 2_000, 2_000), (0, 0, 0, 0)],
)
def test_it_has_at_most_two_megabytes(pipelines, steps, causes, workers):
    failures = [failure(n) for n in range(causes)]
    seen = report_of("lab", status(pipelines=pipelines, steps=steps, workers=workers), failures, {})
    assert len(seen) <= LIMIT_BYTES
    text = seen.decode()
    assert "\x1b" not in text
    assert text.rstrip().endswith("</html>")
    if causes > 1_000:
        assert "rarer causes" in text
    if workers > 1_000 or pipelines > 1_000:
        assert " more" in text


def test_an_empty_project_says_so():
    text = report_of("lab", status(pipelines=0, steps=0, workers=0), [], {}).decode()
    for words in (
        "No pipeline has been taken over yet",
        "No task has failed",
        "No worker is alive",
    ):
        assert words in text
