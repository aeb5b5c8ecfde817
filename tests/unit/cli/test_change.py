from types import SimpleNamespace

import click

from stoker.cli import change
from stoker.model.selection import Selection
from stoker.store.story_rows import FailureRow


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


def test_after_a_number_that_is_not_listed_the_person_is_asked_again(monkeypatch, capsys):
    project = SimpleNamespace(failures=lambda: [row("disk")])
    answers = iter(["2", "-1 x", "1, 1"])
    monkeypatch.setattr(click, "prompt", lambda *_, **__: next(answers))
    assert len(change._ask_which(project)) == 1
    said = capsys.readouterr().err
    assert "`2` is not a number from 1 to 1" in said
    assert "`-1` is not a number from 1 to 1" in said
