"""`stoker work` in jobs of a real Slurm."""

import os

import pytest

import servers
from docs.test_store_pages import follow
from docs.test_tutorial import environment
from integration.work.rig import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.mariadb]


def test_the_page_does_what_it_says(slurm, tmp_path):
    server = servers.server("mariadb")
    path = f"{slurm.programs}:{environment(tmp_path)['PATH']}"
    env = slurm.env | {"PATH": path}
    assert follow("slurm.md", tmp_path, server, env=env, before=["stoker store create"]) == []


STEPS = """
[pipelines.p.steps.shell]
run = "sleep 0.3; true"
[pipelines.p.steps.argv]
argv = ["sleep", "0.3"]
[pipelines.p.steps.trap]
run = "trap 'exit 1' TERM; for n in 1 2 3 4 5 6; do sleep 0.05; done"
"""


def test_a_cancelled_job_fails_no_task(slurm, lab):
    found = lab(STEPS)
    found.push(40)
    jobs = []
    while len(jobs) < 4 or any(slurm.state(job) in ("RUNNING", "COMPLETING") for job in jobs):
        running = [job for job in jobs if slurm.state(job) == "RUNNING"]
        if len(jobs) < 4 and len(running) < 2:
            jobs.append(slurm.submit(found.work("--slots 2"), "-c", "2", *log_of(found)))
            continue
        for job in running:
            wait_until(lambda job=job: runs_something(found, f"rig:{job}.0"), "it works")
            slurm.run("scancel", job)
    assert "failed" not in found.states(), found.stoker("failures")
    found.stoker("work", "--drain")
    assert found.states() == {"done": 120}
    with found.project() as project:
        seen = {one.state for one in project.attempts()}
    assert seen <= {"succeeded", "cancelled"}


def runs_something(found, batch_id):
    with found.project() as project:
        return any(one.batch_id == batch_id for one in project.attempts(state="running"))


def log_of(found):
    return "-t", "5", "-o", str(found.folder / "job-%j.log")


@pytest.mark.parametrize(
    ("options", "text", "slots"),
    [
        (["-c", "2"], "{work}", [2]),
        (["-c", "1"], "{work}", [1]),
        (["-n", "2", "-c", "1"], "srun -c 1 bash -c '{work}'", [1, 1]),
        (["-n", "2"], "srun bash -c '{work}'", [1, 1]),
    ],
    ids=["batch-2", "batch-1", "step-with-cpus", "step"],
)
def test_a_worker_fills_what_its_job_has(slurm, lab, options, text, slots):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cpus")
    found = lab("[pipelines.p.steps.s]\nrun = 'true'")
    work = found.work("--drain")
    slurm.submit(text.format(work=work), "--wait", *options, *log_of(found))
    with found.project() as project:
        seen = project.workers(everyone=True)
    assert [one.slots for one in seen] == slots
    assert {one.batch_id is not None for one in seen} == {True}
