"""How fast the command `stoker run` gets short real processes done, beside `xargs -P2 -n1`.

As users run it: with its start-up, warden, janitor and progress. Both run in turns, so that both see
the same machine: `python benchmarks/command.py [--tasks N …] [--rounds N] [--slots N]`. Prints the
median of the ratios of their rates, and the load of the machine, which should be near nought.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def run_xargs(tasks: int, slots: int) -> float:
    """Return the seconds that xargs takes."""
    lines = "".join(f"{n}\n" for n in range(tasks))
    began_s = time.perf_counter()
    subprocess.run(["xargs", f"-P{slots}", "-n1", PROGRAM], input=lines, text=True, check=True)
    return time.perf_counter() - began_s


def run_stoker(tasks: int, slots: int) -> float:
    """Return the seconds that `stoker run` takes for tasks that were pushed before."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        (folder / "stoker.toml").write_text(FILE)
        (folder / "keys").write_text("".join(f"{n}\n" for n in range(tasks)))
        push = [STOKER, "push", "p", "--from", "keys"]
        subprocess.run(push, cwd=folder, check=True, capture_output=True)
        began_s = time.perf_counter()
        run = [STOKER, "run", "--slots", str(slots)]
        subprocess.run(run, cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - began_s


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1_000, 6_000, 60_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    for tasks in options.tasks:
        pairs = [
            (run_xargs(tasks, options.slots), run_stoker(tasks, options.slots))
            for _ in range(options.rounds)
        ]
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        rates = [tasks / statistics.median(took) for took in zip(*pairs, strict=True)]
        print(
            f"{tasks:>7,} tasks: xargs {rates[0]:6.0f}/s  stoker run {rates[1]:6.0f}/s  "
            f"{ratio:.2f} of xargs (median of ratios); load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
