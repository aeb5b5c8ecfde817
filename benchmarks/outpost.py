"""What an outpost costs: a visit without news, a task's way through the spool, many bundles at once.

The outpost is a folder here, so that nothing of ssh is measured, but for the visits over ssh: these go over an
sshd of this script's own. Tasks do nothing; the same number of them is worked off by the same worker from the
store itself, in the same run, for comparison. The `results` wait all at once, as after a week without visits.

    python benchmarks/outpost.py [--tasks 2000] [--bundles 20000] [--results 10000] [--rounds 3] [--folder DIR]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import stoker
from sshd import Sshd
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.model.worker import NewWorker
from stoker.outpost import running
from stoker.outpost.dial import Line
from stoker.outpost.files_link import FilesLink
from stoker.outpost.spool import Spool
from stoker.outpost.visit import Visit
from stoker.outpost.visited import Visited
from stoker.store.outposts import entries

FILE = """
[project]
name = "outpost"
[sites.far]
folder = "{far}"
[pipelines.here]
items = "records"
[pipelines.here.steps.work]
argv = ["true"]
[pipelines.there]
items = "records"
[pipelines.there.steps.work]
site = "far"
argv = ["true"]
"""


def main() -> None:
    """Print each figure in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--bundles", type=int, default=20_000)
    parser.add_argument("--results", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix=".outpost-") as name:
        folder = Path(name)
        (folder / "stoker.toml").write_text(FILE.format(far=folder / "far"))
        with stoker.open(folder) as project:
            measure(project, folder, given)
        over_ssh(folder, given.rounds)


def measure(project: Any, folder: Path, given: argparse.Namespace) -> None:
    """Measure with a project whose store is empty."""
    project.apply()
    visit(project)
    idle = [seconds(lambda: visit(project)) for _ in range(given.rounds)]
    print(f"a visit without news           {statistics.median(idle):8.3f} s")
    keys = [f"k{number}" for number in range(given.tasks)]
    project.push("there", keys)
    out_s = seconds(lambda: visit(project, most_out=given.tasks, limit_s=600))
    work_s = seconds(lambda: running.run(str(folder / "far" / "spool"), slots=2))
    home_s = seconds(lambda: visit(project, most_out=given.tasks, limit_s=600))
    project.push("here", keys)
    base_s = seconds(lambda: project.run("here", slots=2))
    each = 1000 / given.tasks
    if given.results:
        bring_home(project, folder, given.results)
    print(f"{given.tasks:,} tasks: taken out              {out_s * each:8.3f} ms each")
    print(f"              brought home           {home_s * each:8.3f} ms each")
    print(f"              worked from files    {given.tasks / work_s:8.0f} a second")
    print(f"              worked from the store {given.tasks / base_s:7.0f} a second")
    spool = Spool(str(folder / "far" / "spool"))
    for number in range(given.bundles):
        (folder / "far" / "spool" / "todo" / f"{1 << 63:016x}-{number:032x}.json").write_bytes(b"")
    began = time.perf_counter()
    states = spool.states()
    list_s = time.perf_counter() - began
    size = len(json.dumps(dict.fromkeys(states, "todo")))
    print(f"{len(states):,} bundles: listed in          {list_s:8.3f} s, {size / 1e6:.2f} MB")
    print(f"              a visit                {seconds(lambda: look(project)):8.3f} s")


def bring_home(project: Any, folder: Path, results: int) -> None:
    """Claim, record and bring home many attempts, by what a worker asks of its link."""
    project.push("there", [f"r{number}" for number in range(results)])
    visit(project, most_out=results, limit_s=600)
    spool = Spool(str(folder / "far" / "spool"))
    spool.check()
    link = FilesLink(spool)
    worker = link.enlist(
        NewWorker(
            host=link.host, name="w", pid=1, slots=4, cpus=4, memory_bytes=1 << 33,
            scratch="/scratch", boot_id="boot", lease_s=3600.0,
        )
    )  # fmt: skip
    began, done = time.perf_counter(), 0
    while done < results:
        claimed = link.claim(worker, limit=16, cpus_free=16).tasks
        link.finish([succeeded(one) for one in claimed])
        done += len(claimed)
    print(
        f"claim and record               {(time.perf_counter() - began) * 1000 / done:8.3f} ms a task"
    )
    link.retire(worker)
    visits, recorded, longest_s = 0, 0, 0.0
    while recorded < results:
        began = time.perf_counter()
        recorded += visit(project).recorded
        longest_s = max(longest_s, time.perf_counter() - began)
        visits += 1
    print(f"{results:,} results at once: {visits} visits of at most {longest_s:.1f} s")


def succeeded(one: Any) -> Result:
    """The end of an attempt that made nothing."""
    now_us = time.time_ns() // 1000
    return Result(
        attempt=one.attempt, task_id=one.task_id, state=AttemptState.SUCCEEDED,
        verdict=Verdict.DONE, started_us=now_us, ended_us=now_us, exit_code=0,
    )  # fmt: skip


def over_ssh(folder: Path, rounds: int) -> None:
    """Visit an outpost on a host that ssh reaches, beside an ssh that does nothing."""
    keys = folder / "sshd"
    keys.mkdir()
    lab = folder / "lab"
    lab.mkdir()
    program = Path(sys.executable).with_name("stoker")
    text = FILE.format(far=folder / "remote").replace(
        "[sites.far]", f'[sites.far]\nssh = "site"\nstoker = "{program}"'
    )
    (lab / "stoker.toml").write_text(text)
    with Sshd(keys) as host, stoker.open(lab) as project:
        os.environ["RSYNC_RSH"] = host.command
        project.apply()
        visit(project)
        plain, whole = [], []
        for _ in range(rounds):
            nothing = [*host.command.split(), "site", "true"]
            plain.append(seconds(lambda nothing=nothing: subprocess.run(nothing, check=True)))
            whole.append(seconds(lambda: visit(project)))
    ssh_s, visit_s = statistics.median(plain), statistics.median(whole)
    print(f"ssh that does nothing          {ssh_s:8.3f} s")
    print(f"a visit without news over ssh  {visit_s:8.3f} s, {visit_s - ssh_s:.3f} s besides ssh")


def visit(project: Any, **more: Any) -> Visited:
    """Visit the outpost, without a worker that is started there."""
    with project.store.reading() as unit:
        (entry,) = entries.entries(unit)
    return Visit(project.store, entry.outpost, place=entry.place, brings_worker=False, **more).run()


def look(project: Any) -> None:
    """Greet the outpost and list what is there."""
    with project.store.reading() as unit:
        (entry,) = entries.entries(unit)
    with Line(entry.outpost) as line:
        line.ask("hello", {"store": project.store.identity.uid, "epoch": project.store.epoch})
        line.ask("list")


def seconds(act: Callable[[], object]) -> float:
    """Return how long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
