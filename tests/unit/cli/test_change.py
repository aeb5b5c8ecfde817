from types import SimpleNamespace

import click
import pytest

from stoker.cli import change
from stoker.model.selection import Selection
from stoker.store.rows import FailureRow


def row(cause):
    return FailureRow(
        pipeline="p", step="one", cause=cause, n=1, say=None, do=None, reason=None, examples=("a",)
    )


def test_a_number_chooses_that_cause_and_none_that_contains_it(monkeypatch):
    project = SimpleNamespace(failures=lambda: [row("full disk"), row("disk")])
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "2")
    assert change._ask_which(project) == [
        Selection(pipeline="p", steps=("one",), states=("failed",), cause="disk")
    ]


def test_a_number_that_is_not_listed_is_refused(monkeypatch):
    project = SimpleNamespace(failures=lambda: [row("disk")])
    monkeypatch.setattr(click, "prompt", lambda *_, **__: "2")
    with pytest.raises(click.UsageError, match="none of the numbers"):
        change._ask_which(project)
