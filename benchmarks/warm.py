"""How many tasks a second a warm process of Octave or R carries out, beside one that is started for each.

The same empty function, in the same turns: as an `octave` or `r` step, as a persistent program, and as
`argv` that starts the language for each task: `python benchmarks/warm.py [--tasks N] [--rounds N]`.
"""

import argparse
import shutil
import statistics
import sys

from dispatch import run_stoker

FILES = {
    "f.m": "function values = f(task)\n  values = struct('n', numel(task.key));\nend\n",
    "f.R": "f <- function(task) list(n = nchar(task$key))\n",
    "f.py": 'import sys\nfor line in sys.stdin:\n    print(\'{"stoker":"done","values":{"n":1}}\', flush=True)\n',
}
COLD_M = (
    "fprintf(fopen(getenv('STOKER_VALUES'), 'w'), '{\\\"n\\\": %d}', numel(getenv('STOKER_KEY')))"
)
COLD_R = (
    "cat('{\\\"n\\\":', nchar(Sys.getenv('STOKER_KEY')), '}', file = Sys.getenv('STOKER_VALUES'))"
)
KINDS = {
    "octave": (
        "octave",
        'octave = "f"',
        f'argv = ["octave", "--no-gui", "--quiet", "--no-history", "--eval", "{COLD_M}"]',
    ),
    "r": ("Rscript", 'r = "f.R:f"', f'argv = ["Rscript", "-e", "{COLD_R}"]'),
    "program": (
        sys.executable,
        f'argv = ["{sys.executable}", "f.py"]\npersistent = true',
        f'argv = ["{sys.executable}", "-c", "pass"]',
    ),
}


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000, help="for the warm processes")
    parser.add_argument("--cold", type=int, default=40, help="tasks for the others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    for name, (program, warm, cold) in KINDS.items():
        if shutil.which(program) is None:
            print(f"{name:8} not installed")
            continue
        warms: list[float] = []
        colds: list[float] = []
        for _ in range(options.rounds):
            warms.append(run_stoker(warm, options.tasks, options.slots, FILES))
            colds.append(run_stoker(cold, options.cold, options.slots, FILES))
        ratio = statistics.median(one / other for one, other in zip(warms, colds, strict=True))
        print(
            f"{name:8} warm {statistics.median(warms):7.1f} tasks/s   "
            f"cold {statistics.median(colds):6.1f} tasks/s   {ratio:6.1f} times as many"
        )


if __name__ == "__main__":
    main()
