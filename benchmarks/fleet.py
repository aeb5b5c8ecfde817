"""How short tasks may be before one PostgreSQL limits 240 nodes of 16 slots: a simulation.

`python benchmarks/fleet.py [--nodes N] [--slots N] [--pilots]`. Nodes are threads in a few processes; each has a
connection and a worker of its own, claims and finishes for real as a worker does (what can start at
once, and of short tasks a quarter of a second of work ahead), and instead of running its tasks waits
for as long as they would take: half to one and a half times the length. For each length the rate is
shown, what share of the slots' time was used once all had had their first tasks for as long as one
takes, and how much processor time the server and the simulated nodes took for it: where the nodes take
most of it, they are the limit, and not the store. All in about six minutes on two cores.

With `--pilots` each node is a pilot: of a batch system's row, with a store and connections of its own as
in a process of its own, a lease that it renews, and reports of what it has done. Then the most connections
are shown that the server had, and how many claims a second they made.
"""

import argparse
import heapq
import multiprocessing
import random
import resource
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
import psycopg

import crowd
import servers
from stoker.model.batch import BatchSystem, Manners
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.worker import NewWorker
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.claims import claim, workers
from stoker.store.database.connect import open_store
from stoker.store.ends import finish
from stoker.store.orders import versions
from stoker.store.pilots import entries, starts, submissions
from stoker.store.unit import Store
from stoker.work.lease import LEASE_S, RENEW_S
from stoker.work.prefetch import HORIZON_S, MOST

if TYPE_CHECKING:
    from stoker.model.task import Claimed

ME = Actor("bench")
REPORT_S = 60.0

LINE = Pipeline(name="line", folder="/p", steps=(Step(name="one", action=Run(text="true")),))
_processes = multiprocessing.get_context("fork")


@dataclass
class Done:
    """What a node did: tasks, claims, and for how long its slots were used."""

    tasks: int = 0
    claims: int = 0
    used_s: float = 0.0


class Pilot:
    """What a pilot does beside its tasks: it begins as one, renews its lease, and reports."""

    def __init__(self, store: Store, uid: str, slots: int) -> None:
        store.keep_few()
        self._store, self._uid = store, uid
        pilot = starts.start(
            store, uid, host=uid, batch_id=f"bench:{uid}.0", began_s_ago=0.0, found={}
        )
        assert pilot is not None
        new = NewWorker(
            host=uid, name=uid, pid=1, slots=slots, cpus=slots, memory_bytes=1 << 33,
            scratch="/s", boot_id="b", lease_s=LEASE_S, room_key=uid, batch_id=f"bench:{uid}.0",
            pilot=uid, left_s=pilot.time_s, usable_s=pilot.time_s - 60,
        )  # fmt: skip
        self.worker: Any = workers.enlist(store, new)
        now_s = time.monotonic()
        self._renewed_s, self._reported_s = now_s - random.random() * RENEW_S, now_s

    def look_after(self, done: int) -> None:
        """The lease is renewed, and the report made, where it is time."""
        now_s = time.monotonic()
        if now_s - self._renewed_s >= RENEW_S:
            self._renewed_s = now_s
            assert workers.renew(self._store, self.worker, lease_s=LEASE_S).is_alive
        if now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            starts.report(self._store, self._uid, done=done)


def node(store: Store, name: str, task_s: float, given: argparse.Namespace, begin: Any) -> Done:
    """Work for so long once all have begun; return what was done."""
    slots, seconds = given.slots, given.seconds
    pilot = Pilot(store, name, slots) if given.pilots else None
    me: Any = pilot.worker if pilot is not None else crowd.enlist(store, name)
    begin.wait(300)
    chance = random.Random(name)
    ahead = 0 if task_s >= HORIZON_S else min(int(HORIZON_S * slots / task_s), MOST)
    queue: deque[Claimed] = deque()
    running: list[tuple[float, int, Claimed]] = []  # a heap, by when each ends
    did, started, total = Done(), 0, 0
    since_s = time.monotonic() + given.settle * task_s
    until_s = since_s + seconds
    while (now := time.monotonic()) < until_s:
        if pilot is not None:
            pilot.look_after(total)
        free = slots - len(running)
        if free > len(queue) and len(queue) <= ahead // 2:
            limit = max(free, ahead) - len(queue)
            queue += claim.claim(store, me, limit=limit, cpus_free=max(free, 4)).tasks
            did.claims += now >= since_s
            now = time.monotonic()
        while queue and len(running) < slots:
            took_s = task_s * chance.uniform(0.5, 1.5)
            did.used_s += max(min(now + took_s, until_s) - max(now, since_s), 0)
            started += 1
            heapq.heappush(running, (now + took_s, started, queue.popleft()))
        if not running:
            continue
        left_s = max(running[0][0] - time.monotonic(), 0)
        time.sleep(left_s if pilot is None else min(left_s, 1.0))
        now = time.monotonic()
        ended = []
        while running and running[0][0] <= now:
            ended.append(heapq.heappop(running)[2])
        if ended:
            finish.finish(store, [crowd.result(task) for task in ended])
        total += len(ended)
        did.tasks += len(ended) if now >= since_s else 0
    return did


def nodes(
    url: str, names: list[str], given: argparse.Namespace, task_s: float, begin: Any, answer: Any
) -> None:
    """One process with its share of the nodes."""
    shared = open_store(url)
    found: list[Done] = []

    def run(name: str) -> None:
        store = open_store(url) if given.pilots else shared
        found.append(node(store, name, task_s, given, begin))
        if given.pilots:
            store.close()

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    answer.send(found)


def measure(
    url: str, names: list[str], given: argparse.Namespace, task_s: float
) -> tuple[float, float, str]:
    """Return tasks a second of all nodes together, and what share of their slots' time was used.

    With pilots, also claims a second and connections, in words.
    """
    started = []
    begin = _processes.Barrier(given.nodes)
    for number in range(given.processes):
        here, there = _processes.Pipe(duplex=False)
        mine = names[number :: given.processes]
        process = _processes.Process(target=nodes, args=(url, mine, given, task_s, begin, there))
        process.start()
        started.append((process, here))
    most = most_connections(url, [here for _, here in started]) if given.pilots else 0
    found = [one for _, here in started for one in here.recv()]
    for process, _ in started:
        process.join()
    if len(found) != given.nodes:
        sys.exit("a node did not get through; see above")
    used = sum(one.used_s for one in found) / (given.nodes * given.slots * given.seconds)
    claims = sum(one.claims for one in found) / given.seconds
    words = f", {claims:,.0f} claims a second, {most} connections at most" if given.pilots else ""
    return sum(one.tasks for one in found) / given.seconds, used, words


def processor_s(server: servers.Postgresql) -> tuple[float, float]:
    """Return the processor time of the server, and of the nodes that have ended, so far."""
    process = psutil.Process(int((server.folder / "data/postmaster.pid").read_text().split()[0]))
    main = process.cpu_times()
    taken = main.user + main.system
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            taken += sum(child.cpu_times()[:2])
    nodes = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken + main.children_user + main.children_system, nodes.ru_utime + nodes.ru_stime


def most_connections(url: str, answers: list[Any]) -> int:
    """Return the most connections to the database at a time until one of the processes is over."""
    most = 0
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        while not any(here.poll() for here in answers):
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            row = connection.execute(query).fetchone()
            most = max(most, row[0] - 1 if row else 0)
            time.sleep(1)
    return most


def intend(store: Store, n: int, slots: int) -> list[str]:
    """So many pilots of a batch system are intended; return their ids."""
    system = BatchSystem(
        name="main", system="slurm", time_limit_s=4 * 3600.0, cpus=slots, max_pilots=n
    )
    entries.set_entries(store, [system], file="/p/stoker.toml")
    made = submissions.intend(
        store, system, lambda *_: submissions.Decision(submit=n, wanted=n), project="bench",
        folder="/p", manners=Manners(),
    )  # fmt: skip
    return [one.uid for one in made]


def main() -> None:
    """Go from long tasks to short ones."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=240)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--processes", type=int, default=8, help="that the nodes are threads of")
    parser.add_argument("--seconds", type=float, default=20, help="for each length")
    parser.add_argument("--settle", type=float, default=1, help="lengths before it is measured")
    parser.add_argument("--lengths", type=float, nargs="+", default=[20, 10, 5, 2, 1, 0.1])
    parser.add_argument("--enough", type=float, default=0.9, help="share of the slots' time used")
    parser.add_argument("--quick", action="store_true", help="a small fleet: does it still run?")
    parser.add_argument("--pilots", action="store_true", help="the nodes are pilots")
    given = parser.parse_args()
    if given.quick:
        given.nodes, given.slots, given.processes, given.seconds = 8, 4, 2, 2
        given.lengths = [1, 0.1]
    server = servers.Postgresql(memory_mb=512, connections=2 * given.nodes + 20)
    shortest = None
    try:
        for at, task_s in enumerate(given.lengths):
            slots = given.nodes * given.slots
            url = server.new_database(f"fleet{at}")
            store = open_store(url, site_name="bench")
            versions.apply_version(store, LINE, host="h", path="/f")
            n = slots * (given.seconds / task_s + given.settle + 3)
            needed = int(min(n, 20_000 * given.seconds))
            register.register(store, "line", (NewItem(key=f"k{n:08}") for n in range(needed)), ME)
            names = [f"node{n}" for n in range(given.nodes)]
            if given.pilots:
                names = intend(store, given.nodes, given.slots)
            store.close()
            before = processor_s(server)
            reached, used, words = measure(url, names, given, task_s)
            taken = [now - then for now, then in zip(processor_s(server), before, strict=True)]
            if used >= given.enough:
                shortest = task_s
            sys.stdout.write(
                f"tasks of {task_s:6.2f} s: {reached:8,.0f} a second, slots used {used:4.0%}{words}; "
                f"processor time: server {taken[0]:.0f} s, nodes {taken[1]:.0f} s\n"
            )
            sys.stdout.flush()
    finally:
        server.close()
    found = (
        f"the store keeps up down to tasks of {shortest} s" if shortest else "it keeps up with none"
    )
    what = "pilots" if given.pilots else "nodes"
    sys.stdout.write(f"{given.nodes} {what} of {given.slots} slots: {found}\n")


if __name__ == "__main__":
    main()
