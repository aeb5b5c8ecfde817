"""`stoker work` in jobs of a real Slurm."""

import os

import pytest

from integration.work.rig import wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.mariadb, pytest.mark.timeout(300)]


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
    for _ in range(2):  # two beside each other, twice
        jobs = [slurm.submit(found.work("--slots 2"), "-c", "2", *log_of(found)) for _ in range(2)]
        for job in jobs:
            wait_until(lambda job=job: runs_something(found, f"rig:{job}.0"), "it works")
            slurm.run("scancel", job)
        wait_until(lambda jobs=jobs: all(map(slurm.is_over, jobs)), "they end", within_s=60)
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
        (["-n", "2", "-c", "1"], "srun -c 1 bash -c '{work}'", [1, 1]),
        (["-n", "2"], "srun bash -c '{work}'", [1, 1]),
    ],
    ids=["batch", "step-with-cpus", "step"],
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


LONG = """
[pipelines.p.steps.s]
run = "sleep 600"
"""


def running_job(slurm, found, *options):
    """A job whose worker runs something."""
    job = slurm.submit(found.work(), *options, *log_of(found))
    wait_until(lambda: runs_something(found, f"rig:{job}.0"), "it works")
    return job


def test_a_step_longer_than_its_jobs_is_held_after_two(slurm, lab):
    found = lab(LONG)
    found.push(1)
    for n in (1, 2):
        job = slurm.submit(found.work("--time-limit 12s"), *log_of(found))
        wait_until(lambda job=job: slurm.is_over(job), "it ends", within_s=90)
        assert slurm.state(job) == "COMPLETED"
        assert found.states() == ({"ready": 1} if n == 1 else {"held": 1})
    assert "cut off after" in found.stoker("why", "k0000")


def test_a_worker_knows_the_end_of_its_job(slurm, lab):
    found = lab(LONG)
    found.push(1)
    job = running_job(slurm, found)
    with found.project() as project:
        (worker,) = project.workers()
    left_s = (worker.ends_at - worker.started_at).total_seconds()
    assert 280 < left_s <= 300
    slurm.run("scancel", job)
    wait_until(lambda: slurm.is_over(job), "it ends", within_s=60)
    assert found.states() == {"ready": 1}


def test_a_job_that_is_requeued_fails_no_task(slurm, lab):
    found = lab(LONG)
    found.push(1)
    job = running_job(slurm, found, "--requeue")
    slurm.run("scontrol", "requeue", job)
    wait_until(lambda: found.states() == {"ready": 1} or restarted(found, job), "it is taken back")
    wait_until(lambda: restarted(found, job), "it runs again", within_s=60)
    slurm.run("scancel", job)
    wait_until(lambda: slurm.is_over(job), "it ends", within_s=60)
    assert found.states() == {"ready": 1}
    with found.project() as project:
        seen = {one.state for one in project.attempts()}
    assert seen <= {"cancelled", "lost"}


def restarted(found, job):
    return runs_something(found, f"rig:{job}.1")


@pytest.mark.parametrize(
    ("number", "options"),
    [("USR1", ["--batch"]), ("USR2", ["--full"])],
    ids=["warden", "all"],
)
def test_a_warning_fails_no_task(slurm, lab, number, options):
    found = lab("[pipelines.p.steps.s]\nrun = 'sleep 2; true'")
    found.push(2)
    job = running_job(slurm, found)
    slurm.run("scancel", f"--signal={number}", *options, job)
    wait_until(lambda: slurm.is_over(job), "it ends", within_s=60)
    assert slurm.state(job) == "COMPLETED"
    assert set(found.states()) <= {"done", "ready"}
    assert found.states().get("ready", 0) >= 1, "it took no more"


def test_a_job_that_is_suspended_loses_its_work_to_others_and_goes_on(slurm, lab):
    found = lab("[pipelines.p.steps.s]\nrun = 'sleep 1; true'")
    found.push(3)
    job = running_job(slurm, found)
    slurm.run("scontrol", "suspend", job)
    found.stoker("work", "--drain")
    assert found.states() == {"done": 3}
    slurm.run("scontrol", "resume", job)
    slurm.run("scancel", job)
    wait_until(lambda: slurm.is_over(job), "it ends", within_s=60)
    assert found.states() == {"done": 3}
