"""The recipes for other batch systems, against the output that these systems document."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from stoker.batch.commands import Commands
from stoker.batch.runner import Runner
from stoker.batch.system import Ask, Cause, Phase, Refused, Submitted, Unknown
from stoker.errors import Unavailable
from stoker.model.batch import RECIPES

FOLDER = Path(__file__).parents[2] / "examples" / "batch-commands"
ASK = Ask(
    name="stoker_lab_abc", uid="abc", script="/p/abc.sh", log="/p/abc.log", cpus=4,
    memory_bytes=3 << 30, gpus=1, time_limit_s=5400, options=("-q", "long"), exclude=("bad1",),
)  # fmt: skip


class Programs:
    """Programs that say what they are to, and note with what they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def say(self, name: str, out: str = "", error: str = "", status: int = 0) -> None:
        (self.folder / f"{name}.out").write_text(out)
        (self.folder / f"{name}.error").write_text(error)
        program = self.folder / name
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >>{self.folder}/{name}.words\n'
            f"cat >{self.folder}/{name}.stdin\n"
            f"cat {self.folder}/{name}.out; cat {self.folder}/{name}.error >&2; exit {status}\n"
        )
        program.chmod(0o755)

    def words(self, name: str) -> list[str]:
        return (self.folder / f"{name}.words").read_text().splitlines()

    def stdin(self, name: str) -> str:
        return (self.folder / f"{name}.stdin").read_text()


@pytest.fixture
def programs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{Path(sys.executable).parent}:/usr/bin:/bin")
    return Programs(tmp_path / "bin")


@pytest.fixture
def recipe(programs, tmp_path):
    def of(name):
        words = {verb: (str(FOLDER / name), verb) for verb in ("submit", "status", "cancel")}
        return Commands(name, words, Runner(cwd=str(tmp_path), limit_s=20))

    return of


def states(system, *names):
    found = system.look(names)
    return {
        name: (one.phase, one.cause, one.host) for name, several in found.items() for one in several
    }


def test_each_system_that_is_refused_by_name_has_a_recipe():
    assert {path.name for path in FOLDER.iterdir() if os.access(path, os.X_OK)} == set(RECIPES)
    for name in RECIPES:
        text = (FOLDER / name).read_text()
        assert "Not tried on a real one" in text
        line = next(line for line in text.splitlines() if line.startswith("commands = "))
        assert set(tomllib.loads(line)["commands"]) == {"submit", "status", "cancel"}


@pytest.mark.parametrize("name", RECIPES)
def test_without_the_system_nothing_is_answered(recipe, name, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # this machine may have some
    (tmp_path / "job.json").write_text((FOLDER / "job.json").read_text())
    with pytest.raises(Unavailable):
        recipe(name).look(["stoker_lab_abc"])
    assert isinstance(recipe(name).submit(ASK), Unknown)


# --------------------------------------------------------------------------------------------- PBS

QSTAT = {
    "timestamp": 1700000000, "pbs_version": "23.06.06", "pbs_server": "pbs",
    "Jobs": {
        "1.pbs": {"Job_Name": "a", "job_state": "R", "exec_host": "node1/0*4", "comment": "Job run"},
        "2.pbs": {"Job_Name": "b", "job_state": "Q", "comment": "Not Running: Insufficient amount"},
        "3.pbs": {"Job_Name": "c", "job_state": "F", "Exit_status": 0},
        "4.pbs": {"Job_Name": "d", "job_state": "F", "Exit_status": -29},
        "5.pbs": {"Job_Name": "e", "job_state": "F", "Exit_status": 271},
        "6.pbs": {"Job_Name": "f", "job_state": "H"},
        "7.pbs": {"Job_Name": "other", "job_state": "R"},
    },
}  # fmt: skip


def test_pbs(recipe, programs):
    programs.say("qsub", "17.pbs\n")
    system = recipe("pbs")
    assert system.submit(ASK) == Submitted("17.pbs")
    words = programs.words("qsub")
    assert "select=1:ncpus=4:mem=3145728kb:ngpus=1" in words
    assert "walltime=01:30:00" in words
    assert words[-1] == "/p/abc.sh"
    assert words[words.index("-q") + 1] == "long"
    programs.say("qselect", "1.pbs\n2.pbs\n")
    programs.say("qstat", json.dumps(QSTAT), "qstat: 9.pbs Unknown Job Id", 153)
    assert states(system, *"abcdef") == {
        "a": (Phase.RUNNING, None, "node1"),
        "b": (Phase.WAITING, None, None),
        "c": (Phase.OVER, Cause.EXIT, None),
        "d": (Phase.OVER, Cause.TIME, None),
        "e": (Phase.OVER, Cause.CANCELLED, None),
        "f": (Phase.WAITING, None, None),
    }
    programs.say("qdel")
    system.cancel([("a", "1.pbs")])
    assert programs.words("qdel") == ["1.pbs"]


@pytest.mark.parametrize(
    ("error", "is_limit"),
    [("qsub: Unknown queue", False), ("qsub: would exceed queue generic's per-user limit", True)],
)
def test_what_pbs_refuses(recipe, programs, error, is_limit):
    programs.say("qsub", "", error, 170)
    found = recipe("pbs").submit(ASK)
    assert isinstance(found, Refused)
    assert found.is_limit is is_limit
    programs.say("qsub", "", "qsub: cannot connect to server pbs (errno=15010)", 2)
    assert isinstance(recipe("pbs").submit(ASK), Unknown)


# --------------------------------------------------------------------------------------------- LSF

BJOBS = {
    "COMMAND": "bjobs", "JOBS": 6,
    "RECORDS": [
        {"JOBID": "1", "STAT": "RUN", "JOB_NAME": "a", "EXEC_HOST": "4*hostA", "PEND_REASON": ""},
        {"JOBID": "2", "STAT": "PEND", "JOB_NAME": "b", "EXEC_HOST": "", "PEND_REASON": "New job"},
        {"JOBID": "3", "STAT": "DONE", "JOB_NAME": "c", "EXEC_HOST": "hostA"},
        {"JOBID": "4", "STAT": "EXIT", "JOB_NAME": "d",
         "EXIT_REASON": "TERM_RUNLIMIT: job killed after reaching LSF run time limit"},
        {"JOBID": "5", "STAT": "EXIT", "JOB_NAME": "e",
         "EXIT_REASON": "TERM_OWNER: job killed by owner"},
        {"JOBID": "6", "STAT": "EXIT", "JOB_NAME": "f", "EXIT_REASON": ""},
    ],
}  # fmt: skip


def test_lsf(recipe, programs, tmp_path):
    script = tmp_path / "abc.sh"
    script.write_text("#!/bin/bash\nexec true\n")
    programs.say("bsub", "Job <930> is submitted to queue <long>.\n")
    system = recipe("lsf")
    from dataclasses import replace

    assert system.submit(replace(ASK, script=str(script))) == Submitted("930")
    words = programs.words("bsub")
    assert words[words.index("-W") + 1] == "90"
    assert words[words.index("-M") + 1] == "3072MB"
    assert "span[hosts=1] rusage[mem=3072MB] select[hname!='bad1']" in words
    assert programs.stdin("bsub") == script.read_text()
    programs.say("bjobs", json.dumps(BJOBS))
    assert states(system, *"abcdef") == {
        "a": (Phase.RUNNING, None, "hostA"),
        "b": (Phase.WAITING, None, None),
        "c": (Phase.OVER, Cause.EXIT, None),
        "d": (Phase.OVER, Cause.TIME, None),
        "e": (Phase.OVER, Cause.CANCELLED, None),
        "f": (Phase.OVER, Cause.ERROR, None),
    }
    programs.say("bjobs", "", "Job <stoker_*> is not found\n", 255)
    assert states(system, "a") == {}
    programs.say("bjobs", "", "LSF is down. Please wait ...\n", 255)
    with pytest.raises(Unavailable):
        system.look(["a"])
    programs.say("bkill")
    system.cancel([("a", "1")])
    assert programs.words("bkill") == ["-J", "a", "1"]


# ---------------------------------------------------------------------------------------- HTCondor

CONDOR_Q = [
    {"ClusterId": 1, "ProcId": 0, "JobStatus": 1, "StokerPilot": "a"},
    {"ClusterId": 2, "ProcId": 0, "JobStatus": 2, "StokerPilot": "b", "RemoteHost": "slot1@node7"},
    {"ClusterId": 3, "ProcId": 0, "JobStatus": 5, "StokerPilot": "c", "HoldReason": "no such file"},
]
CONDOR_HISTORY = [
    {"ClusterId": 4, "ProcId": 0, "JobStatus": 4, "StokerPilot": "d", "ExitCode": 0, "ExitBySignal": False},
    {"ClusterId": 5, "ProcId": 0, "JobStatus": 3, "StokerPilot": "e",
     "RemoveReason": "The job attribute PeriodicRemove expression '…' evaluated to TRUE"},
    {"ClusterId": 6, "ProcId": 0, "JobStatus": 3, "StokerPilot": "f", "RemoveReason": "via condor_rm (by user x)"},
]  # fmt: skip


def test_htcondor(recipe, programs):
    programs.say("condor_submit", "1234.0 - 1234.0\n")
    system = recipe("htcondor")
    assert system.submit(ASK) == Submitted("1234.0")
    lines = programs.stdin("condor_submit").splitlines()
    assert "request_memory = 3072" in lines
    assert '+StokerPilot = "stoker_lab_abc"' in lines
    assert lines[-1] == "queue"
    programs.say("condor_q", json.dumps(CONDOR_Q))
    programs.say("condor_history", json.dumps(CONDOR_HISTORY))
    assert states(system, *"abcdef") == {
        "a": (Phase.WAITING, None, None),
        "b": (Phase.RUNNING, None, "node7"),
        "c": (Phase.WAITING, None, None),
        "d": (Phase.OVER, Cause.EXIT, None),
        "e": (Phase.OVER, Cause.TIME, None),
        "f": (Phase.OVER, Cause.CANCELLED, None),
    }
    assert system.look(["c"])["c"][0].is_stuck
    programs.say("condor_q", "")
    programs.say("condor_history", "")
    assert states(system, "a") == {}
    programs.say("condor_q", "", "Error: Failed to connect", 1)
    with pytest.raises(Unavailable):
        system.look(["a"])


# ---------------------------------------------------------------------------------------------- OAR

OARSTAT = {
    "42": {"name": "a", "state": "Running", "assigned_network_address": ["node-3"], "message": "R=4"},
    "43": {"name": "b", "state": "Waiting", "message": "Karma = 0.1"},
    "44": {"name": "c", "state": "Terminated"},
    "45": {"name": "d", "state": "Error"},
}  # fmt: skip


def test_oar(recipe, programs):
    programs.say("oarsub", "[ADMISSION RULE] Modify resource description\nOAR_JOB_ID=42\n")
    system = recipe("oar")
    assert system.submit(ASK) == Submitted("42")
    assert "/nodes=1/core=4,walltime=1:30:00" in programs.words("oarsub")
    programs.say("oarstat", json.dumps(OARSTAT))
    expected = {
        "a": (Phase.RUNNING, None, "node-3"),
        "b": (Phase.WAITING, None, None),
        "c": (Phase.OVER, Cause.EXIT, None),
        "d": (Phase.OVER, Cause.ERROR, None),
    }
    assert states(system, *"abcd") == expected
    programs.say("oarstat", json.dumps([{"id": int(id_), **job} for id_, job in OARSTAT.items()]))
    assert states(system, *"abcd") == expected
    programs.say("oarstat", "", "DBI connect failed", 1)
    with pytest.raises(Unavailable):
        system.look(["a"])


# --------------------------------------------------------------------------------------- Kubernetes


def job(name, *conditions):
    listed = [{"type": kind, "status": "True", "reason": reason} for kind, reason in conditions]
    labels = {"app": "stoker", "stoker-pilot": name}
    return {"metadata": {"uid": f"u-{name}", "labels": labels}, "status": {"conditions": listed}}


def pod(name, phase, **more):
    labels = {"app": "stoker", "stoker-pilot": name}
    return {
        "metadata": {"labels": labels},
        "spec": more.pop("spec", {}),
        "status": {"phase": phase, **more},
    }


JOBS = [
    job("a"), job("b"), job("c", ("Complete", "")), job("d", ("Failed", "DeadlineExceeded")),
    job("e", ("Failed", "BackoffLimitExceeded")), job("f"),
]  # fmt: skip
PODS = [
    pod("a", "Running", spec={"nodeName": "node9"}),
    pod("b", "Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
    pod("e", "Failed", reason="Evicted"),
    pod("f", "Pending", containerStatuses=[{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]),
]  # fmt: skip


def test_kubernetes(recipe, programs, tmp_path):
    from dataclasses import replace

    (tmp_path / "job.json").write_text((FOLDER / "job.json").read_text())
    programs.say("kubectl", json.dumps({"metadata": {"uid": "u-1"}}))
    system = recipe("kubernetes")
    assert system.submit(replace(ASK, options=("job.json",))) == Submitted("u-1")
    made = json.loads(programs.stdin("kubectl"))
    assert made["metadata"]["name"] == "stoker-lab-abc"
    assert made["spec"]["activeDeadlineSeconds"] == 5400
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {
        "cpu": "4", "memory": str(3 << 30), "nvidia.com/gpu": "1",
    }  # fmt: skip
    assert container["command"][-1] == "exec /p/abc.sh >>/p/abc.log 2>&1"
    both = tmp_path / "bin" / "kubectl"
    (tmp_path / "jobs").write_text(json.dumps({"items": JOBS}))
    (tmp_path / "pods").write_text(json.dumps({"items": PODS}))
    both.write_text(f"#!/bin/sh\ncat {tmp_path}/$2\n")
    assert states(system, *"abcdef") == {
        "a": (Phase.RUNNING, None, "node9"),
        "b": (Phase.WAITING, None, None),
        "c": (Phase.OVER, Cause.EXIT, None),
        "d": (Phase.OVER, Cause.TIME, None),
        "e": (Phase.OVER, Cause.LOST, None),
        "f": (Phase.WAITING, None, None),
    }
    assert [name for name, (one,) in system.look(list("abf")).items() if one.is_stuck] == ["f"]
    programs.say("kubectl", "", 'jobs.batch "x" is forbidden: exceeded quota: lab', 1)
    refused = system.submit(replace(ASK, options=("job.json",)))
    assert isinstance(refused, Unknown | Refused)


def test_the_recipes_are_plain_python():
    for name in RECIPES:
        subprocess.run(
            [
                sys.executable,
                "-I",
                "-c",
                f"compile(open({str(FOLDER / name)!r}).read(), 'x', 'exec')",
            ],
            check=True,
        )
