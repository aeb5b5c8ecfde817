"""How fast items of a two-step pipeline are registered, beside bare inserts of the same rows.

`python benchmarks/register.py [--items N] [--rounds N]`. Each round runs, in turn and in processes
of their own, `stoker push` of a list of names, the store's verb on a stream of items, and plain
sqlite3 `executemany` with `INSERT … SELECT` for the tasks; prints rates, ratios and peak memory.
"""

import argparse
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from stoker.store.actor import Actor

ME = Actor("bench")

CONFIG = """
[project]
name = "bench"
[pipelines.p]
items = "records"
[pipelines.p.steps.one]
run = "true"
[pipelines.p.steps.two]
after = ["one"]
run = "true"
"""


def names(count: int) -> str:
    """A list of names as `find` would print them."""
    return "".join(f"station/2026/record-{number:07}.mseed\n" for number in range(count))


def by_command(folder: Path, count: int) -> None:
    """`stoker push` from a list on standard input."""
    stoker = Path(sys.executable).with_name("stoker")
    command = [str(stoker), "--project", str(folder), "push", "p", "--from", "-"]
    subprocess.run(command, input=names(count), text=True, check=True, capture_output=True)


def by_verb(folder: Path, count: int) -> None:
    """The store's verb, without the command line."""
    from stoker.model.item import NewItem
    from stoker.spec.load import load_project
    from stoker.store.arrivals import register
    from stoker.store.database.connect import open_store
    from stoker.store.orders import versions

    loaded = load_project(folder / "stoker.toml")
    store = open_store(loaded.settings.store_url)
    versions.apply_version(store, loaded.pipelines["p"], host="here", path=str(folder))
    items = (NewItem(key=name) for name in names(count).splitlines())
    assert register.register(store, "p", items, ME).registered == count


def by_hand(folder: Path, count: int) -> None:
    """The same rows without any of the care: the machine's own speed."""
    base = sqlite3.connect(folder / "bare.db", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, key TEXT UNIQUE, state INT, data TEXT)"
    )
    base.execute(
        "CREATE TABLE task (id INTEGER PRIMARY KEY, item_id INT, step_id INT, state INT, lane INT, "
        "okey INT, UNIQUE (item_id, step_id))"
    )
    base.execute("CREATE INDEX task_lane ON task (lane, okey, id) WHERE lane IS NOT NULL")
    base.execute("CREATE TABLE journal (id INTEGER PRIMARY KEY, at INT, event TEXT, data TEXT)")
    listed = names(count).splitlines()
    for start in range(0, count, 2000):
        rows = [(n, key, 0, "{}") for n, key in enumerate(listed[start : start + 2000], start)]
        base.execute("BEGIN IMMEDIATE")
        base.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", rows)
        for step, lane in ((1, 1), (2, None)):
            base.execute(
                "INSERT INTO task (item_id, step_id, state, lane, okey) "
                "SELECT id, ?, 0, ?, 0 FROM item WHERE id BETWEEN ? AND ?",
                (step, lane, start, start + 1999),
            )
        base.executemany(
            "INSERT INTO journal (at, event, data) VALUES (?, ?, ?)",
            [(0, "register", row[1]) for row in rows],
        )
        base.execute("COMMIT")
    base.close()


WAYS: dict[str, Callable[[Path, int], None]] = {
    "by hand": by_hand,
    "verb": by_verb,
    "command": by_command,
}


def measure(way: str, count: int) -> tuple[float, float]:
    """Return items a second and the peak memory in MB of one way, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        Path(name, "stoker.toml").write_text(CONFIG)
        command = [sys.executable, __file__, "--way", way, "--folder", name, "--items", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    rate, peak_mb = done.stdout.split()
    return float(rate), float(peak_mb)


def carry_out(way: str, folder: Path, count: int) -> None:
    """Do it here and print the figures for the parent."""
    began = time.perf_counter()
    WAYS[way](folder, count)
    rate = count / (time.perf_counter() - began)
    whose = resource.RUSAGE_CHILDREN if way == "command" else resource.RUSAGE_SELF
    print(rate, resource.getrusage(whose).ru_maxrss / 1000)


def main() -> None:
    """Read the arguments, run the rounds, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", choices=sorted(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        carry_out(given.way, given.folder, given.items)
        return
    rounds = [{way: measure(way, given.items) for way in WAYS} for _ in range(given.rounds)]
    for way in WAYS:
        rate = statistics.median(one[way][0] for one in rounds)
        ratio = statistics.median(one[way][0] / one["by hand"][0] for one in rounds)
        peak = max(one[way][1] for one in rounds)
        print(f"{way:8} {rate:9,.0f} items/s  {ratio:.2f} of by hand  {peak:5.0f} MB at most")


if __name__ == "__main__":
    main()
