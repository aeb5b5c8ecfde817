"""The store's speed on each database: claims in a large store, many workers, lists, repair.

`python benchmarks/store.py [--database D]… [--quick]`. Starts servers of its own. Fills a store with
5,000,000 done tasks, made inside the database, and measures claims of one task while 1,000, then
100,000, then 1,000,000 are ready, beside the same statements by hand on the bare driver; then the
commands that list, a worker's death with thousands of tasks in hand, and in a small store the rate of
claims and finishes by several processes, singly and in batches. Goals stand beside the figures, and
after each part how long it took; one database takes up to twelve minutes on two cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bulk import multiply

import crowd
import servers
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.spec.load import load_project
from stoker.store import journal_fold
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.claims import claim
from stoker.store.database.connect import open_store
from stoker.store.ends import finish, reap
from stoker.store.orders import versions
from stoker.store.unit import Store

ME = Actor("bench")
STOKER = str(Path(sys.executable).with_name("stoker"))
CONFIG = """
[store]
url = "{url}"
[pipelines.old]
items = "records"
{old}
[pipelines.fresh]
items = "records"
[pipelines.fresh.steps.one]
argv = ["true"]
"""
STEPS = 5  # of the old items: so many done tasks each
LISTS = {
    "status": "status",
    "tasks --state failed": "tasks --state failed",
    **{
        f"{words} (first 1,000)": f"{words} --json | head -1000"
        for words in (
            "tasks", "tasks --state ready", "tasks --pipeline fresh", "tasks --step one",
            "items", "items --state waiting", "items --pipeline fresh",
            "attempts", "attempts --pipeline fresh",
        )
    },
    "show KEY": "show fresh-0000007",
    "why KEY": "why fresh-0000999",
    "failures": "failures",
    "workers": "workers",
}  # fmt: skip


GROWTH, LIST_S, REPAIR_S = 1.5, 0.5, 5.0  # the goals, like the next
CLAIM_P99_MS = {"sqlite": 1.0, "postgresql": 4.0, "mariadb": 6.0}
# A large store is measured as it is once the server has tidied up after a million new rows.
SETTLE = {
    "postgresql": ("VACUUM ANALYZE",),
    "mariadb": (
        "SET GLOBAL innodb_max_purge_lag_wait = 0",  # returns once no row of the past is left
        "ANALYZE TABLE item, task, attempt, journal",
    ),
}


def told(database: str, what: str, figure: str, *, goal: str = "", missed: bool = False) -> None:
    """One line of what is measured, with its goal."""
    beside = f"  goal {goal}{', MISSED' if missed else ''}" if goal else ""
    sys.stdout.write(f"{database:11} {what:38} {figure}{beside}\n")
    sys.stdout.flush()


@contextmanager
def part(database: str, name: str) -> Iterator[None]:
    """A part of the whole; says at its end how long it took."""
    began = time.perf_counter()
    yield
    told(database, f"({name})", f"took {time.perf_counter() - began:.0f} s")


@contextmanager
def databases(kind: str) -> Iterator[Callable[[str], str]]:
    """What gives the URL of a new database of that kind by its name."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder:
            yield lambda name: f"sqlite:///{folder}/{name}/stoker.db"
        return
    server = servers.KINDS[kind](memory_mb=1024)
    try:
        yield server.new_database
    finally:
        server.close()


def push(store: Store, numbers: range) -> None:
    """These items are ready."""
    register.register(store, "fresh", (NewItem(key=f"fresh-{n:07}") for n in numbers), ME)


def claims_ms(store: Store, me: int, count: int) -> list[float]:
    """How long each of so many claims of one task took; each is given back, so that none is missing."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        tasks = claim.claim(store, me, limit=1, cpus_free=4).tasks
        found.append((time.perf_counter() - began) * 1000)
        finish.give_back(store, tasks)
    return sorted(found)


def p(values: list[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return values[min(int(len(values) * share), len(values) - 1)]


def by_hand_ms(store: Store, me: int, count: int) -> list[float]:
    """A claim's least statements on the bare driver, with nothing checked and nothing remembered."""
    mark = store.dialect.placeholder
    lock = " FOR UPDATE SKIP LOCKED" if store.dialect.locks_rows else ""
    texts = [
        "SELECT id, (SELECT okey FROM task WHERE task.lane = lane.id ORDER BY okey, id LIMIT 1) FROM lane",
        "SELECT okey, id, item_id FROM task WHERE lane = ? ORDER BY okey, id LIMIT 1" + lock,
        "SELECT id, params FROM item WHERE id = ?",
        "UPDATE attempt SET worker_id = ? WHERE id = ?",
        "UPDATE task SET worker_id = ? WHERE id = ?",
        "INSERT INTO journal (origin, epoch, at_us, event, v, n) VALUES (1, 1, 1, 'by_hand', 1, 0)",
    ]
    head, take, item, attempt, task, journal = (text.replace("?", mark) for text in texts)
    connection, _ = store.borrow(writes=True, wait_s=1.0)
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    begin = "BEGIN" if store.dialect.locks_rows else "BEGIN IMMEDIATE"
    found = []
    for number in range(count):
        began = time.perf_counter()
        cursor.execute(begin)
        cursor.execute(head)
        lane = next(row[0] for row in cursor.fetchall() if row[1] is not None)
        cursor.execute(take, [lane])
        _, task_id, item_id = cursor.fetchone()
        cursor.execute(item, [item_id])
        cursor.fetchone()
        cursor.execute(attempt, [me, number.to_bytes(16, "big")])
        cursor.execute(task, [me, task_id])
        cursor.execute(journal)
        cursor.execute("COMMIT")
        found.append((time.perf_counter() - began) * 1000)
    cursor.close()
    store.hand_back(connection)
    return sorted(found)


def large(kind: str, url: str, folder: Path, given: argparse.Namespace) -> None:
    """Everything that is measured on the large store."""
    old = "\n".join(f'[pipelines.old.steps.s{n}]\nargv = ["true"]' for n in range(STEPS))
    (folder / "stoker.toml").write_text(CONFIG.format(url=url, old=old))
    loaded = load_project(folder / "stoker.toml")
    store = open_store(url, site_name="bench")
    for pipeline in loaded.pipelines.values():
        versions.apply_version(store, pipeline, host="here", path=str(folder / "stoker.toml"))
    me = crowd.enlist(store, "bench")
    register.register(store, "old", [NewItem(key="old")], ME)
    tasks = claim.claim(store, me, limit=STEPS, cpus_free=4).tasks
    finish.finish(store, [crowd.result(task) for task in tasks])
    with part(kind, f"{given.done:,} done tasks made in bulk"):
        multiply(store, "old", given.done // STEPS)
    medians, ready, pushing_s = [], 0, 0.0
    for size in given.ready:
        with part(kind, f"up to {size:,} ready"):
            began = time.perf_counter()
            push(store, range(ready, size))
            pushing_s += time.perf_counter() - began
            ready = size
            settle(store)
            medians.append(claims(kind, store, me, size, given.claims))
    rate = f"{ready / pushing_s:8,.0f} items/s"
    told(kind, f"registering {ready:,}", rate, goal="50,000 items/s" if kind == "sqlite" else "")
    growth = medians[-1] / medians[0]
    told(
        kind, "claim, most against fewest ready", f"{growth:8.2f} x", goal=f"{GROWTH} x",
        missed=growth > GROWTH,
    )  # fmt: skip
    with part(kind, "repair"):
        repair(kind, store, url, given.held)
    with part(kind, "list commands"):
        lists(kind, folder, given.rounds)


def settle(store: Store) -> None:
    """All is counted, and the database's own housekeeping is done."""
    journal_fold.fold(store, limit_s=600)
    with store.connected() as connection:
        for text in SETTLE.get(store.dialect.name, ()):
            connection.exec_driver_sql(text)
    store.checkpoint()


@contextmanager
def at_work() -> Iterator[None]:
    """Let all cores but one work at something that gives way to all else, as on a worker's host.

    On an idle virtual machine each answer of a server waits for a core to be woken, several times in
    a claim, and that is what would be measured.
    """
    text = "import os; os.nice(19)\nwhile True: pass"
    others = len(os.sched_getaffinity(0)) - 1
    spinning = [subprocess.Popen([sys.executable, "-c", text]) for _ in range(others)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def claims(kind: str, store: Store, me: int, ready: int, count: int) -> float:
    """So many claims with so many ready, beside those by hand; returns the median in milliseconds."""
    claims_ms(store, me, count // 10)
    idle = claims_ms(store, me, count)
    with at_work():
        found = claims_ms(store, me, count)
        hand = by_hand_ms(store, me, count)
    median, p99, goal = p(found, 0.5), p(found, 0.99), CLAIM_P99_MS[kind]
    told(
        kind, f"claim with {ready:,} ready",
        f"p50 {median:6.2f}  p99 {p99:6.2f} ms, by hand {p(hand, 0.5):5.2f} and {p(hand, 0.99):5.2f}"
        f" ({median / p(hand, 0.5):.1f} x); idle host {p(idle, 0.5):5.2f} and {p(idle, 0.99):5.2f}",
        goal=f"p99 {goal:.0f} ms", missed=p99 > goal,
    )  # fmt: skip
    return median


def repair(kind: str, store: Store, url: str, held: int) -> None:
    """A worker dies with so many tasks in hand; another process opens the store and puts it right."""
    doomed = crowd.enlist(store, "doomed")
    while held > 0:
        taken = claim.claim(store, doomed, limit=min(held, 500), cpus_free=4).tasks
        if not taken:
            break
        held -= len(taken)
    store.close()
    began = time.perf_counter()
    store = open_store(url)
    opened_s = time.perf_counter() - began
    lost = reap.reap(store, dead_workers=[doomed]).attempts
    journal_fold.fold(store, limit_s=600)
    took_s = time.perf_counter() - began
    told(
        kind, f"open, lose {lost:,} attempts, count", f"{took_s:8.2f} s (opened in {opened_s:.2f} s)",
        goal=f"{REPAIR_S:.0f} s", missed=took_s > REPAIR_S,
    )  # fmt: skip
    store.close()


def lists(kind: str, folder: Path, rounds: int) -> None:
    """Whole commands, beside what every one of them begins with."""
    start_s = _elapsed_s([sys.executable, "-c", "import sqlalchemy"], folder, rounds)
    told(kind, "python -c 'import sqlalchemy'", f"{start_s:8.2f} s")
    for name, arguments in LISTS.items():
        took_s = _elapsed_s(["sh", "-c", f"{STOKER} {arguments}"], folder, rounds)
        told(kind, f"stoker {name}", f"{took_s:8.2f} s", goal=f"{LIST_S} s", missed=took_s > LIST_S)


def _elapsed_s(argv: list[str], folder: Path, rounds: int) -> float:
    """The median time of a command."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(argv, cwd=folder, capture_output=True, check=False)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def rates(kind: str, new: Callable[[str], str], given: argparse.Namespace) -> None:
    """Tasks claimed and finished a second by several worker processes at once."""
    line = Pipeline(name="fresh", folder="/p", steps=(Step(name="one", action=Run(text="true")),))
    for processes in given.workers:
        for batch in (1, 16):
            tasks = int(given.tasks * min(processes, 4) ** 0.5 * (4 if batch > 1 else 1))
            url = new(f"rate{processes}_{batch}")
            store = open_store(url, site_name="bench")
            versions.apply_version(store, line, host="h", path="/f")
            push(store, range(tasks + 8 * processes * batch))
            store.close()
            accounts = crowd.run(url, processes=processes, batch=batch)
            if problems := [one.problem for one in accounts if one.problem]:
                sys.exit(f"{problems}")
            done = sum(len(one.claimed) - one.warm for one in accounts)
            what = f"{processes} worker{'s' * (processes > 1)}, {batch} at a time"
            told(kind, what, f"{done / crowd.elapsed_s(accounts):8,.0f} tasks/s")


def main() -> None:
    """Measure one database after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = ("sqlite", *servers.KINDS)
    parser.add_argument("--database", action="append", choices=kinds, help="by default all three")
    parser.add_argument("--quick", action="store_true", help="a small store: does it still run?")
    parser.add_argument("--done", type=int, default=5_000_000)
    parser.add_argument("--ready", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--claims", type=int, default=2_000, help="that are measured at each size")
    parser.add_argument("--held", type=int, default=4_000, help="tasks of the worker that dies")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--tasks", type=int, default=2_000, help="for one worker, singly")
    parser.add_argument("--rounds", type=int, default=3, help="of each listing command")
    given = parser.parse_args()
    if given.quick:
        given.done, given.ready, given.claims, given.held = 5_000, [100, 1_000], 100, 200
        given.workers, given.tasks, given.rounds = [1, 4], 100, 1
    for kind in given.database or kinds:
        with (
            databases(kind) as new,
            tempfile.TemporaryDirectory(prefix="stoker-bench-") as folder,
            part(kind, "all"),
        ):
            large(kind, new("large"), Path(folder), given)
            with part(kind, "workers at once"):
                rates(kind, new, given)


if __name__ == "__main__":
    main()
