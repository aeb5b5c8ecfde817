"""Many workers on one store, everything killed, frozen, locked and filled at random; then the checks.

`python tests/faults/chaos.py [--database KIND] [--seconds N] [--seed N] [--workers N]` prints the
seed, and at the end how many faults of each kind were survived, and every broken promise; it exits
with 1 if there is one. A store on a server has a server of its own, which is killed, frozen and
crowded as well. A seed repeats the choices, not the moments: processes and disks have their own.
"""

import argparse
import contextlib
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from sqlalchemy import select

import servers
from disks import Disks, fill
from faults import check, results
from faults.launch import Launcher, Started
from faults.outages import Outages
from faults.site import Site, kill
from stoker.errors import StokerError
from stoker.model.selection import Selection
from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.orders import verbs
from stoker.work.scratch import process_start

PIPELINE = f"""
{results.ERROR_FOLDER}"""
PIPELINE += """
[pipelines.p.defaults]
retries = 1000
backoff = "0.1s"

[pipelines.p.steps.make]
run = '''
LIFE
(setsid bash -c 'while sleep 0.05; do :; done' TAG &)
live 2
echo {key} > {out.a}
head -c 20000 /dev/zero | tr '\\0' x > {out.b}
tick end
'''
pools = { pit = 2 }
outputs.a = "OUT/{key}.a"
outputs.b = { to = "results/{key}.b", stage = "beside" }

[pipelines.p.steps.long]
run = '''
LIFE
(env -i setsid /bin/bash -c 'while sleep 0.05; do :; done' TAG &)
live $((RANDOM % 12))
mkdir {out.tree}
cp {in.make.a} {out.tree}/copy
tick end
'''
pools = { pit = 1 }
outputs.tree = "results/{key}.d/"

[pipelines.p.steps.quick]
run = '''
LIFE
tick start
test -s {in.make.a}
'''

[pipelines.p.steps.warm]
prepare = "export PREPARED=yes"
python = "steps:warm"
pools = { pit = 1 }
outputs.w = "results/{key}.w"

[pipelines.p.steps.brief]
python = "steps:brief"
after = ["warm"]
"""
PIPELINE += results.STEPS
FUNCTIONS = """
import os
import subprocess
import time

def tick(word):
    with open("LEDGER", "a") as file:
        file.write(f"{time.time():.6f} {os.environ['STOKER_ATTEMPT']} {word}\\n")

def warm(task):
    tick("start")
    if os.environ["PREPARED"] != "yes":
        raise RuntimeError("not prepared")
    subprocess.Popen(["setsid", "bash", "-c", "while sleep 0.05; do :; done", "TAG"])
    for _ in range(int(task.key[-1]) % 4):
        time.sleep(0.05)
        tick("on")
    task.outputs["w"].write_text(task.key)
    tick("end")
    return {"n": len(task.key)}

def brief(task):
    tick("start")
"""
FORBIDDEN = ("this is a bug", "could not be concluded", "Traceback")  # in what Stoker says
LEASE_S = 2.5
JUMP_S = 6.0
PORTION = 6  # items that come together
ME = Actor("chaos", "chaos")


class Chaos:
    """One run: `work` lets things happen for a while, `settle` lets the site come to its end."""

    def __init__(
        self,
        site: Site,
        full: dict[str, Path],
        *,
        choices: random.Random,
        workers: int,
        outages: Outages | None,
    ) -> None:
        self.site = site
        self.random = choices
        self.most_workers = workers
        self.survived: Counter[str] = Counter()
        self.workers: list[Started] = []
        self.service: Started | None = None
        self.pushed = 0
        self.complete = 0  # groups, when the chaos was over
        self.set_aside = 0  # items in error folders when the chaos was over
        self.frozen: list[tuple[int, float]] = []
        self.orphans: list[tuple[int, int | None]] = []  # workers that lost their warden
        self.outages = outages
        self.faults: list[tuple[int, Callable[[], bool], str]] = [
            (8, self.kill_worker, "worker killed"),
            (4, self.kill_warden, "warden killed"),
            (5, self.kill_both, "both killed"),
            (8, self.kill_child, "task's process killed"),
            (3, self.freeze_long, "worker frozen beyond its lease"),
            (3, self.freeze_short, "worker frozen shortly"),
            (3, self.freeze_child, "task's process frozen"),
            (2, self.stop, "worker told to stop"),
            (2, self.kill_while_stopping, "worker killed while stopping"),
            (2, self.cancel, "tasks cancelled"),
            (2, self.hold, "tasks held"),
            (2, self.rerun, "items rerun"),
            (2, self.try_again, "failed items retried"),
            (2, self.jump, "clock jumped"),
        ]
        self.faults += [
            (1, lambda path=path: self.fill(path), f"disk full: {name}")
            for name, path in full.items()
        ]
        self.faults += outages.faults if outages is not None else [(3, self.lock, "store locked")]

    # -------------------------------------------------------------------------------------- its life

    def work(self, seconds: float, *, at_least: int = 0) -> None:
        """Faults happen for this long, and until so many were survived."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s or self.survived.total() < at_least:
            self.keep_going()
            weights, faults, names = zip(*self.faults, strict=True)
            (index,) = self.random.choices(range(len(faults)), weights)
            if faults[index]():
                self.survived[names[index]] += 1
            pause(self.random.uniform(0.02, 0.25))

    @property
    def is_silent(self) -> bool:
        """Whether the store would not answer before this run itself lets it."""
        return self.outages is not None and self.outages.is_frozen

    def keep_going(self) -> None:
        """There are enough workers, and enough for them to do; what was frozen long enough goes on."""
        if self.outages is not None:
            self.outages.tick()
        now_s = time.monotonic()
        for pid, until_s in list(self.frozen):
            if now_s >= until_s:
                self.thaw(pid, until_s)
        self.workers = [one for one in self.workers if one.poll() is None]
        while len(self.workers) < self.most_workers:
            is_service = self.service not in self.workers  # it looks at groups, too
            words = ("up", "--no-web", "--slots", "1") if is_service else ("work", "--slots", "2")
            started = self.site.start(
                *words, lease_s=LEASE_S, patience_s=1.0, clock=str(self.site.clock)
            )
            self.workers.append(started)
            if is_service:
                self.service = started
        with contextlib.suppress(StokerError):
            if not self.is_silent and self.ready() < 12:
                keys = [f"k{self.pushed + n:05}" for n in range(PORTION)]
                self.site.push(*keys, group_of=group_of)
                self.pushed += len(keys)

    def thaw(self, pid: int, until_s: float) -> None:
        self.frozen.remove((pid, until_s))
        self.site.excuse(pid, for_s=1.5)
        kill(pid, signal.SIGCONT)

    def ready(self) -> int:
        task = tables.task
        with self.site.store.reading() as unit:
            rows = unit.execute(select(task.c.id).where(task.c.lane.is_not(None)).limit(20))
            return len(rows.fetchall())

    def settle(self) -> None:
        """Everything is thawed, the clock is right, and the work goes on undisturbed to its end."""
        self.site.set_clock(0)
        if self.outages is not None:
            self.outages.end()
        for pid, until_s in list(self.frozen):
            self.thaw(pid, until_s)
        for one in self.workers:
            kill(one.pid, signal.SIGTERM)
        for one in self.workers:
            self.site.end(one)
        for pid, started in self.orphans:
            self.site.wait(
                lambda pid=pid, started=started: started is None or process_start(pid) != started,
                f"the worker {pid} stops, as its warden is gone",
            )
        self.set_aside = len(results.error_folders(self.site.folder))
        self.complete = results.complete(self.site.scene())
        (self.site.folder / results.MENDED).touch()
        self.retry(lambda: verbs.release(self.site.store, Selection(), ME))
        self.retry(lambda: verbs.rerun(self.site.store, self.given_up(), ME))
        for _ in range(3):
            last = self.site.start("run", "--slots", "2")
            self.site.end(last, within_s=300)
            if not self.open_tasks():
                break
            self.retry(lambda: verbs.retry(self.site.store, Selection(), ME))

    def given_up(self) -> Selection:
        return Selection(states=(TaskState.CANCELLED.word, TaskState.FAILED.word))

    def open_tasks(self) -> int:
        ends = [TaskState.DONE.value, TaskState.SKIPPED.value]
        task = tables.task
        return len(self.site.scene().rows(select(task.c.id).where(task.c.state.not_in(ends))))

    def retry(self, verb: Callable[[], object]) -> None:
        """A verb of a person, who tries again while the store is locked or its disk full."""
        until_s = time.monotonic() + 60
        while True:
            try:
                verb()
            except StokerError:
                if time.monotonic() > until_s:
                    raise
                pause(0.1)
            else:
                return

    # ---------------------------------------------------------------------------------------- victims

    def pick(self) -> tuple[Started, int] | None:
        """Some warden with its worker."""
        alive = [(one, self.site.worker(one)) for one in self.workers if one.poll() is None]
        frozen = {pid for pid, _ in self.frozen}
        found = [(one, pid) for one, pid in alive if pid is not None and pid not in frozen]
        return self.random.choice(found) if found else None

    def child(self) -> int | None:
        found = self.pick()
        below = self.site.attempts_of(found[1]) if found else []
        return self.random.choice(below) if below else None

    def kill_worker(self) -> bool:
        found = self.pick()
        return found is not None and kill(found[1])

    def kill_warden(self) -> bool:
        found = self.pick()
        if found is None:
            return False
        self.orphans.append((found[1], process_start(found[1])))
        return kill(found[0].pid)

    def kill_both(self) -> bool:
        """What it ran is cleared by the next worker that starts, which is soon."""
        found = self.pick()
        if found is None:
            return False
        self.site.excuse(found[1], for_s=8 if self.outages is None else 20)
        kill(found[0].pid)
        return kill(found[1])

    def kill_child(self) -> bool:
        pid = self.child()
        return pid is not None and kill(pid)

    def freeze_long(self) -> bool:
        return self.freeze(LEASE_S + self.random.uniform(0.5, 2))

    def freeze_short(self) -> bool:
        return self.freeze(self.random.uniform(0.05, LEASE_S / 3))

    def freeze(self, for_s: float) -> bool:
        """Never more than one for long, so that others have work; none inside a transaction."""
        found = self.pick()
        if found is None or len(self.frozen) >= 2:
            return False
        pid = found[1]
        self.site.excuse(pid, for_s=for_s + 3.0)
        if not self.site.freeze(pid, within_s=1.0):
            return False
        self.frozen.append((pid, time.monotonic() + for_s))
        return True

    def freeze_child(self) -> bool:
        pid = self.child()
        if pid is None or not kill(pid, signal.SIGSTOP):
            return False
        pause(self.random.uniform(0.05, 0.4))
        kill(pid, signal.SIGCONT)
        return True

    def lock(self) -> bool:
        """Somebody else holds the store's write lock for a while."""
        with contextlib.closing(sqlite3.connect(self.site.database, timeout=5)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            pause(self.random.uniform(0.1, 1.5))
            other.execute("ROLLBACK")
        return True

    def stop(self) -> bool:
        found = self.pick()
        return found is not None and kill(found[0].pid, signal.SIGTERM)

    def kill_while_stopping(self) -> bool:
        found = self.pick()
        if found is None:
            return False
        kill(found[0].pid, signal.SIGTERM)
        pause(self.random.uniform(0, 0.3))
        return kill(found[1])

    def jump(self) -> bool:
        """The host's clock is set, forwards or back."""
        self.site.set_clock(self.random.uniform(-JUMP_S, JUMP_S))
        return True

    def fill(self, path: Path) -> bool:
        """The disk is full to its last block for a while."""
        big = fill(path)
        pause(self.random.uniform(0.3, 1.5))
        big.unlink(missing_ok=True)
        return True

    # ------------------------------------------------------------------------------- people's changes

    def some_keys(self) -> Selection:
        n = self.random.randrange(max(self.pushed, 1))
        return Selection(keys=(f"k{n:05}",))

    def change(self, verb: Callable[..., object]) -> bool:
        if self.is_silent:
            return False
        try:
            verb(self.site.store, self.some_keys(), ME)
        except StokerError:
            return False
        return True

    def cancel(self) -> bool:
        return self.change(verbs.cancel)

    def hold(self) -> bool:
        return self.change(verbs.hold)

    def rerun(self) -> bool:
        return self.change(verbs.rerun)

    def try_again(self) -> bool:
        return self.change(lambda store, _, actor: verbs.retry(store, Selection(), actor))


def group_of(key: str) -> str:
    """Return the group of an item: most are of two, and the first of a portion is late for its."""
    n = int(key[1:])
    return f"g{(max(n - 1, 0) if n % PORTION == 0 else n) // 2:04}"


def pause(seconds: float) -> None:
    """Let the others go on; the length is part of the chaos, nothing waits for a condition here."""
    time.sleep(seconds)


@contextlib.contextmanager
def scene(folder: Path, outages: Outages | None) -> Iterator[tuple[Site, dict[str, Path]]]:
    """A site whose scratch, outputs and store are on small file systems, where that can be had."""
    disks = Disks(folder)
    project = folder / "project"
    project.mkdir()
    launcher = Launcher(folder / "empty.db")
    site = None
    try:
        out = disks.mount("outputs", options="size=24m")
        scratch = disks.mount("scratch", options="size=24m")
        hidden = disks.mount("store", options="size=48m")
        url = outages.url if outages is not None else None
        site = Site(project, launcher, scratch=scratch / "s", url=url)
        (project / ".stoker").symlink_to(hidden)
        site.outside = [out]
        site.set_clock(0)
        (project / "steps.py").write_text(site.filled(FUNCTIONS))
        site.write(PIPELINE.replace("OUT", str(out)), pools="pit = 3")
        site.apply()
        full = {path.name: path for path in disks.mounted}
        if outages is not None and outages.server.is_mounted:
            full["database"] = outages.server.folder
        yield site, full
    finally:
        if site is not None:
            site.close()
        launcher.close()
        disks.close()


def play(
    folder: Path, *, seed: int, seconds: float, workers: int, at_least: int = 0,
    database: str = "sqlite",
) -> tuple[Chaos, list[check.Violation]]:  # fmt: skip
    """Return the run after its end, and every broken promise."""
    choices = random.Random(seed)
    with contextlib.ExitStack() as stack:
        outages = None
        if database != "sqlite":
            outages = stack.enter_context(contextlib.closing(Outages(database, choices)))
        site, full = stack.enter_context(scene(folder, outages))
        if not full:
            sys.stdout.write("no file system can be mounted here: no disk gets full in this run\n")
        chaos = Chaos(site, full, choices=choices, workers=workers, outages=outages)
        chaos.work(seconds, at_least=at_least)
        chaos.settle()
        found = site.check() + results.check(site.scene())
        if found:
            sys.stdout.write(site.dump()[-20_000:] + "\n")
        said = [one.said for one in site.started]
        found += [
            check.Violation("bug", text[-3000:])
            for text in said
            if any(words in text for words in FORBIDDEN)
        ]
        return chaos, found


def main() -> int:
    """Play once, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--database", choices=["sqlite", *servers.KINDS], default="sqlite")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    sys.stdout.write(f"seed {seed}, {options.seconds:g} s on {options.database}\n")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="stoker-chaos-") as name:
        chaos, found = play(
            Path(name), seed=seed, seconds=options.seconds, workers=options.workers,
            database=options.database,
        )  # fmt: skip
    for kind, n in sorted(chaos.survived.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"{n:6} {kind}\n")
    sys.stdout.write(f"{chaos.survived.total():6} faults survived; {chaos.pushed} items\n")
    sys.stdout.write(f"{chaos.set_aside:6} items in error folders before the repair; ")
    sys.stdout.write(f"{chaos.complete} groups were complete\n")
    for one in found:
        sys.stdout.write(f"BROKEN {one}\n")
    sys.stdout.write(f"seed {seed}: {len(check.CHECKS)} checks, {len(found)} broken promises\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
