"""How long the pages take on a store of a million items, to the last byte, and what they cost.

    python benchmarks/pages.py [--items 1000000] [--folder DIR] [--database sqlite] [--cold 15] [--warm 200]

Makes a store: nine tenths done, of the rest some worked on, a tenth of that failed by a dozen causes;
with `--folder` it is kept, and used again. Then asks for each page, `cold` after a pause in which what
pages share has grown old, and `warm` one after the other; beside them an empty answer of the same server.
"""

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bulk import multiply

import servers
from stoker.model.item import NewItem
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.model.worker import NewWorker
from stoker.spec.load import load_project
from stoker.store import journal_fold
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.claims import claim, workers
from stoker.store.database.connect import open_store
from stoker.store.ends import finish
from stoker.store.orders import versions
from stoker.store.unit import Store

ME = Actor("bench")
GOAL_MS, MEMORY_MB = 300.0, 250.0
PAUSE_S = 1.05
HOSTS, DAY_US, RAN_US = 20, 86_400_000_000, 40_000_000
PROJECT = """
[project]
name = "bench"
[web]
anonymous = "viewer"
[store]
url = "{url}"
[pipelines.spikes]
title = "Spike sorting"
items = "records"
[pipelines.spikes.steps.one]
run = "true"
[pipelines.spikes.steps.two]
after = ["one"]
run = "true"
[pipelines.spikes.steps.three]
after = ["two"]
run = "true"
[pipelines.other]
items = "records"
[pipelines.other.steps.only]
run = "true"
"""
CAUSE = "ValueError: channel 7 is empty"


def fill(folder: Path, items: int) -> None:
    """Make the store."""
    loaded = load_project(folder / "stoker.toml")
    store = open_store(loaded.settings.store_url)
    for pipeline in loaded.pipelines.values():
        versions.apply_version(store, pipeline, host="here", path=str(folder))
    new = NewWorker(
        host="here", name="bench", pid=1, slots=48, cpus=48, memory_bytes=1 << 34, scratch="/",
        boot_id="b", lease_s=36_000,
    )  # fmt: skip
    me = workers.enlist(store, new)
    register.register(store, "spikes", [NewItem(key="first-of-all")], ME)
    _work(store, me, 3, lambda _: False)
    multiply(store, "first-of-all", items * 9 // 10)
    some = (NewItem(key=f"record-{n:07}") for n in range(items // 10))
    register.register(store, "spikes", some, ME)
    register.register(store, "other", [NewItem(key=f"other-{n:05}") for n in range(500)], ME)
    others = [workers.enlist(store, replace(new, host=f"node{n:02}")) for n in range(1, HOSTS)]
    for worker in (me, *others):
        _work(store, worker, items // 50 // HOSTS, lambda n: n % 10 == 7)
    claim.claim(store, me, limit=40, cpus_free=480)
    journal_fold.fold(store)
    store.close()


def _work(store: Store, worker: int, limit: int, fails: Callable[[int], bool]) -> None:
    done = 0
    while done < limit:
        tasks = claim.claim(store, worker, limit=min(500, limit - done), cpus_free=480).tasks
        if not tasks:
            return
        ends = []
        now_us = time.time_ns() // 1000
        for n, task in enumerate(tasks, start=done):
            ended_us = now_us - n * DAY_US // limit  # spread over a day, for the timeline
            cause = f"ValueError: channel {n % 12} is empty" if fails(n) else None
            ends.append(
                Result(
                    attempt=task.attempt,
                    task_id=task.task_id,
                    state=AttemptState.FAILED if cause else AttemptState.SUCCEEDED,
                    verdict=Verdict.FAIL if cause else Verdict.DONE,
                    started_us=ended_us - RAN_US,
                    ended_us=ended_us,
                    reason=cause,
                    cause=cause,
                )
            )
        finish.finish(store, ends)
        done += len(tasks)


class Server:
    """The web process of the project, without the service around it."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        words = [
            "-m",
            "stoker.web.serving",
            str(folder / "stoker.toml"),
            str(self._socket.fileno()),
        ]
        self.process = subprocess.Popen(
            [sys.executable, *words, f"http://127.0.0.1:{self.port}/"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._socket.fileno()],
        )
        assert self.process.stdout is not None
        if os.read(self.process.stdout.fileno(), 1) != b"!":
            raise SystemExit("the web process did not start")

    def wait(self) -> None:
        """The store answers."""
        end_s = time.monotonic() + 60
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return connection.close()
            if time.monotonic() > end_s:
                raise SystemExit("the store does not answer")
            time.sleep(1)

    @property
    def memory_mb(self) -> float:
        """What the process holds in memory."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self._socket.close()


def took_ms(connection: http.client.HTTPConnection, path: str) -> tuple[float, int]:
    """Return how long an answer took to its last byte, and how many it has."""
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html"})
    answer = connection.getresponse()
    size = len(answer.read())
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return (time.perf_counter() - began) * 1000, size


def at(values: list[float], share: float) -> float:
    """Return the value that this share of all does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def pages() -> dict[str, str]:
    """Return the pages by what they are."""

    def to(path: str, **query: str) -> str:
        return f"/{path}?{urlencode(query)}" if query else f"/{path}"

    return {
        "nothing (baseline)": "/healthz",
        "overview": to("overview"),
        "failures": to("failures"),
        "failures of a step": to("failures", pipeline="spikes", step="one"),
        "items": to("items"),
        "items, failed": to("items", state="failed"),
        "items, a glob": to("items", key="record-00000*"),
        "tasks of a cause": to("tasks", pipeline="spikes", step="one", state="failed", cause=CAUSE),
        "tasks, held (none)": to("tasks", state="held"),
        "item, done": to("item", key="first-of-all"),
        "item, failed": to("item", key="record-0000057"),
        "item, waiting": to("item", key="record-0099999"),
        "pipeline": to("pipeline", pipeline="spikes"),
        "timeline, a day": to("timeline", last="24h"),
        "timeline, a year": to("timeline", last="1y"),
        "timeline of steps": to("timeline", last="all", by="steps"),
        "search, a part": to("search", q="ecord-00000"),
        "search, a glob": to("search", q="record-0*57"),
        "settings": to("settings"),
        "machines": to("machines"),
        "sources": to("sources"),
        "journal": to("journal"),
        "journal, everything": to("journal", who="all"),
    }


def measure(folder: Path, n_cold: int, n_warm: int) -> None:
    """Print the figures of each page."""
    server = Server(folder)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        server.wait()  # after a load, a database may be busy with itself for a while
        for path in pages().values():
            took_ms(connection, path)
        print(f"{'page':22} {'cold max':>9} {'warm p50':>9} {'warm p99':>9} {'kB':>6}")
        for name, path in pages().items():
            cold = []
            for _ in range(n_cold):
                time.sleep(PAUSE_S)
                cold.append(took_ms(connection, path)[0])
            warm = [took_ms(connection, path) for _ in range(n_warm)]
            times = [one for one, _ in warm]
            is_missed = max(*cold, at(times, 0.99)) > GOAL_MS
            print(
                f"{name:22} {max(cold):6.0f} ms {at(times, 0.5):6.1f} ms {at(times, 0.99):6.1f} ms "
                f"{warm[-1][1] / 1000:6.1f}{'  MISSED' if is_missed else ''}",
                flush=True,
            )
        print(f"goal {GOAL_MS:.0f} ms; memory {server.memory_mb:.0f} MB, goal {MEMORY_MB:.0f} MB")
    finally:
        server.close()


def main() -> None:
    """Read the arguments, make the store where there is none, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "mariadb"), default="sqlite")
    parser.add_argument("--cold", type=int, default=15)
    parser.add_argument("--warm", type=int, default=200)
    given = parser.parse_args()
    database = None if given.database == "sqlite" else servers.KINDS[given.database](memory_mb=1024)
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = given.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "stoker.toml").exists():
            url = "sqlite:///.stoker/stoker.db" if database is None else database.new_database("b")
            (folder / "stoker.toml").write_text(PROJECT.format(url=url))
            fill(folder, given.items)
        try:
            measure(folder, given.cold, given.warm)
        finally:
            if database is not None:
                database.close()


if __name__ == "__main__":
    main()
