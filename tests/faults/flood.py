"""Writers of every kind against the intake of a real `stoker up`, which is killed now and then.

    python tests/faults/flood.py --files 200000 --seconds 60 --kill-every 7 --kills 8

Each writer declares the checksum of what it has written, in a ledger of its own, once the file is
whole. The pipeline's one step notes the checksum of what it was given, each time it runs. Afterwards
the two must agree: every declared content was seen exactly once, and nothing else ever was.
"""

import argparse
import collections
import hashlib
import json
import os
import random
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
from dataclasses import dataclass, field
from pathlib import Path

SETTLE_S = 1.0
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


@dataclass
class Declared:
    """What writers say that they have written: path and checksum, and what they gave up."""

    whole: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, path: Path, content: bytes) -> str:
        found = hashlib.sha256(content).hexdigest()
        with self.lock:
            self.whole.append((str(path), found))
        return found


def content_of(random_: random.Random) -> bytes:
    return random_.randbytes(random_.randrange(1, 3000))


def rename_into_place(folder: Path, name: str, random_: random.Random, declared: Declared) -> str:
    """Written under a hidden name, and renamed."""
    path, content = folder / "moved" / f"{name}.dat", content_of(random_)
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(content)
    found = declared.add(path, content)
    hidden.rename(path)
    return found


def drop(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """Written at once under its own name, as `cp` does."""
    path, content = folder / "slow" / f"{name}.dat", content_of(random_)
    path.write_bytes(content)
    declared.add(path, content)


def append_slowly(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """In pieces, with pauses that are shorter than `settle`; opened anew for each."""
    path, content = folder / "slow" / f"{name}.dat", content_of(random_) * 3
    size = len(content) // 3
    for at in range(0, len(content), size):
        with path.open("ab") as file:
            file.write(content[at : at + size])
        time.sleep(SETTLE_S * 0.4)
    declared.add(path, content)


def pause_for_long(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """With a pause far longer than `settle`, and a companion at the end."""
    path, content = folder / "told" / f"{name}.dat", content_of(random_)
    half = len(content) // 2
    with path.open("wb") as file:
        file.write(content[:half])
        file.flush()
        time.sleep(SETTLE_S * 1.5)
        file.write(content[half:])
    declared.add(path, content)
    path.with_name(f"{name}.dat.done").touch()


def begin_anew(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """Half of it is written, then it is truncated and written whole."""
    path, content = folder / "slow" / f"{name}.dat", content_of(random_)
    path.write_bytes(content[: len(content) // 2] + b"x")
    time.sleep(SETTLE_S * 0.3)
    with path.open("r+b") as file:
        file.truncate(0)
        time.sleep(SETTLE_S * 0.3)
        file.write(content)
    declared.add(path, content)


def link_into_place(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """Written under a hidden name, and given its own by a hard link."""
    path, content = folder / "slow" / f"{name}.dat", content_of(random_)
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(content)
    os.link(hidden, path)
    hidden.unlink()
    declared.add(path, content)


def leave_holes(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """A sparse file, whose size is final long before its content."""
    path, content = folder / "told" / f"{name}.dat", content_of(random_)
    hole = 1 << 20
    with path.open("wb") as file:
        file.truncate(hole + len(content))
        time.sleep(SETTLE_S)
        file.seek(hole)
        file.write(content)
    declared.add(path, bytes(hole) + content)
    path.with_name(f"{name}.dat.done").touch()


def give_up(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """Deleted before it is whole: nobody must ever see it."""
    path, content = folder / "slow" / f"{name}.dat", content_of(random_)
    with path.open("wb") as file:
        for _ in range(2):
            file.write(content)
            file.flush()
            time.sleep(SETTLE_S * 0.4)
    path.unlink()


def replace_later(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """Renamed into place, and another content over it once the first has been worked off."""
    first = rename_into_place(folder, name, random_, declared)
    wait_for(lambda: has_seen(folder, first), 1800, "the first content is seen")
    rename_into_place(folder, name, random_, declared)


SLOW: tuple[Callable[..., object], ...] = (
    append_slowly,
    pause_for_long,
    begin_anew,
    link_into_place,
    leave_holes,
    give_up,
    replace_later,
)
QUICK: tuple[Callable[..., object], ...] = (rename_into_place, drop)


def seen(folder: Path) -> list[tuple[str, str]]:
    """Return path and checksum of every run of the step."""
    with suppress(FileNotFoundError):
        lines = (folder / "seen").read_text().splitlines()
        return [(path, found) for found, path in (line.split(" ", 1) for line in lines)]
    return []


def has_seen(folder: Path, found: str) -> bool:
    """Whether the step was given that content; asked often, while there are very many."""
    with suppress(FileNotFoundError):
        return found.encode() in (folder / "seen").read_bytes()
    return False


def wait_for(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.2)


class Flood:
    """One run: a project in `home`, files in `folder`, which may be on another file system."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.declared = Declared()
        self.broken: list[BaseException] = []  # what went wrong with a writer
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
                    if b"stoker.project.taking" in words and os.fsencode(self.home) in b" ".join(
                        words
                    ):
                        yield int(entry.name)

    def kill_intake(self) -> int:
        """Kill the intake as it stands; return how many processes that were."""
        killed = 0
        for pid in self.intakes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        return killed

    def write(self, files: int, seconds: float, writers: int, seed: int = 1) -> None:
        """Drop `files` quick ones spread over `seconds`, and have slow writers beside them."""
        threads = [
            threading.Thread(target=self._write_slowly, args=(at, one, seconds, seed))
            for at, one in enumerate(SLOW * writers)
        ]
        for thread in threads:
            thread.start()
        random_ = random.Random(seed)
        began_s = time.monotonic()
        for at in range(files):
            deep = f"{at % 50:02}"
            for name in ("moved", "slow"):
                (self.folder / name / deep).mkdir(exist_ok=True)
            QUICK[at % len(QUICK)](self.folder, f"{deep}/q{at}", random_, self.declared)
            ahead_s = began_s + seconds * at / files - time.monotonic()
            if ahead_s > 0.01:
                time.sleep(ahead_s)
        for thread in threads:
            thread.join()

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
        wait_for(lambda: len(seen(self.folder)) >= len(self.declared.whole), limit_s, "all is seen")
        wait_for(self._is_idle, limit_s, "nothing is left")

    def _is_idle(self) -> bool:
        with sqlite3.connect(f"file:{self.home}/.stoker/stoker.db?mode=ro", uri=True) as store:
            return (
                store.execute("SELECT count(*) FROM task WHERE state IN (0, 1, 2)").fetchone()[0]
                == 0
            )

    def stop(self) -> None:
        """The service has ended, and left nobody."""
        if self._service is not None:
            self._service.terminate()
            self._service.wait(60)
            self._service = None
        wait_for(lambda: not list(self.intakes()), 30, "the intake has ended")

    def faults(self) -> list[str]:
        """Return everything in which what was seen differs from what was declared."""
        declared = collections.Counter(self.declared.whole)
        found = collections.Counter(seen(self.folder))
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
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--writers", type=int, default=2, help="slow ones of each kind")
    parser.add_argument("--kill-every", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--kills", type=int, default=3, help="of the intake, at most")
    parser.add_argument("--folder", type=Path, help="where to write; by default beside the project")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="stoker-flood-"))
    folder = Path(tempfile.mkdtemp(prefix="stoker-flood-", dir=options.folder or home))
    flood = Flood(home, folder)
    began_s = time.monotonic()
    over, kills = threading.Event(), [0]

    def kill() -> None:
        while kills[0] < options.kills and not over.wait(options.kill_every):
            kills[0] += flood.kill_intake()

    killer = threading.Thread(target=kill)
    try:
        flood.start()
        killer.start()
        flood.write(options.files, options.seconds, options.writers)
        written_s = time.monotonic() - began_s
        over.set()
        flood.wait(3600)
        faults = flood.faults()
        told = {
            "declared": len(flood.declared.whole),
            "seen": len(seen(folder)),
            "faults": faults[:20],
            "intake_killed": kills[0],
            "written_s": round(written_s, 1),
            "all_s": round(time.monotonic() - began_s, 1),
        }
        sys.stdout.write(json.dumps(told) + "\n")
        return 1 if faults else 0
    finally:
        over.set()
        flood.stop()
        shutil.rmtree(folder)
        shutil.rmtree(home)


if __name__ == "__main__":
    sys.exit(main())
