"""How fast the command `stoker run` gets short real processes done, beside `xargs -P2 -n1`.

As users run it: with its start-up, warden, janitor and progress. All run in turns, so that they see the
same machine: `python benchmarks/command.py [--tasks N …] [--rounds N] [--slots N]`. `bare` is the same
without janitor and progress; what they cost is the share of the rate that is missing beside it. On a
busy machine look at the processor time, which is Stoker's own: that of `/bin/true` is subtracted, as it
is measured for xargs. Then reading commands beside `python -c "import sqlalchemy"`, likewise in turns.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PROGRAM = "/bin/true"
STOKER = str(Path(sys.executable).with_name("stoker"))
FILE = f"""
[project]
name = "bench"
[pipelines.p]
items = "records"
[pipelines.p.steps.s]
argv = ["{PROGRAM}"]
"""
BARE = """
import sys
from stoker.cli import progress
from stoker.cli.main import main
from stoker.project import running

class NoProgress:
    update = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

Services = running.Services
running.Services = lambda rows, foreground: Services((), foreground)
progress.progress_for = lambda *_, **__: NoProgress()
main(sys.argv[1:])
"""
READING = ("status", "items", "tasks", "attempts", "failures", "show 7", "why 7")
IMPORT = [sys.executable, "-c", "import sqlalchemy"]


class Took(NamedTuple):
    """What some processes took, their children included."""

    elapsed_s: float
    cpu_s: float


def measure(command: Sequence[str], folder: Path, text: str | None = None) -> Took:
    """Run the command to its end, throw its output away, and return what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began_s = time.perf_counter()
    subprocess.run(command, cwd=folder, input=text, text=True, check=True, capture_output=True)
    elapsed_s = time.perf_counter() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Took(elapsed_s, cpu_s)


def project(folder: Path, tasks: int) -> None:
    """A project in which so many tasks are ready."""
    (folder / "stoker.toml").write_text(FILE)
    (folder / "keys").write_text("".join(f"{n}\n" for n in range(tasks)))
    measure([STOKER, "push", "p", "--from", "keys"], folder)


def run_xargs(tasks: int, slots: int) -> Took:
    """Return what xargs takes."""
    lines = "".join(f"{n}\n" for n in range(tasks))
    return measure(["xargs", f"-P{slots}", "-n1", PROGRAM], Path.cwd(), lines)


def run_stoker(tasks: int, slots: int, *start: str) -> Took:
    """Return what `stoker run`, started in this way, takes for tasks that were pushed before."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        project(Path(name), tasks)
        return measure([*start, "run", "--slots", str(slots)], Path(name))


def compare(tasks: int, slots: int, rounds: int) -> None:
    """Print the median of the ratios of the rates, and what each task costs."""
    found = [
        (
            run_xargs(tasks, slots),
            run_stoker(tasks, slots, STOKER),
            run_stoker(tasks, slots, sys.executable, "-c", BARE),
        )
        for _ in range(rounds)
    ]
    xargs, whole, bare = (
        tasks / statistics.median(took.elapsed_s for took in one)
        for one in zip(*found, strict=True)
    )
    ratio = statistics.median(theirs.elapsed_s / ours.elapsed_s for theirs, ours, _ in found)
    share = statistics.median(1 - least.elapsed_s / ours.elapsed_s for _, ours, least in found)
    own_s = statistics.median(ours.cpu_s - theirs.cpu_s for theirs, ours, _ in found)
    more_s = statistics.median(ours.cpu_s - least.cpu_s for _, ours, least in found)
    print(
        f"{tasks:>7,} tasks: xargs {xargs:5.0f}/s  stoker run {whole:5.0f}/s  bare {bare:5.0f}/s  "
        f"{ratio:.2f} of xargs (median of ratios)\n"
        f"               janitor and progress: {share:.1%} of the rate, "
        f"{more_s / tasks * 1e3:.3f} ms of processor time a task; "
        f"in all {own_s / tasks * 1e3:.2f} ms more than xargs; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def read(rounds: int) -> None:
    """Print what reading commands take, as multiples of importing SQLAlchemy."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        project(folder, 1_000)
        measure([STOKER, "run"], folder)
        for command in READING:
            words = [STOKER, *command.split()]
            found = [(measure(IMPORT, folder), measure(words, folder)) for _ in range(rounds)]
            ratio = statistics.median(ours.elapsed_s / least.elapsed_s for least, ours in found)
            of_cpu = statistics.median(ours.cpu_s / least.cpu_s for least, ours in found)
            took_s = statistics.median(ours.elapsed_s for _, ours in found)
            print(
                f"stoker {command:<9} {took_s:5.2f} s  {ratio:.2f} of `import sqlalchemy`, "
                f"in processor time {of_cpu:.2f} (medians of ratios)",
                flush=True,
            )


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1_000, 6_000, 60_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    for tasks in options.tasks:
        compare(tasks, options.slots, options.rounds)
    read(options.rounds)


if __name__ == "__main__":
    main()
