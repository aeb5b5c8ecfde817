"""`make demo-slurm`: a year of satellite data on a real Slurm with pilots, one of which is killed.

Everything is started here and gone afterwards: MariaDB, Slurm with two nodes of four cpus, the project in
a folder of its own. Pilots are submitted as `stoker up` does it, only that nothing waits for minutes.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

import servers
from batch.slurm import Slurm
from stoker import open as open_project
from stoker.model.batch import Manners
from stoker.project import Project
from stoker.project.verbs.batch import Batch

EXAMPLE = Path(__file__).parents[2] / "examples" / "satellite"
MADE = (".stoker", "granules", "flags", "stats", "errors", "results", "limits.csv", "__pycache__")
PILOTS = 8
QUICK = Manners(
    idle_s=10, look_s=1, missed_s=1, young_s=1, span_s=1, back_off_s=(0,), first_waiting=PILOTS
)


class Demo:
    """The example in a folder that all nodes see, with its store on a server."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "satellite"
        shutil.copytree(EXAMPLE, self.folder, ignore=shutil.ignore_patterns(*MADE))
        file = self.folder / "stoker.toml"
        text = file.read_text(encoding="utf-8")
        text = re.sub(r'(?m)^url = ".*"$', f'url = "{url}"', text)
        text = text.replace("max_pilots = 240", f"max_pilots = {PILOTS}{_prepared()}")
        file.write_text(text, encoding="utf-8")
        programs = Path(sys.executable).parent
        self._env = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        self.show("grep -A1 '^.store' stoker.toml | sed 's|//.*@|//…@|'")

    def show(self, command: str, *, may_fail: bool = False) -> None:
        """Print a command, and what it prints."""
        print(f"\n$ {command}", flush=True)
        subprocess.run(["bash", "-c", command], cwd=self.folder, env=self._env, check=not may_fail)

    def work(self, then: Callable[[Project, Batch], bool] = lambda _project, _batch: True) -> None:
        """Pilots come and go until nothing is ready or running; `then` is called until it is true."""
        with open_project(self.folder) as project:
            batch = Batch(project, QUICK)
            is_over, shown_s = False, 0.0
            while True:
                batch.visit()
                is_over = is_over or then(project, batch)
                tasks = {
                    word: n
                    for one in project.status().pipelines.values()
                    for word, n in one.tasks.items()
                    if n
                }
                running = [row for row in batch.list() if row.state == "running"]
                if time.monotonic() > shown_s or not tasks.keys() & {"ready", "running"}:
                    counts = ", ".join(f"{n} {word}" for word, n in tasks.items())
                    print(f"  {len(running)} pilots run; tasks: {counts}", flush=True)
                    shown_s = time.monotonic() + 5
                if not tasks.keys() & {"ready", "running"}:
                    return
                time.sleep(0.5)


def _prepared() -> str:
    """The line of the batch system's file that has jobs find the code that this process runs."""
    path = os.environ.get("PYTHONPATH")
    return f'\nprepare = "export PYTHONPATH={path}"' if path else ""


class Killing:
    """Kills all processes of one pilot, as a power cut would: once all run, or enough is done."""

    def __init__(self, days: int) -> None:
        self._few, self._enough = days // 10, days // 3

    def __call__(self, project: Project, batch: Batch) -> bool:
        """Whether it has been done."""
        done = project.status().pipelines["calflags"].tasks.get("done", 0)
        running = sum(row.state == "running" for row in batch.list())
        if done < self._few or (running < PILOTS and done < self._enough):
            return False
        busy = {one.pilot for one in project.attempts(state="running")}
        row = next((one for one in batch.list() if one.id in busy), None)
        if row is None:
            return False
        for process in psutil.process_iter(["cmdline"]):
            if row.id in (process.info["cmdline"] or []):
                process.kill()
        print(f"  kill -9 of pilot {row.id} ({row.batch_id}) on {row.host}", flush=True)
        return True


def main() -> None:
    """Do it all, and leave nothing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=1, help="take every Nth day")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a day takes")
    options = parser.parse_args()
    slurm = Slurm()
    os.environ.update(slurm.env)
    folder = Path(tempfile.mkdtemp(prefix="stoker-satellite-"))
    try:
        folder.chmod(0o755)
        url = servers.server("mariadb").new_database(f"satellite{os.getpid()}")
        play(Demo(folder, url), slurm, every=options.every, seconds=options.seconds)
    finally:
        slurm.close()
        servers.close_all()
        shutil.rmtree(folder, ignore_errors=True)


def play(demo: Demo, slurm: Slurm, *, every: int, seconds: float) -> None:
    """What a person would type, with the pilots' visits between."""
    demo.show("stoker store create && stoker apply")
    demo.show(f"python3 make_days.py --every {every}")
    demo.show(
        f"find granules -name '*.txt' | stoker push calflags --from - --set seconds={seconds:g}"
    )
    print(f"\nStoker submits up to {PILOTS} pilots; one of them is killed with all that it runs.")
    demo.work(Killing(365 // every))
    demo.show("stoker failures")
    print(
        "\nThe archive delivers the lists again, and somebody adds the limits. One command repairs all:"
    )
    demo.show(f"python3 make_days.py --every {every} --redeliver")
    demo.show("stoker retry --reason 'limits added, lists delivered again'")
    demo.work()
    print("\nThe summaries of the years are short work, done right here:")
    demo.show("stoker run")
    demo.show("stoker status")
    demo.show("stoker batch list --all")
    demo.show("stoker attempts --json | python3 nodes.py")
    print("\nand Slurm's own record of the same jobs:")
    print(slurm.run("squeue", "--states=all", "-o", "%.8i %.24j %.10T %.10M %.6N"))
    demo.show("stoker batch cancel main --reason 'the demo is over'")
    demo.show("stoker store check")


if __name__ == "__main__":
    main()
