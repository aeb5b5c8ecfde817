"""`stoker work` in jobs of a real Grid Engine. Its store is a file: there is no network inside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from batch.gridengine import SETTINGS
from docs import transcript
from docs.test_store_pages import PAGES
from docs.test_tutorial import environment
from integration.work.rig import wait_until

pytestmark = [pytest.mark.gridengine, pytest.mark.timeout(300)]
STOKER = Path(sys.executable).parent / "stoker"
RECORDS = '[pipelines.p]\nitems = "records"\n'


class Lab:
    """A project, and its command line inside the cluster's namespaces."""

    def __init__(self, cluster, folder: Path, text: str) -> None:
        self.cluster, self.folder = cluster, folder
        (folder / "stoker.toml").write_text(text)

    def stoker(self, *arguments: str) -> str:
        done = subprocess.run(
            self.cluster.inside(str(STOKER), *arguments, at=self.folder),
            env=environment(self.folder) | SETTINGS, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def push(self, n: int) -> None:
        self.stoker("push", "p", *(f"k{number}" for number in range(n)))

    def rows(self, *command: str) -> list[dict]:
        return [json.loads(line) for line in self.stoker(*command, "--json").splitlines()]

    def states(self) -> set[str]:
        return {row["state"] for row in self.rows("tasks")}

    def work(self, *options: str, work: str = "") -> str:
        """The id of a job that is a worker."""
        text = f"cd {self.folder}; exec {STOKER} work {work}"
        log = str(self.folder / "job.log")
        return self.cluster.submit(text, "-S", "/bin/bash", "-j", "y", "-o", log, *options)

    def running_job(self, *options: str) -> str:
        job = self.work(*options)
        wait_until(self.runs, "it works")
        return job

    def runs(self) -> bool:
        return bool(self.rows("attempts", "--state", "running"))

    def wait(self, job: str) -> None:
        wait_until(lambda: self.cluster.is_over(job), "it is over", within_s=60)


@pytest.fixture
def lab(grid_engine, tmp_path):
    return lambda steps: Lab(grid_engine, tmp_path, RECORDS + steps)


LONG = "[pipelines.p.steps.s]\nrun = 'sleep 600'"


def test_the_page_does_what_it_says(grid_engine, tmp_path):
    actions = transcript.read((PAGES / "slurm.md").read_text())
    text = next(one.text for one in actions if getattr(one, "path", "") == "stoker.toml")
    pipeline = text[text.index("[pipelines.days.sources") :]
    (tmp_path / "stoker.toml").write_text(pipeline)
    (tmp_path / "raw").mkdir()
    for day in range(1, 7):
        words = "bad" if day == 6 else "good"
        (tmp_path / "raw" / f"2004-05-{day:02}.txt").write_text(f"day {day} {words}\n")
    actions = transcript.read((PAGES / "grid-engine.md").read_text())
    env = environment(tmp_path) | SETTINGS
    shell = grid_engine.inside("bash", "-c", at=tmp_path)
    assert transcript.perform(actions, tmp_path, env, shell) == []


def test_a_worker_knows_its_job(lab):
    found = lab(LONG)
    found.push(1)
    job = found.running_job("-notify", "-l", "h_rt=300")
    (attempt,) = found.rows("attempts")
    (worker,) = found.rows("workers")
    assert attempt["batch_id"] == worker["batch_id"] == f"default:{job}.0"
    assert worker["slots"] == 1
    assert worker["ends_at"] is not None
    found.cluster.run("qdel", job)
    found.wait(job)
    assert found.states() == {"ready"}


@pytest.mark.parametrize("step", ["run = 'sleep 600; true'", "argv = ['sleep', '600']"])
def test_a_job_that_is_deleted_with_notice_ends_in_order(lab, step):
    found = lab(f"[pipelines.p.steps.s]\n{step}")
    found.push(1)
    job = found.running_job("-notify")
    found.cluster.run("qdel", job)
    found.wait(job)
    assert {row["state"] for row in found.rows("attempts")} == {"cancelled"}
    assert found.states() == {"ready"}


def test_a_soft_limit_takes_no_more(lab):
    found = lab("[pipelines.p.steps.s]\nrun = 'sleep 4; true'")
    found.push(9)
    job = found.work("-l", "s_rt=5")
    found.wait(job)
    assert found.states() == {"ready", "done"}
    assert {row["state"] for row in found.rows("attempts")} == {"succeeded"}


def test_a_job_that_is_rescheduled_loses_nothing(lab):
    found = lab(LONG)
    found.push(1)
    job = found.running_job("-r", "y")
    found.cluster.run("qmod", "-rj", job, user="sgeadmin")
    again = f"default:{job}.1"
    wait_until(
        lambda: any(row["batch_id"] == again for row in found.rows("attempts")), "it runs again",
        within_s=90,
    )  # fmt: skip
    assert {row["state"] for row in found.rows("attempts")} <= {"running", "lost", "cancelled"}
    found.cluster.run("qdel", job)
    found.wait(job)
