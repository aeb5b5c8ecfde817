"""How soon a file is claimed that was renamed into place, and what looking at many files costs.

    python benchmarks/intake.py [--files 1000000] [--folders 10000] [--renames 100]

The tree is made in memory where there is room (`/dev/shm`), and looked at three times: first, when
everything is registered; again, when nothing has changed; and with one file changed in a hundredth
of the folders. Beside it, `find` and `find -newer` on the same tree.
"""

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from stoker.store.actor import Actor

ME = Actor("bench")

LATENCY = """
[pipelines.p.sources.incoming]
folder = "incoming"
[pipelines.p.steps.s]
argv = ["true"]
"""
TREE = """
[pipelines.p.sources.tree]
folder = "{tree}"
settle = "0s"
[pipelines.p.steps.s]
argv = ["true"]
"""


def measure_renames(home: Path, renames: int) -> dict[str, float]:
    """Return how long it took from a rename into place to the claim of the item's task."""
    (home / "incoming").mkdir(parents=True)
    (home / "stoker.toml").write_text(LATENCY)
    stoker = str(Path(sys.executable).with_name("stoker"))
    with (home / "log").open("wb") as log:
        service = subprocess.Popen([stoker, "up", "--no-web"], cwd=home, stdout=log, stderr=log)
    renamed_us: dict[str, int] = {}
    try:
        _rename(home, "first", renamed_us)
        _wait_for_done(home, 1)
        for at in range(renames):
            _rename(home, f"f{at}", renamed_us)
            time.sleep(0.15)
        _wait_for_done(home, renames + 1)
        with sqlite3.connect(home / ".stoker/stoker.db") as store:
            claimed = dict(
                store.execute(
                    "SELECT i.key, a.claimed_us FROM attempt a JOIN task t ON t.id = a.task_id "
                    "JOIN item i ON i.id = t.item_id"
                )
            )
    finally:
        service.terminate()
        service.wait()
    took_s = sorted((claimed[key] - us) / 1e6 for key, us in renamed_us.items() if key != "first")
    return {
        "renames": renames,
        "median_s": round(statistics.median(took_s), 4),
        "p90_s": round(took_s[int(0.9 * len(took_s))], 4),
        "worst_s": round(took_s[-1], 4),
    }


def _rename(home: Path, name: str, renamed_us: dict[str, int]) -> None:
    hidden = home / "incoming" / f".{name}"
    hidden.write_text(name)
    renamed_us[name] = time.time_ns() // 1000
    hidden.rename(home / "incoming" / name)


def _wait_for_done(home: Path, n: int) -> None:
    until_s = time.monotonic() + 120
    while time.monotonic() < until_s:
        with suppress(sqlite3.Error), sqlite3.connect(home / ".stoker/stoker.db") as store:
            if store.execute("SELECT count(*) FROM task WHERE state = 4").fetchone()[0] >= n:
                return
        time.sleep(0.05)
    raise TimeoutError((home / "log").read_text())


def make_tree(tree: Path, files: int, folders: int) -> None:
    """So many empty files, spread evenly over so many folders two levels deep."""
    for at in range(folders):
        folder = tree / f"{at // 100:03}" / f"{at % 100:02}"
        files.mkdir(parents=True)
        for number in range(at, files, folders):
            os.close(os.open(folder / f"{number:07}.dat", os.O_CREAT | os.O_WRONLY))


def look_once(home: Path) -> dict[str, float]:
    """Look as a service does after its start; the tree is at rest, so its times can be trusted."""
    from stoker.intake.register_found import Taker
    from stoker.intake.sources import files
    from stoker.intake.sources.kinds import make_source
    from stoker.project import open_project

    files.RACY_S = 0.0
    with open_project(home) as project:
        project.apply()
        pipeline = project.pipeline("p")
        source = make_source(project.store, pipeline, pipeline.sources[0], project_folder=str(home))
        began_s = time.perf_counter()
        done = Taker(project.store, "p", source, ME).take()
        took_s = time.perf_counter() - began_s
        source.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "registered": done.registered,
        "seconds": round(took_s, 2),
        "peak_mib": round(peak / 1024),
    }


def _look(home: Path) -> dict[str, float]:
    words = [sys.executable, __file__, "--look", str(home)]
    found = subprocess.run(words, check=True, capture_output=True, text=True)
    return dict(json.loads(found.stdout))


def _find(tree: Path, *more: str) -> float:
    began_s = time.perf_counter()
    subprocess.run(["find", tree, *more], check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - began_s, 2)


def measure_tree(home: Path, place: str | None, files: int, folders: int) -> dict[str, object]:
    """Return what the looks cost, and what `find` does on the same tree."""
    tree = Path(tempfile.mkdtemp(prefix="stoker-tree-", dir=place))
    try:
        make_tree(tree, files, folders)
        home.mkdir()
        (home / "stoker.toml").write_text(TREE.format(tree=tree))
        first, unchanged = _look(home), _look(home)
        for at in range(0, folders, 100):
            (tree / f"{at // 100:03}" / f"{at % 100:02}" / "new.dat").touch()
        return {
            "files": files,
            "folders": folders,
            "first": first,
            "unchanged": unchanged,
            "one_in_a_hundred_folders_changed": _look(home),
            "find_s": _find(tree, "-type", "f"),
            "find_newer_s": _find(tree, "-type", "f", "-newer", home / "stoker.toml"),
        }
    finally:
        shutil.rmtree(tree)


def main() -> None:
    """Measure, and print one object of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--folders", type=int, default=10_000)
    parser.add_argument("--renames", type=int, default=100)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look is not None:
        print(json.dumps(look_once(options.look)))
        return
    home = Path(tempfile.mkdtemp(prefix="stoker-intake-"))
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    try:
        found = {
            "rename_to_claim": measure_renames(home / "renames", options.renames),
            "tree": measure_tree(home / "tree", place, options.files, options.folders),
        }
        print(json.dumps(found, indent=2))
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
