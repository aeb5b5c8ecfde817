"""Statuses that many clients poll are made once while nothing changes."""

from dataclasses import dataclass
from typing import Any

import pytest

from stoker.store.reports.outlook import Outlook
from stoker.web.links import Links
from stoker.web.ogc import statuses
from stoker.web.ogc.statuses import Statuses


@dataclass(frozen=True)
class Job:
    key: str
    state: str = "waiting"


@pytest.fixture
def ask():
    kept, links, made = Statuses(), Links("http://here/"), []

    def body(job: Any, outlook: Outlook, links: Links = links) -> int:
        def make() -> bytes:
            made.append(job)
            return b"%d" % len(made)

        return int(kept.body(job, outlook, links, make))

    return body


def test_a_status_is_made_again_only_if_something_of_it_is_new(ask):
    soon = Outlook(ends_in_s=5.0)
    assert ask(Job("a"), soon) == ask(Job("a"), soon) == 1
    assert ask(Job("b"), soon) == 2
    assert ask(Job("a", "running"), soon) == 3
    assert ask(Job("a"), Outlook(ends_in_s=5.0)) == 4  # five seconds from a later moment
    assert ask(Job("a"), soon, Links("https://there/")) == 5


def test_no_more_statuses_are_remembered_than_there_is_room_for(ask, monkeypatch):
    monkeypatch.setattr(statuses, "_MOST", 2)
    soon = Outlook()
    assert [ask(Job(key), soon) for key in "abc"] == [1, 2, 3]
    assert ask(Job("c"), soon) == 3
    assert ask(Job("a"), soon) == 4
