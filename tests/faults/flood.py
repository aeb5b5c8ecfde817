"""Writers of every kind against the intake of a real `stoker up`, which is killed now and then.

    python tests/faults/flood.py --files 200000 --seconds 60 --kill-every 7 --kills 8

Each writer declares the checksum of what it has written, in a ledger of its own, once the file is
whole. The pipeline's one step notes the checksum of what it was given, each time it runs. Afterwards
the two must agree: every declared content was seen exactly once, and nothing else ever was.

The quick files come from processes of their own, half of them renamed into place, half written under
their own names as `cp` does; all while the intake runs and is killed. They must all be there within
`--seconds`: the time from the first to the last is told (`dropped_s`), and one that is longer is a fault,
and a fault fails the run. What the parts cost is told in seconds of the processor.
"""

import argparse
import collections
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from faults.writers import SETTLE_S, SLOW, Declared, Seen, wait_for, write_quickly

SPARE = 0.03  # of the time: after it all quick files should be there
STEP = """
import hashlib, os

def see(task):
    with open(task.item, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    ledger = os.open(os.environ["FLOOD_SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(ledger, f"{found} {task.item}\\n".encode())
    os.close(ledger)
"""
FILE = """
[pipelines.flood]
[pipelines.flood.sources.moved]
folder = "{folder}/moved"
settle = "{settle}s"
[pipelines.flood.sources.slow]
folder = "{folder}/slow"
settle = "{settle}s"
[pipelines.flood.sources.told]
folder = "{folder}/told"
settle = "0.2s"
complete_when = "{{item}}.done"
[pipelines.flood.steps.see]
python = "see:see"
"""


class Flood:
    """One run: a project in `home`, files in `folder`, which may be on another file system."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.declared = Declared(Seen(folder / "seen"), self._is_over)
        self.broken: list[object] = []  # what went wrong with a writer
        self.cpu_s = {"writers": 0.0, "intake": 0.0, "rest of the service": 0.0}
        self.dropped_at_s = 0.0  # when the last of the quick files was there
        self._service: subprocess.Popen[bytes] | None = None
        for name in ("moved", "slow", "told"):
            (folder / name).mkdir(parents=True)
        home.mkdir(exist_ok=True)
        (home / "see.py").write_text(STEP)
        (home / "stoker.toml").write_text(FILE.format(folder=folder, settle=SETTLE_S))

    def start(self) -> None:
        with (self.home / "up.log").open("ab") as log:
            self._service = subprocess.Popen(
                [str(Path(sys.executable).with_name("stoker")), "up", "--no-web"],
                cwd=self.home,
                env={**os.environ, "FLOOD_SEEN": str(self.folder / "seen")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def intakes(self) -> Iterator[int]:
        """Yield the ids of the processes that take in for this project."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if b"stoker.project.services.taking" in words and os.fsencode(
                        self.home
                    ) in b" ".join(words):
                        yield int(entry.name)

    def kill_intake(self) -> int:
        """Kill the intake as it stands; return how many processes that were."""
        killed = 0
        self._account()
        for pid in self.intakes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def _account(self) -> None:
        """What the intake has cost is noted, before it ends."""
        for pid in self.intakes():
            with suppress(OSError):
                numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks = int(numbers[11]) + int(numbers[12])
                self.cpu_s["intake"] += ticks / os.sysconf("SC_CLK_TCK")

    def write(self, files: int, seconds: float, writers: int, seed: int = 1) -> float:
        """Drop `files` quick ones within `seconds`, and have slow writers beside them.

        Return the seconds from the first to the last of the quick ones.
        """
        threads = [
            threading.Thread(target=self._write_slowly, args=(at, one, seconds, seed))
            for at, one in enumerate(SLOW * writers)
        ]
        for thread in threads:
            thread.start()
        dropped_s = self._drop(files, seconds)
        for thread in threads:
            thread.join()
        return dropped_s

    def _drop(self, files: int, seconds: float) -> float:
        """Have the quick files written; return how long that took."""
        began_s = time.monotonic() + 1  # when both processes are there
        pace = (str(began_s), str(seconds * (1 - SPARE) / files), str(self.folder))
        words = [sys.executable, __file__, "--quick"]
        processes = [
            subprocess.Popen([*words, str(first), str(files), *pace], stdout=subprocess.PIPE)
            for first in (0, 1)
        ]
        self.dropped_at_s = began_s
        for first, process in enumerate(processes):
            told = process.communicate()[0].split()
            if process.returncode:
                self.broken.append(f"it ended with exit code {process.returncode}")
                continue
            self.dropped_at_s = max(self.dropped_at_s, float(told[0]))
            self.cpu_s["writers"] += float(told[1])
            self.declared.add_from(self.folder / f"declared-{first}")
        return self.dropped_at_s - began_s

    def _write_slowly(self, at: int, one: Callable[..., object], seconds: float, seed: int) -> None:
        random_ = random.Random(seed * 1000 + at)
        until_s = time.monotonic() + seconds
        number = 0
        while number == 0 or time.monotonic() < until_s:
            try:
                one(self.folder, f"w{at}-{number}", random_, self.declared)
            except (OSError, TimeoutError) as error:
                self.broken.append(error)
                return
            number += 1
            time.sleep(0.05)

    def wait(self, limit_s: float) -> None:
        """Everything that was declared has been seen, and nothing is left to do."""
        try:
            wait_for(
                lambda: self.declared.seen.read() >= len(self.declared.whole),
                limit_s,
                "all is seen",
            )
            wait_for(self._is_idle, limit_s, "nothing is left")
        except TimeoutError as error:
            log = (self.home / "up.log").read_text(errors="replace")[-4000:]
            raise TimeoutError(f"{error}; {self.faults()[:10]}; {self._tasks()}; {log}") from None

    def _is_over(self, path: Path) -> bool:
        """Whether no task of the item at this path is going to run, or runs."""
        query = (
            "SELECT count(*) FROM task t JOIN item i ON i.id = t.item_id "
            "WHERE i.path = ? AND t.state IN (0, 1, 2)"
        )
        with sqlite3.connect(f"file:{self.home}/.stoker/stoker.db?mode=ro", uri=True) as store:
            return store.execute(query, (os.fsencode(path),)).fetchone()[0] == 0

    def _is_idle(self) -> bool:
        return not any(state in (0, 1, 2) for state, _ in self._tasks())

    def _tasks(self) -> list[tuple[int, int]]:
        """Return how many tasks are in each state."""
        with sqlite3.connect(f"file:{self.home}/.stoker/stoker.db?mode=ro", uri=True) as store:
            return store.execute("SELECT state, count(*) FROM task GROUP BY state").fetchall()

    def stop(self) -> None:
        """The service has ended, and left nobody."""
        self._account()
        if self._service is not None:
            self._service.terminate()
            self._service.wait(60)
            self._service = None
        wait_for(lambda: not list(self.intakes()), 30, "the intake has ended")
        own = resource.getrusage(resource.RUSAGE_SELF)
        others = resource.getrusage(resource.RUSAGE_CHILDREN)
        quick_s, intake_s = self.cpu_s["writers"], self.cpu_s["intake"]
        others_s = others.ru_utime + others.ru_stime
        self.cpu_s["rest of the service"] = others_s - quick_s - intake_s
        self.cpu_s["writers"] += own.ru_utime + own.ru_stime

    def faults(self) -> list[str]:
        """Return everything in which what was seen differs from what was declared."""
        declared = collections.Counter(self.declared.whole)
        self.declared.seen.read()
        found = collections.Counter(self.declared.seen.runs)
        lost = [f"never seen: {path}" for path, _ in declared - found]
        wrong = [
            f"seen {'twice' if one in declared else 'partially'}: {one[0]}"
            for one in found - declared
        ]
        return sorted(lost + wrong) + [f"a writer: {error}" for error in self.broken]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000, help="quick ones")
    parser.add_argument("--seconds", type=float, default=10.0, help="in which they must be there")
    parser.add_argument("--writers", type=int, default=2, help="slow ones of each kind")
    parser.add_argument("--kill-every", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--kills", type=int, default=3, help="of the intake, at most")
    parser.add_argument("--folder", type=Path, help="where to write; by default beside the project")
    parser.add_argument("--quick", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick is not None:
        first, files, began_s, every_s, place = options.quick
        numbers = range(int(first), int(files), 2)
        write_quickly(Path(place), numbers, float(began_s), float(every_s))
        return 0
    home = Path(tempfile.mkdtemp(prefix="stoker-flood-"))
    folder = Path(tempfile.mkdtemp(prefix="stoker-flood-", dir=options.folder or home))
    try:
        told = run(Flood(home, folder), options)
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(home)
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if told["faults"] else 0


def run(flood: Flood, options: argparse.Namespace) -> dict[str, Any]:
    """Return what is told of the whole run."""
    over = threading.Event()
    killed_at_s: list[float] = []

    def kill() -> None:
        while len(killed_at_s) < options.kills and not over.wait(options.kill_every):
            killed_at_s.extend([time.monotonic()] * flood.kill_intake())

    killer = threading.Thread(target=kill)
    try:
        flood.start()
        wait_for(lambda: any(flood.intakes()), 120, "the intake has begun")
        began_s = time.monotonic()
        killer.start()
        dropped_s = flood.write(options.files, options.seconds, options.writers)
        over.set()
        written_s = time.monotonic() - began_s
        flood.wait(3600)
        all_s = time.monotonic() - began_s
    finally:
        over.set()
        flood.stop()
    faults = flood.faults()[:20]
    if dropped_s > options.seconds:
        faults.append(f"the files were there after {dropped_s:.2f} s, not within the time")
    return {
        "declared": len(flood.declared.whole),
        "seen": flood.declared.seen.read(),
        "faults": faults,
        "intake_killed": len(killed_at_s),
        "of_these_in_the_drop": sum(at_s <= flood.dropped_at_s for at_s in killed_at_s),
        "dropped_s": round(dropped_s, 1),
        "written_s": round(written_s, 1),
        "all_s": round(all_s, 1),
        "cpu_s": {part: round(seconds) for part, seconds in flood.cpu_s.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
