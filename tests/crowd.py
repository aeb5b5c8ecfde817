"""Many worker processes at once on one store, which claim and finish until nothing is left.

Forks: to be called by programs that have no threads and no open store, never within pytest.
"""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Claimed, Result
from stoker.model.worker import NewWorker
from stoker.store.claims import claim, workers
from stoker.store.database.connect import open_store
from stoker.store.ends import finish
from stoker.store.unit import Store

_processes = multiprocessing.get_context("fork")


@dataclass(slots=True)
class Account:
    """What one worker did, in seconds of one clock for all."""

    claimed: list[tuple[str, str, str]] = field(default_factory=list)  # pipeline, key, step
    warm: int = 0  # how many of these before all began together
    claims_s: list[float] = field(default_factory=list)  # that found something
    finishes_s: list[float] = field(default_factory=list)
    began_s: float = 0.0
    ended_s: float = 0.0
    problem: str | None = None


def result(task: Claimed) -> Result:
    """A success with what a real one tells."""
    return Result(
        attempt=task.attempt, task_id=task.task_id, state=AttemptState.SUCCEEDED,
        verdict=Verdict.DONE, exit_code=0, pid=77, command="/bin/true",
        started_us=task.claimed_us + 1, ended_us=task.claimed_us + 2, user_us=900, system_us=700,
        max_rss_bytes=1 << 20,
    )  # fmt: skip


def enlist(store: Store, host: str) -> int:
    """A worker of 4 cpus."""
    new = NewWorker(
        host=host, name=host, pid=1, slots=4, cpus=4, memory_bytes=1 << 33, scratch="/s",
        boot_id="b", lease_s=3600,
    )  # fmt: skip
    return workers.enlist(store, new)


def work(store: Store, me: Any, batch: int, account: Account, is_over: Callable[[], bool]) -> None:
    """Claim `batch` at a time and finish them together until nothing is left, or it is over."""
    while not is_over():
        began = time.perf_counter()
        tasks = claim.claim(store, me, limit=batch, cpus_free=4).tasks
        claimed = time.perf_counter()
        if tasks:
            account.claims_s.append(claimed - began)
            account.claimed += [(task.pipeline, task.key, task.step) for task in tasks]
            stale = finish.finish(store, [result(task) for task in tasks])
            account.finishes_s.append(time.perf_counter() - claimed)
            if stale:
                raise AssertionError(f"{len(stale)} results did not count")
        elif claim.anything_left(store).is_nothing:
            return
        else:
            time.sleep(0.005)  # a pool is full


@dataclass(frozen=True, slots=True)
class Crowd:
    """What all workers share: the store, how much they claim at once, and when they end."""

    url: str
    batch: int
    warm_up: (
        int  # transactions before all begin together: statements are compiled and prepared then
    )
    until_s: float
    begin: Any
    stop: Any

    def is_over(self) -> bool:
        """Whether one of them had a problem, or the time is up."""
        return self.stop.is_set() or time.perf_counter() > self.until_s

    def member(self, host: str, answers: Any) -> None:
        """One process: a worker from its beginning to its end."""
        account = Account()
        try:
            store = open_store(self.url)
            me = enlist(store, host)
            warm = iter(range(self.warm_up))
            work(store, me, self.batch, account, lambda: next(warm, None) is None)
            self.begin.wait(120)
            account.warm = len(account.claimed)
            account.claims_s.clear()
            account.finishes_s.clear()
            account.began_s = time.perf_counter()
            work(store, me, self.batch, account, self.is_over)
            account.ended_s = time.perf_counter()
            workers.retire(store, me)
            store.close()
        except BaseException as problem:  # noqa: BLE001 - told by the parent
            account.problem = f"{host}: {type(problem).__name__}: {problem}"
            self.stop.set()
            self.begin.abort()
        answers.send(account)
        answers.close()


def run(
    url: str,
    *,
    processes: int,
    batch: int,
    hosts: int | None = None,
    warm_up: int = 8,
    limit_s: float = 600,
) -> list[Account]:
    """The accounts of so many workers, all of whom began at once, on as many hosts or fewer."""
    crowd = Crowd(
        url, batch, warm_up, time.perf_counter() + limit_s,
        _processes.Barrier(processes), _processes.Event(),
    )  # fmt: skip
    started = []
    for number in range(processes):
        here, there = _processes.Pipe(duplex=False)
        host = f"host{number % (hosts or processes)}"
        process = _processes.Process(target=crowd.member, args=(host, there))
        process.start()
        there.close()
        started.append((process, here))
    accounts = []
    for process, here in started:
        try:
            accounts.append(here.recv())
        except EOFError:
            accounts.append(Account(problem=f"process {process.pid} died"))
        process.join()
    return accounts


def elapsed_s(accounts: Sequence[Account]) -> float:
    """From the first one's beginning to the last one's end."""
    return max(one.ended_s for one in accounts) - min(one.began_s for one in accounts)
