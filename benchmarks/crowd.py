"""What many workers on one host cost beside one: processor time a task, and how full a pool is.

`python benchmarks/crowd.py [--tasks N] [--workers N] [--rounds N] [--seconds S]`. Starts a PostgreSQL
of its own. Short tasks are done by one `stoker work --drain --slots 2` and, in turn with it, by eight,
which share the same cpus; then the same where each task needs one of a pool's three slots. Processor
time is that of the workers with what they start, and of the server beside it; a start is measured with
nothing to do and subtracted. A pool is looked at every few milliseconds: how many of its slots are held
while more tasks wait than there are slots, as a part of those that the cpus can use at all.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil

import servers

STOKER = str(Path(sys.executable).with_name("stoker"))
FILE = """
[project]
name = "bench"
[store]
url = "{url}"
[pools]
three = 3
[pipelines.p]
items = "records"
[pipelines.p.steps.s]
argv = {argv}
{pools}
"""
WORK = ("work", "--drain", "--slots", "2")
LOOK_S = 0.005
SLOTS = 3
_POOL = (
    "SELECT (SELECT count(*) FROM slot WHERE attempt IS NOT NULL), "
    "(SELECT count(*) FROM (SELECT 1 FROM task WHERE lane IS NOT NULL LIMIT 10) AS few)"
)


class Took(NamedTuple):
    """What some workers took in all, and how full the pool was."""

    elapsed_s: float
    cpu_s: float
    server_s: float
    pool_use: float


class Server(servers.Postgresql):
    """A server that knows its processor time."""

    watching_s = 0.0

    def cpu_s(self) -> float:
        """Return what it and its sessions have taken, those that ended included.

        Less what the looks at the pool have.
        """
        assert self.process is not None
        own = psutil.Process(self.process.pid)
        spent = sum(own.cpu_times()[:4])
        for child in own.children(recursive=True):
            try:
                spent += sum(child.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return spent - self.watching_s


class PoolWatch:
    """Looks at the pool in a thread of its own; the server's time for that is counted apart."""

    def __init__(self, server: Server, database: str) -> None:
        self.seen: list[int] = []
        self._server = server
        self._connection = server.connect(database)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            used, ready = self._connection.execute(_POOL).fetchone()
            if ready > SLOTS:
                self.seen.append(used)

    def end(self) -> float:
        """Return the share of the slots that was held while tasks waited.

        Each task takes a cpu: of more slots than there are cpus, so many are all that can be used.
        """
        self._over.set()
        self._thread.join()
        (pid,) = self._connection.execute("SELECT pg_backend_pid()").fetchone()
        self._server.watching_s += sum(psutil.Process(pid).cpu_times()[:2])
        self._connection.close()
        most = min(SLOTS, len(os.sched_getaffinity(0)))
        begun = self.seen[next((n for n, used in enumerate(self.seen) if used), 0) :]
        return statistics.fmean(min(used, most) for used in begun) / most if begun else 0.0


def work(
    folder: Path, server: Server, database: str, workers: int, *, is_watched: bool = False
) -> Took:
    """Run so many workers until nothing is left."""
    server_s = server.cpu_s()
    began_s = time.perf_counter()
    watch = PoolWatch(server, database) if is_watched else None
    running = [
        subprocess.Popen(
            [STOKER, *WORK],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(workers)
    ]
    cpu_s = 0.0
    for one in running:
        _, status, usage = os.wait4(one.pid, 0)
        one.returncode = os.waitstatus_to_exitcode(status)
        assert one.returncode == 0, one.returncode
        cpu_s += usage.ru_utime + usage.ru_stime
    elapsed_s = time.perf_counter() - began_s
    pool_use = watch.end() if watch is not None else 0.0
    return Took(elapsed_s, cpu_s, server.cpu_s() - server_s, pool_use)


def run(
    server: Server, name: str, tasks: int, workers: int, *, seconds: float, is_pooled: bool
) -> tuple[Took, Took]:
    """Return what it took to start the workers for nothing, and then with tasks."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as root:
        folder = Path(root)
        argv = f'["sleep", "{seconds}"]' if seconds else '["/bin/true"]'
        pools = "pools = { three = 1 }" if is_pooled else ""
        url = server.new_database(name)
        (folder / "stoker.toml").write_text(FILE.format(url=url, argv=argv, pools=pools))
        (folder / "keys").write_text("".join(f"{n}\n" for n in range(tasks)))

        def stoker(*words: str) -> str:
            done = subprocess.run(
                [STOKER, *words], cwd=folder, check=True, capture_output=True, text=True
            )
            return done.stdout

        stoker("apply")
        start = work(folder, server, name, workers)
        stoker("push", "p", "--from", "keys")
        took = work(folder, server, name, workers, is_watched=is_pooled)
        assert f'"done":{tasks}' in stoker("status", "--json"), stoker("status", "--json")
        return start, took


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.0, help="that a task sleeps")
    given = parser.parse_args()
    server = Server(memory_mb=256, connections=100)
    try:
        for is_pooled in (False, True):
            each: dict[int, list[float]] = {}
            for count in range(given.rounds):
                for workers in (1, given.workers):
                    name = f"crowd_{is_pooled:d}_{count}_{workers}"
                    start, took = run(
                        server, name, given.tasks, workers,
                        seconds=given.seconds, is_pooled=is_pooled,
                    )  # fmt: skip
                    own_ms = (took.cpu_s - start.cpu_s) / given.tasks * 1e3
                    server_ms = (took.server_s - start.server_s) / given.tasks * 1e3
                    each.setdefault(workers, []).append(own_ms + server_ms)
                    use = f"  pool {took.pool_use:.0%} full" if is_pooled else ""
                    print(
                        f"{workers} worker{'s' if workers > 1 else ' '}{' pool' if is_pooled else '     '}"
                        f"  {took.elapsed_s:6.1f} s (start {start.elapsed_s:4.1f} s)"
                        f"  {own_ms:5.2f} ms a task in workers, {server_ms:5.2f} ms in the server"
                        f"{use}  load {os.getloadavg()[0]:.1f}",
                        flush=True,
                    )
            one, many = (statistics.median(each[n]) for n in (1, given.workers))
            print(
                f"{given.workers} workers take {many / one:.2f} times the processor time of one "
                "for a task (goal 1.3)",
                flush=True,
            )
    finally:
        server.close()


if __name__ == "__main__":
    main()
