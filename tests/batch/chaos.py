"""Pilots on a real Slurm, and everything that can break, at random; then the promises are checked.

`python tests/batch/chaos.py [--tasks N] [--seconds N] [--seed N]` prints how many faults of each kind
were survived, and every broken promise; it exits with 1 if there is one. Eight pilots, two processes
that visit, one PostgreSQL. A seed repeats the choices, not the moments.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

import servers
from batch.lab import Lab
from batch.slurm import NODES, Slurm
from stoker.store.batch_rows import PilotRow

PILOTS = 8
VISITORS = 2
TAG = "left-by-a-task"
SETTLE_S = 240.0
STEPS = f"""
[pipelines.p.steps.make]
run = '''
echo "$STOKER_ATTEMPT" >> {{project}}/ledger
(setsid bash -c 'while sleep 0.05; do :; done' {TAG} &)
sleep 0.$((RANDOM % 10))
echo {{key}} > {{out.a}}
'''
timeout = "2m"
outputs.a = "results/{{key}}.a"

[pipelines.p.steps.use]
argv = ["cp", "{{in.make.a}}", "{{out.b}}"]
timeout = "2m"
outputs.b = "results/{{key}}.b"
"""


class Chaos:
    """One run: `work` lets things happen for a while, `settle` lets it come to its end."""

    def __init__(self, lab: Lab, slurm: Slurm, choices: random.Random) -> None:
        self.lab, self.slurm, self.random = lab, slurm, choices
        self.project = lab.project()
        self.server = servers.server("postgresql")
        self.survived: Counter[str] = Counter()
        self.broken: list[str] = []
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.visitors: list[subprocess.Popen[bytes]] = []
        self.most_live = 0
        self.ends: Counter[str] = Counter()  # the states of the pilots in the end
        self.faults: list[tuple[int, Callable[[], bool], str]] = [
            (6, self.cancel, "job cancelled"),
            (6, self.kill_one, "process of a pilot killed"),
            (6, self.kill_all, "all of a pilot killed"),
            (4, self.requeue, "job requeued"),
            (4, self.suspend, "job suspended"),
            (2, self.drain, "node drained"),
            (2, self.kill_node, "node's daemon killed"),
            (2, self.freeze_controller, "controller frozen"),
            (2, self.forget, "controller killed, with jobs forgotten"),
            (3, self.kill_visitor, "visiting process killed"),
            (2, self.freeze_database, "database frozen"),
            (2, self.cut_connections, "connections cut"),
        ]

    # --------------------------------------------------------------------------------------- running

    def work(self, seconds: float) -> None:
        """Faults happen for so long, or until nothing is left to do."""
        self.slurm.keep_state("kept")
        until_s = time.monotonic() + seconds
        weights = [weight for weight, _, _ in self.faults]
        while time.monotonic() < until_s:
            self.tick()
            _, fault, name = self.random.choices(self.faults, weights)[0]
            if fault():
                self.survived[name] += 1
            time.sleep(self.random.uniform(0.1, 1.0))
        for _, undo in self.later:
            undo()
        self.later.clear()

    def tick(self) -> None:
        """What is broken for a while is whole again in its time; two visit; the promise is looked at."""
        now_s = time.monotonic()
        for at_s, undo in [one for one in self.later if one[0] <= now_s]:
            self.later.remove((at_s, undo))
            undo()
        self.visitors = [one for one in self.visitors if one.poll() is None]
        while len(self.visitors) < VISITORS:
            with (self.lab.folder / "visiting.log").open("ab") as log:
                command = [sys.executable, Path(__file__).with_name("visiting.py"), self.lab.folder]
                self.visitors.append(
                    subprocess.Popen(command, env=self.lab.env, stdout=log, stderr=log)
                )
        live = sum(row.state in ("waiting", "running") for row in self.pilots())
        self.most_live = max(self.most_live, live)

    def settle(self) -> None:
        """All is whole, and in the end nothing is left to do and nobody there."""
        until_s = time.monotonic() + SETTLE_S
        while (states := self.lab.states()).keys() & {"ready", "running", "blocked"}:
            if time.monotonic() > until_s:
                self.broken.append(f"not at its end after {SETTLE_S:.0f} s: {states}")
                break
            self.tick()
            self.mend()
            time.sleep(0.5)
        while any(row.state in ("waiting", "running") for row in self.pilots()):
            if time.monotonic() > until_s + 60:
                self.broken.append("pilots are left")
                break
            self.tick()
            self.mend()
            time.sleep(0.5)

    def mend(self) -> None:
        """Nodes take jobs, and no job is suspended."""
        for node in NODES:
            if "DRAIN" in self.slurm.run("sinfo", "-h", "-n", node, "-o", "%T").upper():
                self.slurm.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
        for job in self.slurm.run("squeue", "-h", "-t", "SUSPENDED", "-o", "%i").split():
            self.slurm.ask("scontrol", "resume", job)

    def pilots(self) -> list[PilotRow]:
        """All pilots."""
        return list(self.project.batch.list(everyone=True))

    def close(self) -> None:
        """Nobody visits any more."""
        for one in self.visitors:
            one.kill()
            one.wait()
        self.project.close()

    # ---------------------------------------------------------------------------------------- faults

    def job(self) -> str | None:
        """A job that runs."""
        jobs = self.slurm.run("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()
        return self.random.choice(jobs) if jobs else None

    def on_a_job(self, *command: str) -> bool:
        """Do this to some job; it may end at that very moment."""
        job = self.job()
        return job is not None and self.slurm.ask(*command, job).returncode == 0

    def cancel(self) -> bool:
        """`scancel`."""
        return self.on_a_job("scancel")

    def requeue(self) -> bool:
        """An operator requeues it, whatever it said of that."""
        job = self.job()
        if job is None:
            return False
        self.slurm.ask("scontrol", "update", f"JobId={job}", "Requeue=1")
        return self.slurm.ask("scontrol", "requeue", job).returncode == 0

    def suspend(self) -> bool:
        """`scontrol suspend`, for some seconds."""
        job = self.job()
        if job is None or self.slurm.ask("scontrol", "suspend", job).returncode:
            return False
        self.afterwards(lambda: self.slurm.ask("scontrol", "resume", job), 4.0)
        return True

    def drain(self) -> bool:
        """A node takes no more, for some seconds."""
        node = self.random.choice(NODES)
        words = ["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=chaos"]
        done = self.slurm.ask(*words).returncode == 0
        self.afterwards(self.mend, 3.0)
        return done

    def kill_node(self) -> bool:
        """The daemon of a node dies and begins again."""
        self.slurm.restart_node(self.random.choice(NODES))
        return True

    def freeze_controller(self) -> bool:
        """Slurm answers nobody, for some seconds."""
        self.slurm.signal_controller(signal.SIGSTOP)
        time.sleep(self.random.uniform(0.5, 4.0))
        self.slurm.signal_controller(signal.SIGCONT)
        return True

    def forget(self) -> bool:
        """The controller dies, and begins with what it knew some time ago: ids are given again."""
        self.slurm.restart_controller(forgets="kept")
        self.slurm.keep_state("kept")
        return True

    def processes(self) -> list[psutil.Process]:
        """The processes of a pilot that runs: its warden and its worker."""
        rows = [row for row in self.pilots() if row.state == "running"]
        if not rows:
            return []
        row = self.random.choice(rows)
        return [
            one for one in psutil.process_iter(["cmdline"]) if row.id in (one.info["cmdline"] or [])
        ]

    def kill_one(self) -> bool:
        """Kill -9 of a warden or a worker."""
        found = self.processes()
        if found:
            with suppress(psutil.NoSuchProcess):
                self.random.choice(found).kill()
        return bool(found)

    def kill_all(self) -> bool:
        """Kill -9 of both, as if the node had died."""
        found = self.processes()
        for one in found:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        return bool(found)

    def kill_visitor(self) -> bool:
        """Kill -9 of one that visits, wherever it is."""
        one = self.random.choice(self.visitors)
        one.kill()
        one.wait()
        return True

    def freeze_database(self) -> bool:
        """The database answers nobody, for some seconds, as behind a cut cable."""
        found = self.server.processes()
        for one in found:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        time.sleep(self.random.uniform(0.5, 3.0))
        for one in found:
            with suppress(psutil.NoSuchProcess):
                one.resume()
        return True

    def cut_connections(self) -> bool:
        """Every connection to the database ends."""
        self.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        return True

    def afterwards(self, undo: Callable[[], object], most_s: float) -> None:
        """That is done in some seconds."""
        self.later.append((time.monotonic() + self.random.uniform(0.5, most_s), undo))

    # ---------------------------------------------------------------------------------------- checks

    def check(self, tasks: int) -> None:
        """Every promise that was broken is listed."""
        states = self.lab.states()
        if states != {"done": 2 * tasks}:
            self.broken.append(f"tasks: {states}\n{self.lab.stoker('failures', code=None)}")
        attempts = list(self.project.attempts())
        seen = Counter(one.state for one in attempts)
        if set(seen) - {"succeeded", "cancelled", "lost"}:
            self.broken.append(f"an innocent failure: {dict(seen)}")
        once = Counter((one.item, one.step) for one in attempts if one.state == "succeeded")
        self.broken += [f"{of} was recorded {n} times" for of, n in once.items() if n != 1]
        for number in range(tasks):
            for kind in "ab":
                file = self.lab.folder / "results" / f"k{number:04}.{kind}"
                text = file.read_text() if file.exists() else None
                if text != f"k{number:04}\n":
                    self.broken.append(f"{file} holds {text!r}")
        started = set((self.lab.folder / "ledger").read_text().split())
        unknown = started - {one.id for one in attempts}
        self.broken += [f"{one} ran, and nobody knows it" for one in unknown]
        if self.most_live > PILOTS:
            self.broken.append(f"{self.most_live} pilots lived at once")
        checked = self.lab.stoker("store", "check", "--journal", code=None)
        self.broken += [line for line in checked.splitlines() if line and not line.startswith("ok")]
        log = (self.lab.folder / "visiting.log").read_text()
        if "Traceback" in log:
            self.broken.append(f"a visit met a bug:\n{log[-4000:]}")
        for path in self.lab.folder.glob(".stoker/batch/main/*.log"):
            text = path.read_text(errors="replace")
            if "Traceback" in text or "this is a bug" in text:
                self.broken.append(f"a pilot met a bug:\n{text[-4000:]}")

    def check_what_is_left(self) -> None:
        """Nothing of any pilot runs, and no scratch is there."""
        until_s = time.monotonic() + 60
        while (left := self.left()) and time.monotonic() < until_s:
            time.sleep(0.5)
        self.broken += [f"left: {one}" for one in left]

    def left(self) -> list[str]:
        """Jobs, processes and scratch folders."""
        found = [f"job {line}" for line in self.slurm.run("squeue", "-h").splitlines()]
        for one in psutil.process_iter(["pid", "cmdline"]):
            words = one.info["cmdline"] or []
            of_a_task = TAG in words and self.is_ours(one)
            if of_a_task or {"pilot", f"{self.lab.folder}/stoker.toml"} <= set(words):
                found.append(f"process {words}")
        scratch = self.lab.folder / "scratch"
        found += [f"scratch {path}" for path in scratch.glob("*/*")]
        return found

    def is_ours(self, process: psutil.Process) -> bool:
        """Whether a task of this project started it."""
        try:
            return process.environ().get("STOKER_PROJECT", "").startswith(str(self.lab.folder))
        except psutil.Error:
            return False


@contextmanager
def scene(folder: Path, slurm: Slurm, tasks: int) -> Iterator[Lab]:
    """A project with these tasks and its batch system."""
    url = servers.server("postgresql").new_database(f"chaos{os.getpid()}")
    text = (
        f'[worker]\nscratch = "{folder}/scratch"\n[batch.main]\nsystem = "slurm"\n'
        f'time_limit = "20m"\nmax_pilots = {PILOTS}\nmemory = "200M"\n{STEPS}'
    )
    lab = Lab(folder, text, url, slurm.env)
    lab.push(tasks)
    yield lab


def play(slurm: Slurm, folder: Path, *, tasks: int, seconds: float, seed: int) -> Chaos:
    """The run after its end; `broken` has every broken promise."""
    with scene(folder, slurm, tasks) as lab:
        chaos = Chaos(lab, slurm, random.Random(seed))
        with closing(chaos):
            chaos.work(seconds)
            chaos.settle()
            chaos.check(tasks)
            chaos.check_what_is_left()
            chaos.ends = Counter(row.state for row in chaos.pilots())
        return chaos


def main() -> int:
    """Play once, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tasks", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, {options.tasks} items of two steps, {options.seconds:g} s", flush=True)
    slurm = Slurm()
    os.environ.update(slurm.env)
    folder = Path(tempfile.mkdtemp(prefix="stoker-pilots-"))
    folder.chmod(0o755)
    try:
        chaos = play(slurm, folder, tasks=options.tasks, seconds=options.seconds, seed=seed)
    finally:
        slurm.close()
        servers.close_all()
        shutil.rmtree(folder, ignore_errors=True)
    for kind, n in chaos.survived.most_common():
        print(f"{n:6} {kind}")
    print(
        f"{chaos.survived.total():6} faults; pilots: {dict(chaos.ends)}; at most {chaos.most_live}"
    )
    for one in chaos.broken:
        print(f"BROKEN {one}")
    print(f"seed {seed}: {len(chaos.broken)} broken promises")
    return 1 if chaos.broken else 0


if __name__ == "__main__":
    sys.exit(main())
