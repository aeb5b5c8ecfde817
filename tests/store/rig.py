"""What the tests of the store do to it, in a line each, and the checks that must always hold."""

import time
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import func, select

from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Verdict
from stoker.model.selection import Selection
from stoker.model.states import AttemptState, ItemState, TaskState, WorkerState, item_state
from stoker.model.task import EMPTY_STREAM, Claimed, Result, WorkerId
from stoker.store import claim, control, finish, fleet, fold, rebuild, register, tables, versions
from stoker.store.connect import Store

ME = control.Who("tester")


class Rig:
    """One store and the verbs on it, with defaults that tests can leave alone."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def apply(self, pipeline: Pipeline, **more) -> versions.VersionChange:
        return versions.apply_version(self.store, pipeline, **{"host": "h", "path": "/f"} | more)

    def push(self, *keys: str, pipeline: str = "line", **more) -> register.Registered:
        items = [NewItem(key=key, path=f"/data/{key}", **more) for key in keys]
        return register.register(self.store, pipeline, items)

    def worker(self, *, slots: int = 4, host: str = "host", lease_s: float = 60) -> WorkerId:
        return fleet.enlist(
            self.store,
            host=host,
            name=f"{host}-1",
            pid=1,
            slots=slots,
            cpus=4,
            memory_bytes=1 << 33,
            scratch="/scratch",
            boot_id="boot",
            lease_s=lease_s,
        )

    def claim(self, worker: WorkerId, limit: int = 1, cpus: int = 4) -> list[Claimed]:
        return claim.claim(self.store, worker, limit=limit, cpus_free=cpus)

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
        return not finish.finish(self.store, [self.result(task, state, **more)])

    def work(self, worker: WorkerId, limit: int = 100) -> list[tuple[str, str]]:
        """Claim and finish until nothing is ready; return what was done in order."""
        done: list[tuple[str, str]] = []
        while tasks := self.claim(worker, limit):
            finish.finish(self.store, [self.result(task) for task in tasks])
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
        fold.fold(self.store)
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
        fold.fold(self.store)
        with self.store.reading() as unit:
            gaps = list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit)))
            assert not gaps, "\n".join(gaps)
            check_promises(unit)
            check_tallies(unit)


def check_promises(unit) -> None:
    """Every task has the attempt, lane and slots that its state asks for."""
    task, attempt, slot, worker = tables.task, tables.attempt, tables.slot, tables.worker
    tasks = {row.id: row for row in unit.execute(select(task))}
    running = [row for row in unit.execute(select(attempt)) if row.state == AttemptState.RUNNING]
    carried = {row.task_id: row.id for row in running}
    assert len(carried) == len(running), "two running attempts of one task"
    alive = {row.id for row in unit.execute(select(worker)) if row.state == WorkerState.ALIVE}
    for row in tasks.values():
        is_running = row.state == TaskState.RUNNING
        assert is_running == (row.id in carried), f"task {row.id}: state and attempt disagree"
        if is_running:
            assert carried[row.id] == row.attempt
        has_lane = row.lane is not None
        due = row.state == TaskState.READY and row.not_before_us is None
        assert has_lane == due, f"task {row.id}: lane {row.lane} in state {row.state}"
    succeeded = Counter(
        row.task_id for row in unit.execute(select(attempt)) if row.state == AttemptState.SUCCEEDED
    )
    for row in tasks.values():
        if row.state == TaskState.DONE:
            assert succeeded[row.id] >= 1
    assert alive is not None
    for row in unit.execute(select(slot).where(slot.c.attempt.is_not(None))):
        assert unit.execute(select(attempt.c.id).where(attempt.c.id == row.attempt)).first()


def check_tallies(unit) -> None:
    """The tallies and items' states are what counting everything gives; numbers are dense."""
    task, tally, step = tables.task, tables.tally, tables.step
    counted = Counter(
        (row.step_id, row.state, row.body_id or 0 if row.state == TaskState.DONE else 0)
        for row in unit.execute(select(task))
    )
    told = {(r.step_id, r.state, r.body_id): r.n for r in unit.execute(select(tally)) if r.n}
    assert told == dict(counted)
    removed = set(unit.execute(select(step.c.id).where(step.c.is_removed)).scalars())
    of_item: dict[int, list[TaskState]] = {}
    for row in unit.execute(select(task)):
        if row.step_id not in removed:
            of_item.setdefault(row.item_id, []).append(TaskState(row.state))
    items: Counter[tuple[int, int]] = Counter()
    for row in unit.execute(select(tables.item)):
        assert row.state == item_state(of_item.get(row.id, ())), f"state of item {row.id}"
        items[row.pipeline_id, row.state] += 1
    told_items = {
        (r.pipeline_id, r.state): r.n for r in unit.execute(select(tables.item_tally)) if r.n
    }
    assert told_items == dict(items)
    journal = tables.journal
    n, last = unit.execute(select(func.count(journal.c.seq), func.max(journal.c.seq))).one()
    assert n == (last or 0)


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
