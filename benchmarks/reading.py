"""How long reading commands take on a large store, beside the start of Python itself.

`python benchmarks/reading.py [--items N] [--rounds N]`. Makes a store of N items of two steps, one
in a thousand of them failed, and prints the median time of each command.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
STOKER = str(Path(sys.executable).with_name("stoker"))
LAST = "record-last"  # still waiting
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import sqlalchemy'": [sys.executable, "-c", "import sqlalchemy"],
    "stoker --version": [STOKER, "--version"],
    "stoker status": [STOKER, "status"],
    "stoker status --json": [STOKER, "status", "--json"],
    "stoker show KEY": [STOKER, "show", "record-0000123"],
    "stoker why KEY STEP": [STOKER, "why", LAST, "two"],
    "stoker failures": [STOKER, "failures"],
    "stoker tasks --state failed": [STOKER, "tasks", "--state", "failed"],
    "stoker items (first 1,000)": ["bash", "-c", f"{STOKER} items --json | head -1000"],
}


def fill(folder: Path, count: int) -> None:
    """Make the store: all registered, the first fifth worked on, some of that failed."""
    from stoker.model.item import NewItem
    from stoker.model.pipeline import Verdict
    from stoker.model.states import AttemptState
    from stoker.model.task import Result
    from stoker.spec.load import load_project
    from stoker.store import claim, finish, fleet, fold, register, versions
    from stoker.store.connect import open_store

    loaded = load_project(folder / "stoker.toml")
    store = open_store(loaded.settings.store_url)
    versions.apply_version(store, loaded.pipelines["p"], host="here", path=str(folder))
    items = [NewItem(key=f"record-{n:07}") for n in range(count)]
    register.register(store, "p", [*items, NewItem(key=LAST)])
    me = fleet.enlist(
        store,
        host="here",
        name="bench",
        pid=1,
        slots=2,
        cpus=2,
        memory_bytes=1 << 34,
        scratch="/",
        boot_id="b",
        lease_s=3600,
    )
    done = 0
    while done < count // 5:
        tasks = claim.claim(store, me, limit=500, cpus_free=2)
        finish.finish(
            store,
            [
                Result(
                    attempt=task.attempt,
                    task_id=task.task_id,
                    state=AttemptState.FAILED if n % 1000 == 7 else AttemptState.SUCCEEDED,
                    verdict=Verdict.FAIL if n % 1000 == 7 else Verdict.DONE,
                    ended_us=time.time_ns() // 1000,
                    reason="a reason" if n % 1000 == 7 else None,
                    cause=f"cause {n % 5}" if n % 1000 == 7 else None,
                )
                for n, task in enumerate(tasks, start=done)
            ],
        )
        done += len(tasks)
    fleet.retire(store, me)
    fold.fold(store)
    store.close()


def measure(command: list[str], folder: Path) -> float:
    """Return the seconds of one run."""
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Read the arguments, fill a store, run the rounds, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        (folder / "stoker.toml").write_text(CONFIG)
        fill(folder, given.items)
        found: dict[str, list[float]] = {}
        for _ in range(given.rounds):
            for what, command in COMMANDS.items():
                found.setdefault(what, []).append(measure(command, folder))
    print(f"{given.items:,} items, {2 * given.items:,} tasks")
    for what, runs in found.items():
        print(f"{what:30} {statistics.median(runs):6.2f} s")


if __name__ == "__main__":
    main()
