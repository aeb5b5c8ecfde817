"""An outpost over real ssh, and everything that can break, at random; then the promises are checked.

`python tests/integration/outposts/chaos.py [--items N] [--seconds N] [--seed N]` prints how many faults of
each kind were survived, and every broken promise; it exits with 1 if there is one. Two processes visit,
four pilots work. A seed repeats the choices, not the moments.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import psutil

import sshd
from docs.test_tutorial import environment
from stoker import open as open_project
from stoker.project import Project

HERE = Path(__file__).parent
STOKER = Path(sys.executable).with_name("stoker")
PILOTS, VISITORS = 4, 2
TAG = "left-by-a-task"
SETTLE_S = 200.0
# Dead pilots are replaced within seconds instead of a minute; all else is as in a laboratory.
FAR = f"""\
#!{sys.executable}
import sys
from stoker.outpost import pilots
pilots.MISSED_US = 1_000_000
from stoker.cli.main import main
sys.argv[0] = "stoker"
main()
"""
FILE = """
[project]
name = "chaos"
[sites.lyon]
ssh = "site"
folder = "{far}"
stoker = "{program}"
[batch.farm]
site = "lyon"
commands = {{ submit = {farm}, status = {farm}, cancel = {farm} }}
time_limit = "1h"
memory = "200M"
max_pilots = {pilots}
prepare = "export STOKER_CHAOS={folder}"

[pipelines.p]
items = "records"
[pipelines.p.steps.make]
site = "lyon"
run = '''
echo "$STOKER_ATTEMPT" >> {{project}}/ledger
(setsid bash -c 'while sleep 0.05; do :; done' {tag} &)
sleep 0.$((RANDOM % 6))
echo {{key}} > {{out.a}}; mkdir {{out.tree}}; echo {{key}} > {{out.tree}}/leaf
echo '{{"n": 3}}' > "$STOKER_VALUES"
'''
timeout = "2m"
outputs.a = "made/{{key}}.a"
outputs.tree = "made/{{key}}.tree/"
[pipelines.p.steps.use]
site = "lyon"
argv = ["cp", "{{in.make.a}}", "{{out.b}}"]
timeout = "2m"
outputs.b = "made/{{key}}.b"
"""


class Chaos:
    """One run: `work` lets things happen for a while, `settle` lets it come to its end."""

    def __init__(self, folder: Path, host: sshd.Sshd, choices: random.Random) -> None:
        self.folder, self.host, self.random = folder, host, choices
        self.lab, self.far, self.farm = (folder / name for name in ("lab", "far", "farm"))
        for one in (self.lab, self.farm):
            one.mkdir()
        program = folder / "stoker"
        program.write_text(FAR)
        program.chmod(0o755)
        asked = [sys.executable, str(HERE / "farm.py"), str(self.farm)]
        text = FILE.format(
            far=self.far, program=program, farm="FARM", pilots=PILOTS, folder=folder, tag=TAG
        )
        for word in ("submit", "status", "cancel"):
            text = text.replace("FARM", str([*asked, word]).replace("'", '"'), 1)
        (self.lab / "stoker.toml").write_text(text)
        self.env = environment(folder) | {"RSYNC_RSH": host.command}
        self.items = 0  # pushed so far
        self.survived: Counter[str] = Counter()
        self.broken: list[str] = []
        self.visitors: list[subprocess.Popen[bytes]] = []
        self.later: list[tuple[float, Callable[[], object]]] = []
        self.visits_wait_until_s = 0.0
        self.faults: list[tuple[int, Callable[[], bool], str]] = [
            (5, self.kill_visitor, "visit killed"),
            (5, lambda: self.kill(self.of("outpost", "serve")), "far end of a visit killed"),
            (4, lambda: self.freeze(self.of("outpost", "serve")), "far end of a visit frozen"),
            (5, lambda: self.kill(self.of("outpost", "run")), "process of a far worker killed"),
            (4, self.kill_pilot, "all of a far pilot killed"),
            (3, lambda: self.freeze(self.of("outpost", "run")), "process of a far worker frozen"),
            (4, lambda: self.kill(self.sessions()), "connection cut"),
            (3, lambda: self.freeze(self.sessions()), "connection silent"),
            (2, self.silence_farm, "batch system silent"),
            (2, self.be_away, "laboratory away, results late"),
            (2, self.litter, "odd files put into the spool"),
        ]

    # --------------------------------------------------------------------------------------- running

    def stoker(self, *words: str) -> str:
        """What the command prints on both outputs."""
        done = subprocess.run(
            [STOKER, *words], cwd=self.lab, env=self.env, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.STDOUT, check=False, timeout=100,
        )  # fmt: skip
        return done.stdout

    def begin(self, items: int) -> Project:
        """So many records are to be done."""
        self.push(items)
        self.project = open_project(self.lab)
        return self.project

    def push(self, items: int) -> None:
        """So many more records are to be done."""
        keys = [f"k{number:04}" for number in range(self.items, self.items + items)]
        said = self.stoker("push", "p", *keys)
        assert f"registered {items} items" in said, said
        self.items += items

    def work(self, seconds: float, *, faults: int = 0) -> None:
        """Faults happen for so long, while anything is left to do; so many of them in any case."""
        until_s = time.monotonic() + seconds
        weights = [weight for weight, _, _ in self.faults]
        while True:
            is_open, is_short = self.is_open(), self.survived.total() < faults
            if not is_short and not (is_open and time.monotonic() < until_s):
                break
            if not is_open:
                self.push(4)
            self.tick()
            _, fault, name = self.random.choices(self.faults, weights)[0]
            if fault():
                self.survived[name] += 1
            time.sleep(self.random.uniform(0.1, 0.8))
        self.visits_wait_until_s = 0.0
        for _, undo in self.later:
            undo()
        self.later.clear()

    def settle(self) -> None:
        """All is whole, and in the end nothing is left to do."""
        until_s = time.monotonic() + SETTLE_S
        while self.is_open() or self.left_in_spool():
            if time.monotonic() > until_s:
                log = (self.folder / "visiting.log").read_text(errors="replace")
                self.broken.append(
                    f"not at its end after {SETTLE_S:.0f} s: {self.states()}\n{log[-3000:]}"
                )
                return
            self.tick()
            time.sleep(0.3)

    def tick(self) -> None:
        """What is broken for a while is whole again in its time; two visit."""
        now_s = time.monotonic()
        for at_s, undo in [one for one in self.later if one[0] <= now_s]:
            self.later.remove((at_s, undo))
            undo()
        self.visitors = [one for one in self.visitors if one.poll() is None]
        if now_s < self.visits_wait_until_s:
            return
        while len(self.visitors) < VISITORS:
            with (self.folder / "visiting.log").open("ab") as log:
                command = [sys.executable, HERE / "visiting.py", self.lab]
                self.visitors.append(
                    subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
                )

    def states(self) -> dict[str, int]:
        """How many tasks are in which state."""
        tasks = self.project.status().pipelines["p"].tasks
        return {word: n for word, n in tasks.items() if n}

    def is_open(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.states().keys() & {"ready", "running", "blocked"})

    def close(self) -> None:
        """Nobody visits any more, no pilot runs, and nothing is left of them."""
        for one in self.visitors:
            one.kill()
            one.wait()
        for _, undo in self.later:
            undo()
        for process in self.of("outpost", "serve"):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in self.of("outpost", "run"):  # its warden tidies up
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        self.check_what_is_left()
        self.project.close()

    # ---------------------------------------------------------------------------------------- faults

    def of(self, *words: str) -> list[psutil.Process]:
        """The processes at the outpost that were called so."""
        found = []
        for one in psutil.process_iter(["cmdline"]):
            line = one.info["cmdline"] or []
            if set(words) <= set(line) and f"{self.far}/spool" in line and "ssh" not in line[0]:
                found.append(one)
        return found

    def sessions(self) -> list[psutil.Process]:
        """The processes of sshd that serve the connections."""
        found = []
        for pid in self.host.sessions():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def kill(self, found: list[psutil.Process]) -> bool:
        """Kill -9 of one of them."""
        if found:
            with suppress(psutil.NoSuchProcess):
                self.random.choice(found).kill()
        return bool(found)

    def freeze(self, found: list[psutil.Process]) -> bool:
        """One of them stops for some seconds, and goes on."""
        if not found:
            return False
        one = self.random.choice(found)
        with suppress(psutil.NoSuchProcess):
            one.suspend()

        def thaw() -> None:
            with suppress(psutil.NoSuchProcess):
                one.resume()

        self.afterwards(thaw, 12.0)
        return True

    def kill_visitor(self) -> bool:
        """Kill -9 of one that visits, wherever it is."""
        if not self.visitors:
            return False
        one = self.random.choice(self.visitors)
        one.kill()
        one.wait()
        return True

    def kill_pilot(self) -> bool:
        """Kill -9 of all processes of one job, as if its node had died."""
        found = self.of("outpost", "run")
        if not found:
            return False
        with suppress(psutil.NoSuchProcess):
            pilot = self.pilot_of(self.random.choice(found))
            for one in found:
                if self.pilot_of(one) == pilot:
                    one.kill()
        return True

    @staticmethod
    def pilot_of(process: psutil.Process) -> str:
        """Which pilot the process belongs to."""
        words = process.cmdline()
        return words[words.index("--pilot") + 1] if "--pilot" in words else ""

    def silence_farm(self) -> bool:
        """The batch system answers nothing, for some seconds."""
        flag = self.farm / "silent"
        flag.touch()
        self.afterwards(lambda: flag.unlink(missing_ok=True), 6.0)
        return True

    def be_away(self) -> bool:
        """Nobody visits for some seconds; those who did are killed."""
        for one in self.visitors:
            one.kill()
            one.wait()
        self.visits_wait_until_s = time.monotonic() + self.random.uniform(1.0, 5.0)
        return True

    def litter(self) -> bool:
        """Files lie in the spool that nobody can make sense of."""
        spool = self.far / "spool"
        if not (spool / "done").is_dir():
            return False
        number = self.random.randrange(1 << 32)
        (spool / "done" / f"{number:032x}.json").write_bytes(b"{half of a")
        (spool / "todo" / f"{1 << 63:016x}-{number:032x}.json").write_bytes(b"\xff\x00")
        (spool / "taken" / "-rf").write_bytes(b"")
        return True

    def afterwards(self, undo: Callable[[], object], most_s: float) -> None:
        """That is done in some seconds."""
        self.later.append((time.monotonic() + self.random.uniform(0.5, most_s), undo))

    # ---------------------------------------------------------------------------------------- checks

    def check(self) -> None:
        """Every promise that was broken is listed."""
        if self.states() != {"done": 2 * self.items}:
            self.broken.append(f"tasks: {self.states()}\n{self.stoker('failures')}")
        attempts = list(self.project.attempts())
        seen = Counter(one.state for one in attempts)
        self.seen = dict(seen)
        if set(seen) - {"succeeded", "cancelled", "lost"}:
            self.broken.append(f"an innocent failure: {self.seen}\n{self.stoker('failures')}")
        once = Counter((one.item, one.step) for one in attempts if one.state == "succeeded")
        self.broken += [f"{of} was recorded {n} times" for of, n in once.items() if n != 1]
        for number in range(self.items):
            for name in (f"k{number:04}.a", f"k{number:04}.b", f"k{number:04}.tree/leaf"):
                file = self.far / "made" / name
                text = file.read_text() if file.exists() else None
                if text != f"k{number:04}\n":
                    self.broken.append(f"{file} holds {text!r}")
        ledger = self.far / "ledger"
        started = ledger.read_text().split() if ledger.exists() else []
        unknown = set(started) - {one.id for one in attempts}
        self.broken += [f"{one} ran, and nobody knows it" for one in unknown]
        checked = self.stoker("store", "check", "--journal")
        self.broken += [line for line in checked.splitlines() if line and not line.startswith("ok")]
        self.broken += [f"left: {one}" for one in self.left_in_spool()]
        for log in (self.folder / "visiting.log", *self.far.glob("spool/logs/*.log")):
            text = log.read_text(errors="replace")
            if "Traceback" in text or "this is a bug" in text:
                self.broken.append(f"a bug, in {log}:\n{text[-4000:]}")

    def left_in_spool(self) -> list[str]:
        """What the spool must not hold once all is over."""
        kept = ("todo", "taken", "runs", "done", "back", "stop")
        found = [str(path) for name in kept for path in (self.far / "spool" / name).rglob("*")]
        return found + [str(path) for path in (self.far / "made").rglob(".stoker-*")]

    def check_what_is_left(self) -> None:
        """No worker, no process of a task, and no scratch is there, once a visit has seen to that."""
        until_s = time.monotonic() + 60
        while (left := list(self.left())) and time.monotonic() < until_s:
            self.stoker("site", "visit", "lyon")
        self.broken += [f"left: {one}" for one in left]

    def left(self) -> Iterator[str]:
        """Yield processes and scratch folders."""
        for one in self.of("outpost", "run"):
            yield f"worker {one.pid}"
        for one in psutil.process_iter(["cmdline"]):
            if TAG in (one.info["cmdline"] or []):
                with suppress(psutil.Error):
                    if one.environ().get("STOKER_CHAOS") == str(self.folder):
                        yield f"process {one.info['cmdline']}"
        for path in (self.far / "spool" / "scratch").glob("*/*"):
            yield f"scratch {path}"


def play(
    folder: Path, host: sshd.Sshd, *, items: int, seconds: float, seed: int, faults: int = 0
) -> Chaos:
    """The run after its end; `broken` has every broken promise."""
    chaos = Chaos(folder, host, random.Random(seed))
    chaos.begin(items)
    with closing(chaos):
        chaos.work(seconds, faults=faults)
        chaos.settle()
        chaos.check()
    return chaos


def main() -> int:
    """Play once, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}, {options.items} items of two steps, {options.seconds:g} s", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="stoker-outposts-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        (folder / "sshd").mkdir()
        with sshd.Sshd(folder / "sshd") as host:
            chaos = play(folder, host, items=options.items, seconds=options.seconds, seed=seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for kind, n in chaos.survived.most_common():
        print(f"{n:6} {kind}")
    print(f"{chaos.survived.total():6} faults; attempts: {chaos.seen}")
    for one in chaos.broken:
        print(f"BROKEN {one}")
    print(f"seed {seed}: {len(chaos.broken)} broken promises")
    return 1 if chaos.broken else 0


if __name__ == "__main__":
    sys.exit(main())
