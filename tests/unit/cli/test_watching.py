"""`stoker status --watch`: what is on the screen, and how often the store is read for it."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from stoker.cli import watching
from stoker.errors import Unavailable
from stoker.model.states import ItemState, TaskState
from stoker.store.status_rows import PipelineStatus, Status
from stoker.store.story_rows import FailureRow

NASTY = "[red]\x1b[31m\u202e" + "x" * 300


def state(pipelines=1, causes=1):
    counts = {"done": 70, "running": 3, "failed": 5, "waiting": 4}
    one = PipelineStatus(
        items={word: counts.get(word, 0) for word in ItemState.words()},
        tasks={word: counts.get(word, 0) for word in TaskState.words()},
        steps={},
        outdated=0,
        eta_s=4000.0,
    )
    failures = [
        FailureRow(
            pipeline="p", step="s", cause=f"{n} {NASTY}", n=9, say=None, do=None, reason=None,
            examples=("k",),
        )
        for n in range(causes)
    ]  # fmt: skip
    found = Status(pipelines={f"p{n}": one for n in range(pipelines)}, pools={}, workers=())
    return watching.Shown(found, failures, datetime.now(UTC))


@pytest.mark.parametrize(("pipelines", "causes"), [(0, 0), (1, 1), (50, 30)])
def test_it_fits_a_terminal_and_shows_what_is_hostile_as_text(pipelines, causes):
    shown = state(pipelines, causes)._replace(trouble=f"gone {NASTY}")
    out = io.StringIO()
    Console(file=out, width=80, height=24).print(watching.page(shown, 24, 80))
    lines = out.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert lines[0].startswith("the store is away; this is")
    if pipelines:
        assert any("● 70 done" in line for line in lines)
        assert any("[red]" in line for line in lines)
    if pipelines > 20:
        assert any("more pipelines" in line for line in lines)


class Asked:
    """A project whose store is read, and may be away."""

    def __init__(self):
        self.store, self.reads, self.is_away = object(), 0, False

    def status(self, pipeline):
        self.reads += 1
        return state().status

    def failures(self, pipeline):
        return []


def test_the_store_is_read_again_only_where_something_has_happened(monkeypatch):
    asked, position = Asked(), ["1"]

    def looked(_store):
        if asked.is_away:
            raise Unavailable("no answer")
        return position[0]

    monkeypatch.setattr("stoker.store.reports.position.journal_position", looked)
    monkeypatch.setattr(watching.time, "sleep", lambda _: None)
    monkeypatch.setattr(watching, "SHARE", 0)
    shown = watching.readings(asked, None)
    for _ in range(5):
        next(shown)
    assert asked.reads == 1
    position[0] = "2"
    next(shown)
    assert asked.reads == 2
    asked.is_away = True
    assert next(shown).trouble == "no answer"
    asked.is_away = False
    assert next(shown).trouble is None
    assert asked.reads == 3


def test_a_store_that_never_answered_is_an_error(monkeypatch):
    def away(_store):
        raise Unavailable("no answer")

    monkeypatch.setattr("stoker.store.reports.position.journal_position", away)
    with pytest.raises(Unavailable):
        next(watching.readings(Asked(), None))
