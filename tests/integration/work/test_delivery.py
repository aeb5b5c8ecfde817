"""Publishing is under the limits of its attempt, and obeys who stops it."""

import threading
import time

import pytest

from stoker.model.selection import Selection
from stoker.store.orders import verbs
from stoker.store.reports import attempts, why_waiting
from stoker.work import notes, orders, publish

STEP = """
[pipelines.p.steps.s]
run = "echo x > {out.a}"
outputs.a = "results/{key}"
"""
ME = verbs.Actor("tester")


@pytest.fixture
def slow(monkeypatch):
    """The content of outputs is read until `go` is set; `begun` is set once that has begun."""

    class Slow:
        begun, go = threading.Event(), threading.Event()

    measure, slow = publish.measure, Slow()

    def read(path, permit):
        slow.begun.set()
        until_s = time.monotonic() + 30
        while not slow.go.is_set() and time.monotonic() < until_s:
            permit()
            time.sleep(0.01)
        return measure(path, permit)

    monkeypatch.setattr(publish, "measure", read)
    return slow


def during(slow, act):
    """Return an observer that acts once an attempt is being published."""
    acted = []

    def observe(_event):
        if slow.begun.is_set() and not acted:
            acted.append(True)
            act()

    return observe


def test_the_time_limit_holds_for_publishing(rig, slow):
    seen = rig.run(STEP + 'timeout = "0.5s"')
    assert seen["k"].state == "timed_out"
    assert seen["k"].reason.endswith("while its outputs were published")
    assert not (rig.folder / "results").exists()


def test_what_is_being_published_can_be_cancelled(rig, slow):
    rig.write(STEP)
    rig.push("k")
    rig.work(on_event=during(slow, lambda: verbs.cancel(rig.store, Selection(), ME)))
    assert set(rig.task_states().values()) == {"cancelled"}
    assert not (rig.folder / "results").exists()


def test_a_stop_lets_publishing_end(rig, slow):
    rig.write(STEP)
    rig.push("k")

    def stop():
        worker.stop()
        threading.Timer(0.3, slow.go.set).start()

    worker = rig.worker(on_event=during(slow, stop))
    assert worker.work().done == 1
    assert (rig.folder / "results" / "k").read_text() == "x\n"


@pytest.mark.parametrize("by", ["second signal", "patience"])
def test_a_second_stop_and_the_end_of_patience_break_publishing_off(rig, slow, monkeypatch, by):
    if by == "patience":
        monkeypatch.setattr(orders, "PUBLISH_S", 0.2)
    rig.write(STEP)
    rig.push("k")

    def stop():
        worker.stop()
        if by == "second signal":
            worker.stop()

    worker = rig.worker(on_event=during(slow, stop))
    began_s = time.monotonic()
    worker.work()
    assert time.monotonic() - began_s < 10
    assert set(rig.task_states().values()) == {"ready"}
    assert rig.leftovers() == []
    slow.go.set()
    rig.work()
    assert (rig.folder / "results" / "k").read_text() == "x\n"


def test_publishing_is_visible_and_part_of_the_attempts_time(rig, slow, monkeypatch):
    monkeypatch.setattr(notes, "NOTE_AFTER_S", 0.1)
    rig.write(STEP)
    rig.push("k")
    seen, said = [], []

    def observe(event):
        seen.extend(one.is_publishing for one in event.running)
        if slow.begun.is_set() and not slow.go.is_set():
            said.append(why_waiting.why(rig.store, "k").text)
            if "published" in said[-1]:
                slow.go.set()

    rig.work(on_event=observe)
    assert said[-1].startswith("its outputs are being published by")
    assert True in seen
    (attempt,) = attempts.attempts(rig.store, Selection())
    assert 0.1 < attempt.publishing_s < attempt.elapsed_s
    assert attempt.started_at < attempt.publishing_at
