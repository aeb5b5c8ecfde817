"""What is pending in a folder, and when it is to be looked at again, by a clock that stands still."""

import math
from types import SimpleNamespace

import pytest

from stoker.intake import seen_files
from stoker.intake.seen_files import FolderLooks, Settling

SETTLE_S = 10.0


@pytest.fixture
def clock(monkeypatch):
    """The only clock; `us` is set by the test."""
    made = SimpleNamespace(us=1_000_000_000)
    monkeypatch.setattr(seen_files, "now_us", lambda: made.us)
    return made


def settling(kept):
    return Settling(kept, settle_s=SETTLE_S, trusts_clock=False)


def see(kept, *names, only=None):
    """Look once at files that do not change; return which have settled."""
    one = settling(kept)
    settled = {name for name in names if one.is_settled(name, "as ever", changed_ns=0)}
    one.end(only=only)
    return settled


def test_what_becomes_due_while_others_are_read_is_looked_at_again(clock):
    kept = FolderLooks()
    see(kept, "a")
    clock.us += int(SETTLE_S * 1e6) - 1
    one = settling(kept)
    assert not one.is_settled("a", "as ever", changed_ns=0)
    clock.us += 1_000_000  # that the reading goes on for
    one.end()
    assert kept.due_us <= clock.us
    assert kept.due_names(clock.us, settle_s=SETTLE_S) == {"a"}


def test_what_becomes_due_while_only_others_are_looked_at_is_not_forgotten(clock):
    kept = FolderLooks()
    see(kept, "a")
    clock.us += int(SETTLE_S * 1e6)
    see(kept, "b", only={"b"})
    assert kept.due_us <= clock.us
    assert kept.due_names(clock.us, settle_s=SETTLE_S) == {"a"}


def test_what_has_settled_and_lacks_something_else_is_not_due_again(clock):
    kept = FolderLooks()
    see(kept, "a")
    clock.us += int(SETTLE_S * 1e6)
    assert see(kept, "a") == {"a"}
    assert math.isinf(kept.due_us)
    assert see(kept, "a") == {"a"}, "it was the same all the time"


def test_what_has_settled_and_is_changed_settles_anew(clock):
    kept = FolderLooks()
    see(kept, "a")
    clock.us += int(SETTLE_S * 1e6)
    see(kept, "a")
    one = settling(kept)
    assert not one.is_settled("a", "another", changed_ns=0)
    one.end()
    assert kept.due_us == clock.us + SETTLE_S * 1e6


def test_only_what_may_have_settled_is_due(clock):
    kept = FolderLooks()
    see(kept, "a")
    clock.us += 1_000_000
    see(kept, "b", only={"b"})
    kept.moved_into_place({"c": "as ever"})
    clock.us += int(SETTLE_S * 1e6) - 1_000_000
    assert kept.due_names(clock.us, settle_s=SETTLE_S) == {"a"}
