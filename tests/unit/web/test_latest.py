"""What pages share is never older than the event that made them look."""

import asyncio
from types import SimpleNamespace

import pytest

from stoker.web.panel import frame, latest
from stoker.web.panel.frame import Panel
from stoker.web.panel.latest import Latest


class Store:
    """A value that changes, and that takes a while to read; time is what the test says."""

    def __init__(self):
        self.value, self.now, self.reads, self.takes_s = 0, 100.0, 0, 0.0
        self.gate = None
        self.project = SimpleNamespace(
            status=self.read, failures=self.read, slots=self.read,
            history=SimpleNamespace(rates=self.read, load=self.read),
        )  # fmt: skip
        self.offered = self.read

    def now_s(self):
        return self.now

    def read(self):
        return self.value

    async def call(self, verb):
        self.reads += 1
        found = verb()
        self.now += self.takes_s
        if self.gate is not None:
            await self.gate.wait()
        return found


@pytest.fixture
def store():
    return Store()


async def of_answers_that_take_long(store, monkeypatch):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)
        store.now += seconds

    monkeypatch.setattr(frame.asyncio, "sleep", sleep)
    panel = Panel(store)
    store.takes_s = 0.3
    assert (await panel.status.get()).value == 0
    store.value = 1
    await panel.renewed(1)  # three seconds pass before they are read again
    assert (await panel.status.get()).value == 1
    assert sum(pauses) == pytest.approx(2.7)
    reads = store.reads
    await panel.renewed(1)
    assert (await panel.status.get()).value == 1
    assert store.reads == reads


async def of_a_reading_on_its_way(store):
    found = Latest(store, store.read)
    store.gate = asyncio.Event()
    slow = asyncio.ensure_future(found.get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.value = 1  # after it was read, before that is known
    store.now += 0.1
    found.renew(store.now)
    gate, store.gate = store.gate, None
    gate.set()
    assert (await slow).value == 0
    store.now += 0.1
    assert (await found.get()).value == 1


async def of_what_was_read_since(store):
    found = Latest(store, store.read)
    await found.get()
    found.renew(store.now - 0.5)
    await found.get()
    assert store.reads == 1
    store.now += latest.KEPT_S / 2
    found.renew(store.now)
    await found.get()
    assert store.reads == 2


def test_an_event_waits_for_answers_that_take_long_and_is_never_ahead_of_them(store, monkeypatch):
    asyncio.run(of_answers_that_take_long(store, monkeypatch))


def test_a_reading_that_began_before_the_event_is_not_shown_after_it(store):
    asyncio.run(of_a_reading_on_its_way(store))


def test_what_was_read_after_the_event_is_not_read_again(store):
    asyncio.run(of_what_was_read_since(store))
