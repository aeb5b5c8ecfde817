"""Pilots on a real Slurm, whatever happens to them."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import servers
from batch.piloted import GATED, QUICK, Piloted, job_of
from docs import transcript
from docs.test_store_pages import PAGES, PASSWORD
from docs.test_tutorial import environment
from docs.transcript import Command
from integration.work.rig import wait_until
from stoker.batch import runner

pytestmark = [pytest.mark.slurm, pytest.mark.postgresql, pytest.mark.timeout(300)]
SHORT = "[pipelines.p.steps.s]\nrun = 'sleep 0.2; true'\ntimeout = '1m'\n"
LONG = "[pipelines.p.steps.s]\nrun = 'sleep 600; true'\n"


@pytest.fixture
def piloted(slurm, lab, monkeypatch):
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    made = []

    def make(steps, *, manners=QUICK, batch="", **settings):
        text = (
            f'[batch.main]\nsystem = "slurm"\ntime_limit = "10m"\nmemory = "300M"\n{batch}\n{steps}'
        )
        found = Piloted(lab(text, kind="postgresql", env=slurm.env), manners, **settings)
        made.append(found)
        return found

    yield make
    for one in made:
        one.close()


def test_pilots_share_the_work_and_end_in_order(slurm, piloted):
    found = piloted(GATED, batch="max_pilots = 3")
    found.share(3)
    assert all(slurm.state(job_of(row)) == "COMPLETED" for row in found.pilots)


def test_a_cancelled_pilot_fails_no_task_and_another_comes(slurm, piloted):
    found = piloted(SHORT, batch="max_pilots = 1")
    found.lab.push(12)
    found.visit()
    slurm.run("scancel", job_of(found.working()))
    found.visit_until(found.is_done, "another does the rest")
    assert found.states[0] == "cancelled"
    assert found.batch.status()["main"].held is False
    assert {one.state for one in found.project.attempts()} <= {"succeeded", "cancelled"}


def test_a_pilot_that_is_killed_with_its_warden_is_lost_and_its_work_is_done(slurm, piloted):
    found = piloted(SHORT, batch="max_pilots = 1")
    found.lab.push(8)
    found.visit()
    row = found.working()
    for process in psutil.process_iter(["cmdline"]):
        if row.id in (process.info["cmdline"] or []):
            process.kill()
    found.visit_until(found.is_done, "another does the rest")
    found.visit_until(lambda: found.states[0] == "lost", "it is known to be lost")
    assert "failed" not in found.lab.states()


GATE = """
[pipelines.p.steps.s]
run = "until [ -e {project}/go ]; do sleep 0.1; done"
timeout = "4m"
"""


def test_a_drained_node_keeps_its_pilot_and_one_set_down_loses_it(slurm, piloted):
    found = piloted(GATE, batch="max_pilots = 1")
    found.lab.push(2)
    found.visit()
    job = job_of(found.working())
    node = slurm.run("squeue", "-h", "-j", job, "-o", "%N")
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    found.visit()
    assert found.states == ["running"]
    assert [one.state for one in found.project.attempts()] == ["running"]
    slurm.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    wait_until(lambda: found.lab.states() == {"ready": 2}, "its task is ready again", within_s=90)
    assert "it waits for a pilot: no worker is alive in" in found.lab.stoker("why", "k0000")
    assert "starts one" not in found.lab.stoker("status")
    found.visit_until(lambda: found.states[0] == "lost", "it is known to be lost")
    assert found.pilots[0].reason == "node_fail"
    (found.lab.folder / "go").touch()
    found.visit_until(found.is_done, "another does it all", within_s=90)
    assert found.batch.status()["main"].held is False
    seen = sorted(one.state for one in found.project.attempts())
    assert seen in (["cancelled", *["succeeded"] * 2], ["lost", *["succeeded"] * 2])


def test_a_node_that_only_the_controller_has_lost_does_its_work_once(slurm, piloted):
    found = piloted(GATE, batch="max_pilots = 1")
    found.lab.push(2)
    found.visit()
    job = job_of(found.working())
    slurm.kill_node(slurm.run("squeue", "-h", "-j", job, "-o", "%N"))
    found.visit_until(lambda: slurm.state(job) == "NODE_FAIL", "it is given up", within_s=90)
    for _ in range(3):
        found.visit()
    assert found.states == ["running"], "its worker lives: nothing else comes in its place"
    (found.lab.folder / "go").touch()
    found.visit_until(found.is_done, "it does its work", within_s=90)
    found.visit_until(lambda: found.states == ["ended"], "it ends without work", within_s=90)
    assert [one.state for one in found.project.attempts()] == ["succeeded"] * 2


def test_an_order_to_cancel_ends_all_of_them(slurm, piloted):
    found = piloted(LONG, batch="max_pilots = 2")
    found.lab.push(1)
    found.visit()
    found.working()
    assert "`main` is held" in found.lab.stoker("batch", "hold", "main", "--reason", "service")
    assert "end" in found.lab.stoker("batch", "cancel", "main", "--reason", "service")
    found.visit_until(lambda: found.states == ["cancelled"], "it ended")
    assert found.pilots[0].reason == "cancelled by root: service"
    wait_until(lambda: found.lab.states() == {"ready": 1}, "its task is ready again")
    found.visit()
    assert found.states == ["cancelled"], "it is held"


def test_a_broken_preparation_holds_it_with_its_words(slurm, piloted):
    found = piloted(SHORT, batch='prepare = "frobnicate --all"')
    found.lab.push(3)
    found.visit_until(lambda: found.batch.status()["main"].held, "it is held")
    assert found.states == ["failed"] * 3
    status = found.lab.stoker("status")
    assert "frobnicate" in status
    assert "frobnicate" in found.lab.stoker("batch", "logs", "main")
    why = found.lab.stoker("why", "k0000")
    assert "held" in why
    assert "stoker batch release main" in why
    found.lab.stoker("batch", "try", "main", code=6)


def test_what_slurm_refuses_is_said(slurm, piloted):
    found = piloted(SHORT, batch='options = ["--partition=wrong"]')
    found.lab.push(1)
    found.visit_until(lambda: found.batch.status()["main"].held, "it is held")
    assert found.states == ["refused"] * 10
    assert "invalid partition" in found.lab.stoker("status")
    assert slurm.run("squeue", "-h", "--states=all", "-n", "nothing") == ""


def test_what_can_never_start_is_taken_back(slurm, piloted):
    found = piloted(SHORT, batch='options = ["--constraint=nowhere"]')
    found.lab.push(1)
    found.visit_until(lambda: "refused" in found.states, "it is refused")


def test_a_maintenance_lets_shorter_pilots_begin_before_it(slurm, piloted):
    slurm.run(
        "scontrol", "create", "reservation", "ReservationName=mt", "StartTime=now+8minutes",
        "Duration=60", "Flags=maint", "Nodes=ALL", "Users=root",
    )  # fmt: skip
    try:
        found = piloted(SHORT, manners=replace(QUICK, first_waiting=1), batch="max_pilots = 2")
        found.lab.push(8)
        found.visit_until(found.is_done, "shorter ones do it", within_s=90)
        long, short = found.pilots
        assert long.started_at is None
        ends_at, started_at = short.ends_at, short.started_at
        assert (ends_at - started_at).total_seconds() < 420
    finally:
        found.batch.cancel("main")
        slurm.run("scontrol", "delete", "ReservationName=mt")


def test_a_node_on_which_all_fail_is_avoided(slurm, piloted):
    found = piloted(
        LONG,
        batch="cpus = 4\nmax_pilots = 2\nprepare = '[ \"$SLURMD_NODENAME\" != n2 ]'",
    )
    found.lab.push(8)
    slurm.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")
    try:
        found.visit()
        found.working()
    finally:
        slurm.run("scontrol", "update", "NodeName=n2", "State=RESUME")
    more = replace(found.batch.visitors["main"].settings)
    visitor = found.batch.visitors["main"]
    assert more.max_pilots == 2
    until_s = time.monotonic() + 60
    while found.states.count("failed") < 3:
        assert time.monotonic() < until_s, found.dump()
        visitor.visit(2)
        time.sleep(0.2)
    visitor.visit(2)
    assert not found.batch.status()["main"].held, found.dump()
    row = found.pilots[-1]
    job = job_of(row)
    assert "ExcNodeList=n2" in slurm.run("scontrol", "show", "job", job)


def test_a_task_longer_than_a_pilot_is_held_after_two(slurm, piloted):
    found = piloted(LONG, batch="max_pilots = 1", time_limit_s=12.0)
    found.lab.push(1)
    found.visit_until(lambda: found.lab.states() == {"held": 1}, "it is held", within_s=100)
    found.visit_until(lambda: found.states == ["ended", "ended"], "both ended at their limit")
    assert {row.reason for row in found.pilots} == {"time limit"}


def test_a_suspended_pilot_loses_its_work_to_others_and_goes_on(slurm, piloted):
    found = piloted("[pipelines.p.steps.s]\nrun = 'sleep 2; true'\n", batch="max_pilots = 1")
    found.lab.push(3)
    found.visit()
    job = job_of(found.working())
    slurm.run("scontrol", "suspend", job)
    found.lab.stoker("work", "--drain")
    assert found.is_done()
    found.visit()
    assert found.states == ["running"]
    slurm.run("scontrol", "resume", job)
    found.visit_until(lambda: found.states == ["ended"], "it ends without work")
    assert sorted(one.state for one in found.project.attempts()) == ["lost", *["succeeded"] * 3]


def test_a_requeued_pilot_is_the_same_one_again(slurm, piloted):
    found = piloted(LONG, batch="max_pilots = 1")
    found.lab.push(1)
    found.visit()
    job = job_of(found.working())
    slurm.run("scontrol", "update", f"JobId={job}", "Requeue=1")
    slurm.run("scontrol", "requeue", job)
    again = f"rig:{job}.1"
    wait_until(
        lambda: any(one.batch_id == again for one in found.project.attempts(state="running")),
        "it works again", within_s=90,
    )  # fmt: skip
    found.visit()
    assert [(row.state, row.batch_id) for row in found.pilots] == [("running", again)]
    assert {one.state for one in found.project.attempts()} <= {"running", "lost", "cancelled"}


def test_a_controller_that_is_silent_then_forgets_and_reuses_ids(slurm, piloted, monkeypatch):
    monkeypatch.setattr(runner, "LIMIT_S", 2.0)
    found = piloted(LONG, batch="max_pilots = 3")
    found.lab.push(6)
    slurm.keep_state("before")
    found.visit()
    wait_until(lambda: found.pilots[0].batch_id is not None, "it is submitted")
    row = found.working()
    slurm.signal_controller(signal.SIGSTOP)
    for _ in range(2):
        found.visit()
    assert found.states == ["running"], "nothing is concluded, nothing submitted"
    assert "did not answer" in found.batch.status()["main"].trouble
    slurm.signal_controller(signal.SIGCONT)
    slurm.restart_controller(forgets="before")
    other = slurm.submit("sleep 30", "-t", "1", "-J", "foreign", "-o", "/dev/null")
    found.visit()
    assert found.pilots[0].id == row.id
    assert found.states[0] == "running", f"its worker lives, whatever job {other} is"
    slurm.run("scancel", other)


def test_the_service_submits_and_visits_beside_it_do_not_add_to_it(slurm, piloted):
    found = piloted(SHORT.replace("0.2", "1"), batch='max_pilots = 2\ntags = ["grid"]\n')
    (found.lab.folder / "stoker.toml").write_text(
        (found.lab.folder / "stoker.toml").read_text() + 'needs = ["grid"]\n'
    )
    found.lab.stoker("apply")
    found.lab.push(12)
    service = subprocess.Popen(
        [Path(sys.executable).parent / "stoker", "up", "--no-web"], cwd=found.lab.folder,
        env=found.lab.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until_s = time.monotonic() + 90
        while found.lab.states().get("done", 0) < 12:
            assert time.monotonic() < until_s, found.dump()
            found.lab.stoker("up", "--once")
            assert sum(state in ("waiting", "running") for state in found.states) <= 2
    finally:
        service.terminate()
        assert service.wait(60) == 0
    assert {one.host for one in found.project.attempts()} != set()
    assert all(one.pilot for one in found.project.attempts())


@pytest.fixture
def login(slurm, piloted, login_node, monkeypatch):
    """A host on which Slurm's commands are; here they are not."""
    found = login_node(slurm.env)
    monkeypatch.delenv("SLURM_CONF")
    return found


def test_pilots_are_submitted_on_another_host(slurm, piloted, login, monkeypatch):
    monkeypatch.setattr(runner, "LIMIT_S", 10.0)
    found = piloted(
        GATED, batch='max_pilots = 2\nssh = "login"\nprepare = "true \'a  b\' \\"$HOME\\""'
    )
    found.share(2)
    assert {row.batch_id.partition(":")[0] for row in found.pilots} == {"rig"}


def test_another_host_that_is_silent_or_gone_changes_nothing(slurm, piloted, login, monkeypatch):
    monkeypatch.setattr(runner, "LIMIT_S", 5.0)
    found = piloted(LONG, batch='max_pilots = 3\nssh = "login"')
    found.lab.push(6)
    found.visit()
    found.working()
    login.daemon.send_signal(signal.SIGSTOP)
    for _ in range(2):
        found.visit()
    assert found.states == ["running"], "nothing is concluded, nothing submitted"
    assert "did not answer" in found.batch.status()["main"].trouble
    login.daemon.send_signal(signal.SIGCONT)
    found.visit_until(lambda: not found.batch.status()["main"].trouble, "it answers again")
    login.daemon.terminate()
    login.daemon.wait()
    found.visit()
    assert "`ssh login`" in found.batch.status()["main"].trouble
    assert "refused" in found.batch.status()["main"].trouble
    assert found.states == ["running"]


def test_the_page_does_what_it_says(slurm, tmp_path):
    server = servers.server("mariadb")
    tmp_path.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    where = server.with_password(PASSWORD).partition("PASSWORD@")[2]
    actions = []
    for action in transcript.read((PAGES / "slurm.md").read_text()):
        action.text = action.text.replace("//stoker@", "//lab@").replace("db.example/lab", where)
        action.text = action.text.replace("/home/you/.lab-password", str(password))
        if getattr(action, "text", "") == "stoker status":
            actions.append(Command(WAIT))
        actions.append(action)
        if action.text == "stoker retry":
            actions.append(Command(WAIT))
    first = next(n for n, one in enumerate(actions) if isinstance(one, Command))
    actions.insert(first, Command("stoker store create"))
    env = environment(project) | slurm.env
    env["PATH"] = f"{slurm.programs}:{env['PATH']}"
    try:
        assert transcript.perform(actions, project, env) == []
    finally:
        subprocess.run(
            [Path(sys.executable).parent / "stoker", "batch", "cancel", "main"], cwd=project,
            env=env, check=True, capture_output=True,
        )  # fmt: skip


WAIT = 'until [ -z "$(stoker tasks --state ready --state running --json)" ]; do sleep 0.2; done'
