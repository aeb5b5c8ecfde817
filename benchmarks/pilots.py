"""What pilots cost, on a real Slurm of two nodes with four cpus each, and PostgreSQL.

`python benchmarks/pilots.py [--tasks N] [--jobs N]` prints: from a pilot's first sign of life to its
first claim; how busy the slots of eight pilots are with tasks of one second, from when all work until the
first finds nothing more; and how long one look at a thousand waiting jobs takes.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import servers
from batch.lab import Lab
from batch.piloted import QUICK, Piloted
from batch.slurm import Slurm

PILOTS = 8
TEXT = """
[batch.main]
system = "slurm"
time_limit = "1h"
max_pilots = 8
[pipelines.p.steps.s]
run = "sleep 1"
"""


def share_of_slots(lab: Lab, tasks: int) -> None:
    """Print how long pilots take to begin, and how busy they are."""
    lab.push(4)
    lab.stoker("run")
    piloted = Piloted(lab, replace(QUICK, first_waiting=PILOTS))
    lab.push(tasks)
    while lab.states().keys() & {"ready", "running"}:
        piloted.batch.visit()
        time.sleep(1)
    attempts = [one for one in piloted.project.attempts() if one.pilot]
    began = {}
    for row in piloted.pilots:
        own = [one for one in attempts if one.pilot == row.id]
        if own and row.started_at is not None:
            began[row.id] = (row.started_at, own)
    firsts = [
        (min(one.claimed_at for one in own) - started).total_seconds()
        for started, own in began.values()
    ]
    print(f"{len(began)} pilots; first claim after {statistics.median(firsts):.2f} s (median)")
    since = max(min(one.started_at for one in own) for _, own in began.values())
    until = min(max(one.ended_at for one in own) for _, own in began.values())
    busy_s = sum(
        max((min(one.ended_at, until) - max(one.started_at, since)).total_seconds(), 0.0)
        for one in attempts
    )
    window_s = (until - since).total_seconds()
    print(f"busy {busy_s / (window_s * len(began)):.1%} of {window_s:.0f} s")
    piloted.close()


def look(lab: Lab, jobs: int) -> None:
    """Print how long it takes to look at so many waiting jobs."""
    manners = replace(QUICK, first_waiting=jobs, burst_s=600)
    piloted = Piloted(lab, manners, max_pilots=jobs, options=("--hold",))
    visitor = piloted.batch.visitors["main"]
    began_s = time.monotonic()
    made = visitor.visit(jobs).submitted
    print(f"{made} pilots submitted in {time.monotonic() - began_s:.1f} s")
    took = []
    for _ in range(5):
        began_s = time.monotonic()
        visitor.look()
        took.append(time.monotonic() - began_s)
    print(f"a look at them: {statistics.median(took):.3f} s (median of 5)")
    piloted.project.close()


def main() -> None:
    """Measure, and leave nothing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=240)
    parser.add_argument("--jobs", type=int, default=1000)
    options = parser.parse_args()
    slurm = Slurm()
    os.environ.update(slurm.env)
    folder = Path(tempfile.mkdtemp(prefix="stoker-pilots-"))
    try:
        for name, measure, n in (("a", share_of_slots, options.tasks), ("b", look, options.jobs)):
            own = folder / name
            own.mkdir()
            folder.chmod(0o755)
            url = servers.server("postgresql").new_database(f"pilots{name}")
            measure(Lab(own, TEXT, url, slurm.env), n)
            slurm.clear()
    finally:
        slurm.close()
        servers.close_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
