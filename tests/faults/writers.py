"""Writers of every kind of files, which declare what they have written; and what was seen of it."""

import hashlib
import os
import random
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SETTLE_S = 1.0  # of the sources
FOLDERS = 50  # of each kind of quick files


class Seen:
    """What the step notes, each time it runs; read only as far as it has grown."""

    def __init__(self, file: Path) -> None:
        self.runs: list[tuple[str, str]] = []  # path and checksum
        self._found: set[str] = set()
        self._file = file
        self._at = 0
        self._lock = threading.Lock()

    def read(self) -> int:
        """Read on; return how many runs there have been."""
        with self._lock, suppress(FileNotFoundError), self._file.open("rb") as file:
            file.seek(self._at)
            whole, end, _ = file.read().rpartition(b"\n")
            self._at += len(whole + end)
            for line in whole.decode().splitlines():
                found, path = line.split(" ", 1)
                self.runs.append((path, found))
                self._found.add(found)
        return len(self.runs)

    def has(self, found: str) -> bool:
        """Whether the step was given that content."""
        self.read()
        return found in self._found


@dataclass
class Declared:
    """What writers say that they have written, path and checksum; and what was seen of it so far.

    `is_over` says of a path whether the tasks of its item have ended.
    """

    seen: Seen
    is_over: Callable[[Path], bool]
    whole: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, path: Path, content: bytes) -> str:
        found = hashlib.sha256(content).hexdigest()
        with self.lock:
            self.whole.append((str(path), found))
        return found

    def add_from(self, ledger: Path) -> None:
        """Add what another process declared there."""
        lines = (line.split(" ", 1) for line in ledger.read_text().splitlines())
        with self.lock:
            self.whole += [(path, found) for found, path in lines]


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


def wait_for(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.2)


def replace_later(folder: Path, name: str, random_: random.Random, declared: Declared) -> None:
    """Renamed into place, and another content over it once the first has been worked off.

    Not before: what is changed while its own step runs counts as the step's doing, and is not done again.
    """
    first = rename_into_place(folder, name, random_, declared)
    wait_for(lambda: declared.seen.has(first), 1800, "the first content is seen")
    path = folder / "moved" / f"{name}.dat"
    wait_for(lambda: declared.is_over(path), 1800, "the attempt that has seen it has ended")
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


def write_quickly(folder: Path, numbers: range, began_s: float, every_s: float) -> None:
    """Write the files of these numbers, each when its time comes, and then declare them.

    Run by a process of its own, for the even numbers, which are renamed into place, or the odd ones.
    Each content is a part of one block with the file's number behind it, so that all differ.
    """
    block = random.Random(numbers.start).randbytes(3000)
    sums = [hashlib.sha256(block[:size]) for size in range(len(block))]
    lines = []
    for number in numbers:
        ahead_s = began_s + every_s * number - time.monotonic()
        if ahead_s > 0.01:
            time.sleep(ahead_s)
        size, mark = number * 7919 % len(block), f":{number}".encode()
        found = sums[size].copy()
        found.update(mark)
        kind, dot = ("slow", "") if number % 2 else ("moved", ".")
        start = f"{folder}/{kind}/{number // 2 % FOLDERS:02}/"
        if number < 2 * FOLDERS:
            os.mkdir(start)
        path, written = f"{start}q{number}.dat", f"{start}{dot}q{number}.dat"
        file = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.writev(file, (memoryview(block)[:size], mark))
        os.close(file)
        if dot:
            os.rename(written, path)
        lines.append(f"{found.hexdigest()} {path}\n")
    ended_s = time.monotonic()
    (folder / f"declared-{numbers.start}").write_text("".join(lines))
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{ended_s} {cpu.ru_utime + cpu.ru_stime}\n")
