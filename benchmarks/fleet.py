"""How short tasks may be before one PostgreSQL limits 240 nodes of 16 slots: a simulation.

`python benchmarks/fleet.py [--nodes N] [--slots N]`. Nodes are threads in a few processes; each has a
connection and a worker of its own, claims and finishes for real as a worker does (what can start at
once, and of short tasks a quarter of a second of work ahead), and instead of running its tasks waits
for as long as they would take: half to one and a half times the length. For each length the rate is
shown, and what share of the slots' time was used. All in about six minutes on two cores.
"""

import argparse
import heapq
import multiprocessing
import random
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import crowd
import servers
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.claims import claim
from stoker.store.database.connect import open_store
from stoker.store.ends import finish
from stoker.store.orders import versions
from stoker.store.unit import Store
from stoker.work.prefetch import HORIZON_S, MOST

if TYPE_CHECKING:
    from stoker.model.task import Claimed

ME = Actor("bench")

LINE = Pipeline(name="line", folder="/p", steps=(Step(name="one", action=Run(text="true")),))
_processes = multiprocessing.get_context("fork")


def node(store: Store, name: str, task_s: float, slots: int, seconds: float) -> tuple[int, float]:
    """Work for so long; return how many tasks were done, and for how long slots were used meanwhile."""
    me: Any = crowd.enlist(store, name)
    chance = random.Random(name)
    ahead = 0 if task_s >= HORIZON_S else min(int(HORIZON_S * slots / task_s), MOST)
    queue: deque[Claimed] = deque()
    running: list[tuple[float, int, Claimed]] = []  # a heap, by when each ends
    done, started, used_s = 0, 0, 0.0
    until_s = time.monotonic() + seconds
    while (now := time.monotonic()) < until_s:
        free = slots - len(running)
        if free > len(queue) and len(queue) <= ahead // 2:
            limit = max(free, ahead) - len(queue)
            queue += claim.claim(store, me, limit=limit, cpus_free=4).tasks
            now = time.monotonic()
        while queue and len(running) < slots:
            took_s = task_s * chance.uniform(0.5, 1.5)
            used_s += max(min(took_s, until_s - now), 0)
            started += 1
            heapq.heappush(running, (now + took_s, started, queue.popleft()))
        if not running:
            continue
        time.sleep(max(running[0][0] - time.monotonic(), 0))
        now = time.monotonic()
        ended = []
        while running and running[0][0] <= now:
            ended.append(heapq.heappop(running)[2])
        finish.finish(store, [crowd.result(task) for task in ended])
        done += len(ended)
    return done, used_s


def nodes(url: str, numbers: range, given: argparse.Namespace, task_s: float, answer: Any) -> None:
    """One process with its share of the nodes."""
    store = open_store(url)
    told: list[tuple[int, float]] = []

    def run(number: int) -> None:
        told.append(node(store, f"node{number}", task_s, given.slots, given.seconds))

    threads = [threading.Thread(target=run, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    answer.send(told)


def measure(url: str, given: argparse.Namespace, task_s: float) -> tuple[float, float]:
    """Return tasks a second of all nodes together, and what share of their slots' time was used."""
    started = []
    for number in range(given.processes):
        here, there = _processes.Pipe(duplex=False)
        mine = range(number, given.nodes, given.processes)
        process = _processes.Process(target=nodes, args=(url, mine, given, task_s, there))
        process.start()
        started.append((process, here))
    told = [one for _, here in started for one in here.recv()]
    for process, _ in started:
        process.join()
    if len(told) != given.nodes:
        sys.exit("a node did not get through; see above")
    done, used_s = (sum(column) for column in zip(*told, strict=True))
    return done / given.seconds, used_s / (given.nodes * given.slots * given.seconds)


def main() -> None:
    """Go from long tasks to short ones."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=240)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--processes", type=int, default=8, help="that the nodes are threads of")
    parser.add_argument("--seconds", type=float, default=20, help="for each length")
    parser.add_argument("--lengths", type=float, nargs="+", default=[20, 10, 5, 2, 1, 0.1])
    parser.add_argument("--enough", type=float, default=0.9, help="share of the slots' time used")
    parser.add_argument("--quick", action="store_true", help="a small fleet: does it still run?")
    given = parser.parse_args()
    if given.quick:
        given.nodes, given.slots, given.processes, given.seconds = 8, 4, 2, 2
        given.lengths = [1, 0.1]
    server = servers.Postgresql(memory_mb=512, connections=given.nodes + 20)
    shortest = None
    try:
        for at, task_s in enumerate(given.lengths):
            slots = given.nodes * given.slots
            url = server.new_database(f"fleet{at}")
            store = open_store(url, site_name="bench")
            versions.apply_version(store, LINE, host="h", path="/f")
            needed = int(min(slots * (given.seconds / task_s + 2), 20_000 * given.seconds))
            register.register(store, "line", (NewItem(key=f"k{n:08}") for n in range(needed)), ME)
            store.close()
            reached, used = measure(url, given, task_s)
            if used >= given.enough:
                shortest = task_s
            sys.stdout.write(
                f"tasks of {task_s:6.2f} s: {reached:8,.0f} a second, slots used {used:4.0%}\n"
            )
            sys.stdout.flush()
    finally:
        server.close()
    told = (
        f"the store keeps up down to tasks of {shortest} s" if shortest else "it keeps up with none"
    )
    sys.stdout.write(f"{given.nodes} nodes of {given.slots} slots: {told}\n")


if __name__ == "__main__":
    main()
