"""How fast short real processes are carried out, with full records, beside `xargs -P2 -n1`.

Runs both in turns in one go, so that both see the same machine, and prints rates and their ratio:
`python benchmarks/dispatch.py [--tasks N] [--rounds N] [--slots N]`. GNU parallel with a job log
runs beside them where it is installed.

Stoker works as under `stoker run`, with all that keeps processes contained: a warden, a control
group where one can be made, and the sweep after each attempt. `uncontained` is the same without
these, to tell what they cost.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "/bin/true"
WORK = """
import sys, time
from pathlib import Path
from stoker.model.item import NewItem
from stoker.spec.load import load_project
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.orders import versions
from stoker.store.database.connect import open_store
from stoker.work import brand, contain, warden
from stoker.work.store_link import StoreLink
from stoker.work.worker import Worker

folder, tasks, slots = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def work(_has_said=False):
    loaded = load_project(folder / "stoker.toml")
    store = open_store(loaded.settings.store_url)
    for pipeline in loaded.pipelines.values():
        versions.apply_version(store, pipeline, host="here", path=str(folder))
    register.register(store, "p", (NewItem(key=f"k{n:07}") for n in range(tasks)), Actor("bench"))
    began = time.perf_counter()
    summary = Worker(StoreLink(store), loaded.settings, slots=slots, drain=True).work()
    assert summary.done == tasks, summary
    print(tasks / (time.perf_counter() - began))
    return 0

if sys.argv[4] == "contained":
    sys.exit(warden.guard(work))
contain.Strays.sweep = lambda *_: True
contain.kill_group = lambda *_: None
brand.put = lambda *_: None
work()
"""


def run_stoker(
    step: str,
    tasks: int,
    slots: int,
    files: dict[str, str] | None = None,
    *,
    is_contained: bool = True,
) -> float:
    """Return tasks a second of one worker in a fresh project with the one step."""
    how = "contained" if is_contained else "uncontained"
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        folder = Path(name)
        for path, text in (files or {}).items():
            (folder / path).write_text(text)
        (folder / ".stoker").mkdir()
        (folder / "stoker.toml").write_text(
            f'[project]\nname = "bench"\n[pipelines.p]\nitems = "records"\n'
            f"[pipelines.p.steps.s]\n{step}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", WORK, name, str(tasks), str(slots), how],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(done.stdout)


def run_command(argv: list[str], tasks: int) -> float:
    """Return tasks a second of a program that starts one process for each line of its input."""
    lines = "".join(f"{n}\n" for n in range(tasks))
    began = time.perf_counter()
    subprocess.run(argv, input=lines, text=True, check=True, stdout=subprocess.DEVNULL)
    return tasks / (time.perf_counter() - began)


def main() -> None:
    """Measure in turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    tasks, slots = options.tasks, options.slots
    contestants: dict[str, Callable[[], float]] = {
        "xargs": lambda: run_command(["xargs", f"-P{slots}", "-n1", PROGRAM], tasks),
        "stoker": lambda: run_stoker(f'argv = ["{PROGRAM}"]', tasks, slots),
        "uncontained": lambda: run_stoker(
            f'argv = ["{PROGRAM}"]', tasks, slots, is_contained=False
        ),
    }
    if shutil.which("parallel"):
        log = tempfile.NamedTemporaryFile(prefix="joblog-")  # noqa: SIM115 - until we end
        argv = ["parallel", f"-j{slots}", "--joblog", log.name, PROGRAM]
        contestants["parallel"] = lambda: run_command(argv, tasks // 5)
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(options.rounds):
        for name, run in contestants.items():
            rates[name].append(run())
        print(
            f"round {turn + 1}: "
            + "  ".join(f"{name} {found[-1]:7.0f}/s" for name, found in rates.items())
            + f"  ratio {rates['stoker'][-1] / rates['xargs'][-1]:.2f}",
            file=sys.stderr,
        )
    ratios = {
        name: statistics.median(
            mine / base for mine, base in zip(found, rates["xargs"], strict=True)
        )
        for name, found in rates.items()
    }
    if options.json:
        print(json.dumps({"rates": rates, "ratios": ratios}))
        return
    for name, found in rates.items():
        median = statistics.median(found)
        print(f"{name:11} {median:8.0f} tasks/s   {ratios[name]:.2f} of xargs (median of ratios)")
    share = statistics.median(
        mine / without for mine, without in zip(rates["stoker"], rates["uncontained"], strict=True)
    )
    print(f"with containment {share:.2f} of the rate without it (median of ratios)")


if __name__ == "__main__":
    main()
