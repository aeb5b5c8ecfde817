"""What pages have asked: kept for an hour, for the person who asked, and never without a limit."""

from array import array

from stoker.web.panel import frozen
from stoker.web.panel.frozen import Freezer


def test_what_was_shown_is_found_by_who_saw_it_for_an_hour():
    now = [0.0]
    freezer = Freezer(lambda: now[0])
    token = freezer.keep("ada", "retry", "state=failed", array("q", [3, 4]), 2)
    assert list(freezer.find(token, "ada", "retry", "state=failed").tasks) == [3, 4]
    for other in (
        (token, "bob", "retry", "state=failed"),
        (token, "ada", "cancel", "state=failed"),
        (token, "ada", "retry", "state=held"),
        ("", "ada", "retry", "state=failed"),
    ):
        assert freezer.find(*other) is None
    now[0] = frozen.KEPT_S + 1
    assert freezer.find(token, "ada", "retry", "state=failed") is None


def test_no_number_of_pages_and_no_size_of_one_fills_the_memory(monkeypatch):
    monkeypatch.setattr(frozen, "PAGES", 3)
    monkeypatch.setattr(frozen, "TASKS", 10)
    freezer = Freezer()
    many = [freezer.keep("ada", "hold", "", array("q", [1]), 1) for _ in range(5)]
    assert [freezer.find(one, "ada", "hold", "") is not None for one in many] == [
        False, False, True, True, True,
    ]  # fmt: skip
    large = freezer.keep("ada", "hold", "", array("q", range(50)), 50)
    assert freezer.find(large, "ada", "hold", "") is not None, "the newest can always be answered"
    assert freezer.find(many[-1], "ada", "hold", "") is None
    freezer.drop(large)
    freezer.drop(large)
    assert freezer._tasks == 0
