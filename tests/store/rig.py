"""What the tests of the store do to it, in a line each, and the checks that must always hold."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from stoker.model.id_types import WorkerId
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Verdict
from stoker.model.pool import Pool
from stoker.model.selection import Selection
from stoker.model.shares import Shares
from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.model.task import EMPTY_STREAM, Claimed, Content, Result, Wanted
from stoker.model.worker import NewWorker
from stoker.store import journal_fold, tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database import invariants, rebuild
from stoker.store.holdings.pools import PoolChange
from stoker.store.orders import versions
from stoker.store.orders.shared_settings import SettingsChange, SharedSettings, set_settings
from stoker.store.unit import Store
from stoker.work.link import Link
from stoker.work.store_link import StoreLink

ME = Actor("tester")


def wanted(path: str, *, parts: bytes | None = None, **more: Any) -> Wanted:
    """A path at which a file, or a folder with these `parts`, is about to be published."""
    content = Content(size_bytes=1, checksum=f"xxh3:{(parts or b'').hex()[:60]}", parts=parts)
    return Wanted(**{"names": (path,), "content": content} | more)


class Rig:
    """One store and the verbs on it, with defaults that tests can leave alone.

    What workers do goes through the link.
    """

    def __init__(self, store: Store, link: Link | None = None) -> None:
        self.store = store
        self.link = link or StoreLink(store)

    def apply(self, pipeline: Pipeline, **more) -> versions.VersionChange:
        return versions.apply_version(self.store, pipeline, **{"host": "h", "path": "/f"} | more)

    def push(self, *keys: str, pipeline: str = "line", **more) -> register.Registered:
        items = [NewItem(key=key, path=f"/data/{key}", **more) for key in keys]
        return register.register(self.store, pipeline, items, ME)

    def worker(
        self,
        *,
        slots: int = 4,
        host: str = "host",
        lease_s: float = 60,
        tags: Sequence[str] = (),
        **more,
    ) -> WorkerId:
        usual = {"name": f"{host}-1", "cpus": 4, "memory_bytes": 1 << 33}
        return self.link.enlist(
            NewWorker(
                host=host,
                pid=1,
                slots=slots,
                scratch="/scratch",
                boot_id="boot",
                lease_s=lease_s,
                tags=tuple(tags),
                **usual | more,
            )
        )

    def claim(self, worker: WorkerId, limit: int = 1, cpus: int = 4, **more) -> list[Claimed]:
        return self.link.claim(worker, limit=limit, cpus_free=cpus, **more).tasks

    def result(self, task: Claimed, state=AttemptState.SUCCEEDED, **more) -> Result:
        good = state is AttemptState.SUCCEEDED
        facts = {
            "verdict": Verdict.DONE if good else Verdict.RETRY,
            "exit_code": 0 if good else 1,
            "started_us": task.claimed_us + 1,
            "ended_us": task.claimed_us + 2,
            "user_us": 5,
            "pid": 77,
            "stdout": EMPTY_STREAM,
        }
        return Result(attempt=task.attempt, task_id=task.task_id, state=state, **facts | more)

    def end(self, task: Claimed, state=AttemptState.SUCCEEDED, **more) -> bool:
        """Deliver a result; return whether it counted."""
        return not self.link.finish([self.result(task, state, **more)])

    def work(self, worker: WorkerId, limit: int = 100) -> list[tuple[str, str]]:
        """Claim and finish until nothing is ready; return what was done in order."""
        done: list[tuple[str, str]] = []
        while tasks := self.claim(worker, limit):
            self.link.finish([self.result(task) for task in tasks])
            done += [(task.key, task.step) for task in tasks]
        return done

    def select(self, **more) -> Selection:
        return Selection(**more)

    def states(self) -> dict[tuple[str, str], str]:
        """The word for each task's state, by key and step."""
        with self.store.reading() as unit:
            picture = rebuild.snapshot(unit)
        return {(key, step): task["state"] for (_, key, step), task in picture.tasks.items()}

    def lapse(self, worker: WorkerId) -> None:
        """Let the worker's lease run out."""
        with self.store.writing() as unit:
            table = tables.worker
            past = unit.now_us - 1
            unit.execute(table.update().where(table.c.id == worker).values(lease_until_us=past))

    def events(self) -> list[str]:
        with self.store.reading() as unit:
            table = tables.journal
            return list(unit.execute(select(table.c.event).order_by(table.c.id)).scalars())

    def counts(self) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
        """The tallies after a fold: tasks by step and state, items by state; noughts left out."""
        journal_fold.fold(self.store)
        step, tally, items = tables.step, tables.tally, tables.item_tally
        with self.store.reading() as unit:
            tasks: Counter[tuple[str, str]] = Counter()
            query = select(step.c.name, tally.c.state, tally.c.n).join(step)
            for name, state, n in unit.execute(query):
                tasks[name, TaskState(state).word] += n
            found = {
                ItemState(row.state).word: row.n for row in unit.execute(select(items)) if row.n
            }
        return {key: n for key, n in tasks.items() if n}, found

    def check(self) -> None:
        """Raise if anything that must always hold does not."""
        journal_fold.fold(self.store)
        with self.store.reading() as unit:
            gaps = list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit)))
            assert not gaps, "\n".join(gaps)
        broken = broken_promises(self.store)
        assert not broken, "\n".join(broken)


def set_pools(store: Store, pools: Sequence[Pool]) -> list[PoolChange]:
    """The store has these pools, as its file says; return those that changed."""
    return list(_set(store, SharedSettings(pools=pools)).pools)


def set_shares(store: Store, shares: Shares) -> bool:
    """The store divides slots so, as its file says; return whether that is new."""
    return _set(store, SharedSettings(shares=shares)).shares


def _set(store: Store, said: SharedSettings) -> SettingsChange:
    return set_settings(store, said, set_by="h:/f", actor=ME)


def broken_promises(store: Store) -> list[str]:
    """Everything that must always hold and does not."""
    return [f"{one.check}: {text}" for one in invariants.check(store) for text in one.violations]


def wait_us(store: Store, until_us: int) -> None:
    """Wait until the store's clock has passed a time that is near."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with store.reading() as unit:
            if unit.now_us > until_us:
                return
        time.sleep(0.005)
    raise AssertionError("the time did not come within 10 s")


def pairs(tasks: Sequence[Claimed]) -> list[tuple[str, str]]:
    """Key and step of each."""
    return [(task.key, task.step) for task in tasks]
