"""How long a table of values of many items takes, and in how much memory.

`python benchmarks/values.py [--rows N]`. Makes an SQLite store of N items of one step that left three
values, writes them as a CSV file and, where pyarrow is installed, as Parquet; and by hand, through
Python's sqlite3 and csv, as what could be reached. Goals stand beside the figures.
"""

import argparse
import csv
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from bulk import multiply

import stoker

GOAL_S, GOAL_MIB = 60.0, 200
CONFIG = """
[project]
name = "bench"
[pipelines.p]
items = "records"
[pipelines.p.steps.one]
run = '''printf '{"rate": 98.5, "reads": 123456, "note": "fine, so far"}' > "$STOKER_VALUES"'''
"""
BY_HAND = (
    "SELECT i.key, a.step_values FROM item i JOIN task t ON t.item_id = i.id "
    "JOIN attempt a ON a.id = t.attempt ORDER BY i.key"
)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        _write(asked.write)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("stoker.toml").write_text(CONFIG)
        with stoker.open(folder) as project:
            project.push("p", ["first"])
            project.run()
            multiply(project.store, "first", asked.rows - 1)
        began_s = time.perf_counter()
        _by_hand(Path(".stoker/stoker.db"), Path("by_hand.csv"))
        hand_s = time.perf_counter() - began_s
        print(f"{asked.rows:,} rows by hand: {hand_s:.1f} s")
        for suffix in (".csv", *([".parquet"] if find_spec("pyarrow") else [])):
            words = [sys.executable, __file__, "--write", f"table{suffix}"]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            took_s, mib = map(float, done.stdout.split())
            print(
                f"{asked.rows:,} rows as {suffix}: {took_s:.1f} s (goal {GOAL_S:g} s; {took_s / hand_s:.2f} "
                f"times by hand), {mib:,.0f} MiB (goal {GOAL_MIB})"
            )


def _write(path: str) -> None:
    """Write the table in a process of its own; print the seconds and its peak memory."""
    began_s = time.perf_counter()
    with stoker.open(".") as project:
        project.values.write("p", out=path)
    # Not `getrusage`: its maximum is that of the process that started this one, if that was larger.
    lines = Path("/proc/self/status").read_text().splitlines()
    mib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    print(time.perf_counter() - began_s, mib)


def _by_hand(store: Path, target: Path) -> None:
    with target.open("w", newline="") as file, sqlite3.connect(store) as base:
        writer = csv.writer(file)
        for key, values in base.execute(BY_HAND):
            writer.writerow([key, *json.loads(values).values()])


if __name__ == "__main__":
    main()
