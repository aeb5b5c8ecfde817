"""How long reading commands take on a large store, beside the same question asked by hand.

`python benchmarks/reading.py [--items N] [--rounds N]`. Makes a store of N items of two steps, a
fifth of them worked on, one in a thousand of those failed. Prints for each command the median time
to its first page (a hundred lines) or its end, that of a query by hand through Python's sqlite3, in
turn, and the command's peak memory; then what it takes to list every task.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.store.actor import Actor

ME = Actor("bench")

CONFIG = """
[project]
name = "bench"
[pipelines.p]
items = "records"
[pipelines.p.steps.one]
run = "true"
[pipelines.p.steps.two]
after = ["one"]
run = "true"
"""
STOKER = str(Path(sys.executable).with_name("stoker"))
PAGE = 100  # lines
LAST = "record-last"  # still waiting
BY_HAND = (
    "import sqlite3, sys; base = sqlite3.connect('.stoker/stoker.db'); "
    "[print(*row) for row in base.execute(sys.argv[1])]"
)
_WHOLE = (
    "FROM task t JOIN item i ON i.id = t.item_id JOIN step s ON s.id = t.step_id "
    "JOIN pipeline p ON p.id = i.pipeline_id LEFT JOIN attempt a ON a.id = t.attempt"
)
_ITEMS = "SELECT i.key, i.state, i.size_bytes, i.registered_us, i.by_user FROM item i"
_TASKS = f"SELECT i.key, s.name, t.state, t.number, a.reason {_WHOLE}"
_ATTEMPTS = (
    "SELECT a.claimed_us, i.key, s.name, a.number, a.state, a.reason FROM attempt a "
    "JOIN task t ON t.id = a.task_id JOIN item i ON i.id = t.item_id JOIN step s ON s.id = t.step_id"
)
_ONE = "i.pipeline_id = 1 AND i.key = 'record-0000123'"
COMMANDS = {
    "status": "SELECT step_id, state, sum(n) FROM tally GROUP BY step_id, state",
    "failures": f"SELECT s.name, a.cause, count(*) {_WHOLE} WHERE t.state = {TaskState.FAILED} GROUP BY 1, 2",
    "items": f"{_ITEMS} ORDER BY i.id LIMIT {PAGE}",
    "items record-0000123": f"{_ITEMS} WHERE {_ONE}",
    "items --state failed": f"{_ITEMS} WHERE i.state = {ItemState.FAILED} ORDER BY i.id",
    "tasks": f"{_TASKS} ORDER BY t.id LIMIT {PAGE}",
    "tasks record-0000123": f"{_TASKS} WHERE {_ONE}",
    "tasks --state failed": f"{_TASKS} WHERE t.state = {TaskState.FAILED} ORDER BY t.id",
    "tasks --state running": f"{_TASKS} WHERE t.state = {TaskState.RUNNING} ORDER BY t.id",
    "tasks --match reason": f"{_TASKS} WHERE lower(a.reason) LIKE '%reason%' ORDER BY t.id",
    "attempts": f"{_ATTEMPTS} ORDER BY a.id LIMIT {PAGE}",
    "attempts record-0000123": f"{_ATTEMPTS} WHERE {_ONE} ORDER BY a.id",
    "attempts --state failed": f"{_ATTEMPTS} WHERE a.state = {AttemptState.FAILED} ORDER BY a.id LIMIT {PAGE}",
    "show record-0000123": f"{_ATTEMPTS} WHERE {_ONE} ORDER BY a.id",
    f"why {LAST} two": f"{_TASKS} WHERE i.pipeline_id = 1 AND i.key = '{LAST}'",
}
STARTS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import sqlalchemy'": [sys.executable, "-c", "import sqlalchemy"],
    "stoker --version": [STOKER, "--version"],
}


class Took(NamedTuple):
    """What a command took."""

    elapsed_s: float
    peak_mb: float


def fill(folder: Path, count: int) -> None:
    """Make the store: all registered, the first fifth worked on, some of that failed."""
    from stoker.model.item import NewItem
    from stoker.model.pipeline import Verdict
    from stoker.model.states import AttemptState
    from stoker.model.task import Result
    from stoker.model.worker import NewWorker
    from stoker.spec.load import load_project
    from stoker.store import journal_fold
    from stoker.store.arrivals import register
    from stoker.store.claims import claim, workers
    from stoker.store.database.connect import open_store
    from stoker.store.ends import finish
    from stoker.store.orders import versions

    loaded = load_project(folder / "stoker.toml")
    store = open_store(loaded.settings.store_url)
    versions.apply_version(store, loaded.pipelines["p"], host="here", path=str(folder))
    items = [NewItem(key=f"record-{n:07}") for n in range(count)]
    register.register(store, "p", [*items, NewItem(key=LAST)], ME)
    new = NewWorker(
        host="here",
        name="bench",
        pid=1,
        slots=2,
        cpus=2,
        memory_bytes=1 << 34,
        scratch="/",
        boot_id="b",
        lease_s=3600,
    )
    me = workers.enlist(store, new)
    done = 0
    while done < count // 5:
        tasks = claim.claim(store, me, limit=500, cpus_free=2).tasks
        finish.finish(
            store,
            [
                Result(
                    attempt=task.attempt,
                    task_id=task.task_id,
                    state=AttemptState.FAILED if n % 1000 == 7 else AttemptState.SUCCEEDED,
                    verdict=Verdict.FAIL if n % 1000 == 7 else Verdict.DONE,
                    ended_us=time.time_ns() // 1000,
                    reason="a reason" if n % 1000 == 7 else None,
                    cause=f"cause {n % 5}" if n % 1000 == 7 else None,
                )
                for n, task in enumerate(tasks, start=done)
            ],
        )
        done += len(tasks)
    workers.retire(store, me)
    journal_fold.fold(store)
    store.close()


def first_page(command: Sequence[str], folder: Path) -> Took:
    """Return the time until a command has printed a page, or all if that is less."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as of:
        assert of.stdout is not None
        for _, _line in zip(range(PAGE), of.stdout, strict=False):
            pass
        elapsed_s = time.perf_counter() - began
        of.stdout.close()
        return Took(elapsed_s, _peak_mb(of))


def whole(command: Sequence[str], folder: Path) -> tuple[int, Took]:
    """Return how many lines a command prints, and what it takes to the end."""
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as of:
        assert of.stdout is not None
        lines = sum(1 for _ in of.stdout)
        return lines, Took(time.perf_counter() - began, _peak_mb(of))


def _peak_mb(process: subprocess.Popen[bytes]) -> float:
    """The process is at its end; return the most memory that it had."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / 1000


def main() -> None:
    """Read the arguments, fill a store, run the rounds, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        (folder / "stoker.toml").write_text(CONFIG)
        filling = multiprocessing.Process(target=fill, args=(folder, given.items))
        filling.start()  # a process of its own: children begin with the memory of their parent
        filling.join()
        print(f"{given.items:,} items, {2 * given.items:,} tasks")
        for what, command in STARTS.items():
            runs = [first_page(command, folder) for _ in range(given.rounds)]
            print(f"{what:32} {statistics.median(run.elapsed_s for run in runs):5.2f} s")
        for words, query in COMMANDS.items():
            by_hand = [sys.executable, "-c", BY_HAND, query]
            pairs = [
                (first_page([STOKER, *words.split()], folder), first_page(by_hand, folder))
                for _ in range(given.rounds)
            ]
            took_s = statistics.median(ours.elapsed_s for ours, _ in pairs)
            hand_s = statistics.median(theirs.elapsed_s for _, theirs in pairs)
            peak = max(ours.peak_mb for ours, _ in pairs)
            print(
                f"stoker {words:25} {took_s:5.2f} s  by hand {hand_s:5.2f} s  {peak:4.0f} MB at most"
            )
        lines, took = whole([STOKER, "tasks", "--json"], folder)
        rate = lines / took.elapsed_s
        print(f"all of `stoker tasks --json`: {rate:,.0f} lines/s, {took.peak_mb:.0f} MB at most")


if __name__ == "__main__":
    main()
