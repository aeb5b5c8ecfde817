"""Pilots on a real Grid Engine, whatever happens to them.

Its nodes have no network: they reach the database by the server's socket, a file.
"""

import os
import re
import signal

import psutil
import pytest

import servers
from batch.piloted import GATED, QUICK, Piloted, job_of
from integration.work.rig import wait_until
from stoker.batch import runner

pytestmark = [pytest.mark.gridengine, pytest.mark.postgresql, pytest.mark.timeout(300)]
SHORT = "[pipelines.p.steps.s]\nrun = 'sleep 0.2; true'\ntimeout = '1m'\n"
LONGER = "[pipelines.p.steps.s]\nrun = 'sleep 1; true'\ntimeout = '1m'\n"
LONG = "[pipelines.p.steps.s]\nrun = 'sleep 600; true'\n"


def by_socket(url):
    """The same database by the socket of its server."""
    server = servers.server("postgresql")
    name = url.rpartition("/")[2]
    return f"postgresql+psycopg://postgres@/{name}?host={server.folder}&port={server.port}"


@pytest.fixture
def here(grid_engine, monkeypatch):
    """Variables of a host on which its commands are, as this one is."""
    env = grid_engine.env | {"PATH": f"{grid_engine.programs}:{os.environ['PATH']}"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env


@pytest.fixture
def piloted(here, lab):
    made = []

    def make(steps, *, manners=QUICK, batch="", env=here, **settings):
        text = f'[batch.main]\nsystem = "gridengine"\ntime_limit = "10m"\n{batch}\n{steps}'
        own = lab(text, kind="postgresql", env=env, through=by_socket)
        found = Piloted(own, manners, **settings)
        made.append(found)
        return found

    yield make
    for one in made:
        one.close()


def test_pilots_share_the_work_and_end_in_order(grid_engine, piloted):
    found = piloted(GATED, batch="max_pilots = 3")
    found.share(3)
    assert {row.host for row in found.pilots} == {"gehost"}
    assert {row.batch_id.partition(":")[0] for row in found.pilots} == {"default"}
    for row in found.pilots:
        job = job_of(row)
        record = wait_until(lambda job=job: grid_engine.record(job), "it is in the records")
        assert re.search(r"^exit_status +0 *$", record, re.MULTILINE), record


def test_scratch_is_in_the_folder_that_grid_engine_makes_for_the_job(piloted):
    step = "[pipelines.p.steps.s]\nrun = 'pwd >{out.at}'\noutputs.at = 'at/{key}'\ntimeout = '1m'\n"
    found = piloted(step, batch="max_pilots = 1")
    found.lab.push(1)
    found.visit_until(found.is_done, "it is done")
    job = job_of(found.pilots[0])
    assert (found.lab.folder / "at/k0000").read_text().startswith(f"/tmp/{job}.1.main.q/stoker/")


def test_a_deleted_pilot_fails_no_task_and_another_comes(grid_engine, piloted):
    found = piloted(LONGER, batch="max_pilots = 1")
    found.lab.push(12)
    found.visit()
    grid_engine.run("qdel", job_of(found.working()))
    found.visit_until(found.is_done, "another does the rest", within_s=120)
    found.visit_until(lambda: found.states[0] not in ("waiting", "running"), "it is over")
    assert found.states[0] in ("cancelled", "lost")
    assert found.batch.status()["main"].held is False
    assert {one.state for one in found.project.attempts()} <= {"succeeded", "cancelled"}


def test_a_pilot_that_is_killed_with_its_warden_is_lost_and_its_work_is_done(piloted):
    found = piloted(SHORT, batch="max_pilots = 1")
    found.lab.push(8)
    found.visit()
    row = found.working()
    for process in psutil.process_iter(["cmdline"]):
        if row.id in (process.info["cmdline"] or []):
            process.kill()
    found.visit_until(found.is_done, "another does the rest", within_s=120)
    found.visit_until(lambda: found.states[0] == "lost", "it is known to be lost")
    assert "failed" not in found.lab.states()


def test_an_order_to_cancel_ends_all_of_them(piloted):
    found = piloted(LONG, batch="max_pilots = 2")
    found.lab.push(1)
    found.visit()
    found.working()
    found.lab.stoker("batch", "hold", "main", "--reason", "service")
    assert "end" in found.lab.stoker("batch", "cancel", "main", "--reason", "service")
    found.visit_until(lambda: found.states == ["cancelled"], "it ended")
    assert found.pilots[0].reason == "cancelled by root: service"
    wait_until(lambda: found.lab.states() == {"ready": 1}, "its task is ready again")


def test_a_broken_preparation_holds_it_with_its_words(piloted):
    found = piloted(SHORT, batch='prepare = "frobnicate --all"')
    found.lab.push(3)
    found.visit_until(lambda: found.batch.status()["main"].held, "it is held", within_s=120)
    assert found.states == ["failed"] * 3
    assert "frobnicate" in found.lab.stoker("status")


def test_what_grid_engine_refuses_is_said(piloted):
    found = piloted(SHORT, batch='options = ["-q", "wrong.q"]')
    found.lab.push(1)
    found.visit_until(lambda: found.batch.status()["main"].held, "it is held")
    assert found.states == ["refused"] * 10
    assert "wrong.q" in found.lab.stoker("status")


def test_what_can_never_start_is_taken_back(grid_engine, piloted):
    found = piloted(SHORT, batch='options = ["-wd", "/nowhere"]')
    found.lab.push(1)
    found.visit_until(lambda: "refused" in found.states, "it is refused")
    row = next(row for row in found.pilots if row.state == "refused")
    assert "could not be started" in row.reason


def test_a_task_longer_than_a_pilot_is_held_after_two(piloted):
    found = piloted(LONG, batch="max_pilots = 1", time_limit_s=15.0)
    found.lab.push(1)
    found.visit_until(lambda: found.lab.states() == {"held": 1}, "it is held", within_s=150)
    found.visit_until(lambda: found.states == ["ended", "ended"], "both ended at their limit")
    assert {row.reason for row in found.pilots} == {"time limit"}


def test_a_rescheduled_pilot_is_the_same_one_again(grid_engine, piloted):
    found = piloted(LONG, batch="max_pilots = 1")
    found.lab.push(1)
    found.visit()
    job = job_of(found.working())
    grid_engine.run("qalter", "-r", "y", job)
    grid_engine.run("qmod", "-rj", job, user="sgeadmin")
    # Until then the batch system has it among the waiting, where no work seems to be left for it.
    wait_until(lambda: "Rr" in grid_engine.run("qstat"), "it runs again", within_s=120)
    again = f"default:{job}.1"
    found.visit_until(
        lambda: any(one.batch_id == again for one in found.project.attempts(state="running")),
        "it works again", within_s=120,
    )  # fmt: skip
    found.visit()
    assert [(row.state, row.batch_id) for row in found.pilots] == [("running", again)]
    assert {one.state for one in found.project.attempts()} <= {"running", "lost", "cancelled"}


def test_a_master_that_is_silent_changes_nothing(grid_engine, piloted, monkeypatch):
    monkeypatch.setattr(runner, "LIMIT_S", 5.0)
    found = piloted(LONG, batch="max_pilots = 3")
    found.lab.push(6)
    found.visit()
    found.working()
    grid_engine.signal_master(signal.SIGSTOP)
    for _ in range(2):
        found.visit()
    assert found.states == ["running"], "nothing is concluded, nothing submitted"
    assert "did not answer" in found.batch.status()["main"].trouble
    grid_engine.signal_master(signal.SIGCONT)
    found.visit_until(lambda: not found.batch.status()["main"].trouble, "it answers again")
    assert found.states[0] == "running"


def test_pilots_are_submitted_on_another_host(here, piloted, login_node, monkeypatch):
    for name in here:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", os.defpath)
    login = login_node(here)
    found = piloted(GATED, batch='max_pilots = 2\nssh = "login"', env={})
    assert found.batch.visitors["main"].system.cluster == "default", "as a job there calls it"
    found.share(2)
    assert {row.host for row in found.pilots} == {"gehost"}
    login.daemon.terminate()
    login.daemon.wait()
    found.lab.stoker("rerun", "k0000")
    found.visit()
    assert "`ssh login`" in found.batch.status()["main"].trouble
