"""The threads that follow sources: what a bug in one of them does to it, and to the others."""

import threading
import time

import pytest

from stoker.intake.sources.source import Over
from stoker.project.services import taking

LIMIT_S = 30.0


class Followed:
    """Stands for a taker: notes how often it was followed, and fails as often as it is told to."""

    def __init__(self, name, failures=0):
        self.name = name
        self.source = self
        self.failures = failures
        self.times = 0
        self.troubles = []

    def tell(self, trouble):
        self.troubles.append(trouble)

    def follow(self, over):
        self.times += 1
        if self.times <= self.failures:
            raise ZeroDivisionError("a bug")
        over.rest(LIMIT_S)


@pytest.fixture
def over():
    made = Over()
    yield made
    made.close()


def test_a_source_that_met_a_bug_is_told_and_followed_again(over, monkeypatch):
    monkeypatch.setattr(taking, "BROKEN_S", 0.0)
    hook = threading.excepthook
    bad, good = Followed("bad", failures=2), Followed("good")
    with taking.following([bad, good], over):
        until_s = time.monotonic() + LIMIT_S
        while bad.times < 3 and time.monotonic() < until_s:
            time.sleep(0.01)
        over.set()
    assert bad.troubles == ["a bug in Stoker: ZeroDivisionError: a bug"] * 2
    assert (bad.times, good.times) == (3, 1)
    assert threading.excepthook is hook
