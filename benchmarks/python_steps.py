"""How many `python` steps a second warm processes carry out, with full records.

Beside it, in the same turns, what a process pool of the standard library reaches for the same empty
function with nothing recorded: `python benchmarks/python_steps.py [--tasks N] [--rounds N]`.
"""

import argparse
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from dispatch import run_stoker

MODULE = "def f(task):\n    return {'n': 1}\n"


def nothing(number: int) -> dict[str, int]:
    """Do what the step does."""
    return {"n": number}


def run_pool(tasks: int, slots: int) -> float:
    """Return calls a second of a process pool, one call a message."""
    with ProcessPoolExecutor(slots) as pool:
        pool.submit(nothing, 0).result()
        began = time.perf_counter()
        for _ in pool.map(nothing, range(tasks)):
            pass
        return tasks / (time.perf_counter() - began)


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    stoker: list[float] = []
    pool: list[float] = []
    for turn in range(options.rounds):
        pool.append(run_pool(options.tasks, options.slots))
        stoker.append(
            run_stoker('python = "mod:f"', options.tasks, options.slots, {"mod.py": MODULE})
        )
        print(
            f"round {turn + 1}: pool {pool[-1]:.0f}/s  stoker {stoker[-1]:.0f}/s",
            file=sys.stderr,
        )
    ratio = statistics.median(mine / base for mine, base in zip(stoker, pool, strict=True))
    print(f"pool   {statistics.median(pool):8.0f} calls/s, nothing recorded")
    print(f"stoker {statistics.median(stoker):8.0f} tasks/s   {ratio:.2f} of the pool")


if __name__ == "__main__":
    main()
