"""What a batch job has been given, by the variables of each batch system."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from stoker.model.settings import HostSettings, Settings, WorkerSettings
from stoker.work import usage
from stoker.work.allocation import own_allocation, own_folder
from stoker.work.leftovers import scratch_root
from stoker.work.post import own_place

SLURM = {
    "SLURM_JOB_ID": "216", "SLURMD_NODENAME": "n1", "SLURM_CLUSTER_NAME": "rig",
    "SLURM_CPUS_ON_NODE": "8",
}  # fmt: skip
SGE = {"JOB_ID": "48", "SGE_O_HOST": "login", "SGE_TASK_ID": "undefined", "NSLOTS": "4"}
PBS = {"PBS_JOBID": "77.head.example", "PBS_ENVIRONMENT": "PBS_BATCH", "NCPUS": "3"}
LSF = {"LSB_JOBID": "9", "LSB_HOSTS": "n1 n1", "LSB_DJOB_NUMPROC": "2", "LSB_JOBINDEX": "0"}
MIB = 1 << 20


@pytest.mark.parametrize(
    ("env", "batch_id", "room_key", "cpus", "slots", "memory"),
    [
        (SLURM, "rig:216.0", "rig:216", 8, 8, None),
        (SLURM | {"SLURM_RESTART_COUNT": "2"}, "rig:216.2", "rig:216", 8, 8, None),
        (SLURM | {"SLURM_CPUS_PER_TASK": "4"}, "rig:216.0", "rig:216", 8, 4, None),
        (
            # the batch script of several tasks is none of them
            SLURM | {"SLURM_CPUS_PER_TASK": "2", "SLURM_NTASKS": "4"},
            "rig:216.0", "rig:216", 8, 8, None,
        ),
        (
            SLURM | {"SLURM_CPUS_PER_TASK": "2", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"},
            "rig:216.0", "rig:216", 8, 2, None,
        ),
        (
            # `srun -n 8` on three nodes: at most three of them here
            SLURM | {
                "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "3",
                "SLURM_NTASKS": "8",
            },
            "rig:216.0", "rig:216", 8, 2, None,
        ),
        (SLURM | {"SLURM_CPUS_ON_NODE": "24(x2)"}, "rig:216.0", "rig:216", None, None, None),
        (SLURM | {"SLURM_CPUS_ON_NODE": "-3"}, "rig:216.0", "rig:216", None, None, None),
        (SLURM | {"SLURM_MEM_PER_NODE": "500"}, "rig:216.0", "rig:216", 8, 8, 500 * MIB),
        (SLURM | {"SLURM_MEM_PER_CPU": "100"}, "rig:216.0", "rig:216", 8, 8, 800 * MIB),
        (SLURM | {"SLURM_MEM_PER_NODE": "0"}, "rig:216.0", "rig:216", 8, 8, None),
        (SGE, "gridengine:48.0", "gridengine:48", 4, 4, None),
        (
            SGE | {"RESTARTED": "1", "SGE_CLUSTER_NAME": "lab", "SGE_TASK_ID": "3"},
            "lab:48-3.1", "lab:48-3", 4, 4, None,
        ),
        (PBS, "head.example:77.0", "head.example:77", 3, 3, None),
        (LSF, "lsf:9.0", "lsf:9", 2, 2, None),
    ],
)  # fmt: skip
def test_a_job_is_known_by_its_variables(env, batch_id, room_key, cpus, slots, memory):
    found = own_allocation(env)
    assert found is not None
    assert (found.batch_id, found.room_key) == (batch_id, room_key)
    assert (found.cpus, found.slots, found.memory_bytes) == (cpus, slots, memory)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"SLURM_JOB_ID": "216", "SLURM_NNODES": "1"},  # `salloc` on the login node
        {"JOB_ID": "48", "NSLOTS": "4"},  # a name that anybody may use
        {"PBS_JOBID": "77.head"},
        {"LSB_JOBID": "9"},
        {"NSLOTS": "4", "NCPUS": "4", "SLURM_CPUS_ON_NODE": "4"},
    ],
)
def test_outside_a_job_its_variables_count_for_nothing(env):
    assert own_allocation(env) is None


@pytest.fixture
def big_host(monkeypatch):
    monkeypatch.setattr(usage, "host_cpus", lambda: 32)
    monkeypatch.setattr(usage, "host_memory_bytes", lambda: 64 << 30)


def settings(**more) -> Settings:
    worker = WorkerSettings(hosts={"node*": HostSettings(**more)})
    return Settings(name="p", folder="/p", store_url="sqlite://", worker=worker)


def test_a_job_is_the_limit_also_for_what_the_settings_say(big_host):
    env = SLURM | {"SLURM_CPUS_PER_TASK": "4", "SLURM_MEM_PER_NODE": "1024"}
    place = own_place(settings(cpus=16), "node1", env)
    assert (place.cpus, place.slots, place.memory_bytes) == (8, 4, 1 << 30)
    assert own_place(settings(cpus=2), "node1", env).slots == 2
    outside = own_place(settings(cpus=16), "node1", {})
    assert (outside.cpus, outside.slots, outside.batch_id) == (16, 16, None)


def test_affinity_and_group_are_the_limit_also_for_what_the_job_says(monkeypatch):
    monkeypatch.setattr(usage, "host_cpus", lambda: 2)
    monkeypatch.setattr(usage, "host_memory_bytes", lambda: 1 << 20)
    place = own_place(settings(), "node1", SLURM | {"SLURM_MEM_PER_NODE": "1024"})
    assert (place.slots, place.memory_bytes) == (2, 1 << 20)


@pytest.mark.parametrize(
    ("env", "name", "is_own"),
    [
        (SLURM | {"SLURM_TMPDIR": "{}"}, "any", True),
        (SLURM | {"TMPDIR": "{}"}, "slurm.216", True),
        (SLURM | {"TMPDIR": "{}"}, "216/tmp", True),
        (SLURM | {"TMPDIR": "{}"}, "2160", False),
        (SLURM | {"TMPDIR": "{}"}, "shared", False),
        (SGE | {"TMPDIR": "{}"}, "48.1.main.q", True),
        (SGE | {"TMPDIR": "/tmp", "TMP": "{}"}, "48.1.main.q", True),
        (SGE | {"TMPDIR": "{}"}, "147.1.main.q", False),
        (PBS | {"PBS_JOBDIR": "{}"}, "any", True),
        (PBS | {"TMPDIR": "{}"}, "pbs.77.head", True),
        (LSF | {"TMPDIR": "{}"}, "9.tmpdir", True),
        ({"TMPDIR": "{}", "SLURM_TMPDIR": "{}"}, "216", False),  # a shell that inherited it
    ],
)
def test_a_folder_is_the_jobs_own_where_its_name_or_variable_says_so(tmp_path, env, name, is_own):
    folder = tmp_path / "of" / "jobs" / name
    folder.mkdir(parents=True)
    env = {word: text.format(folder) for word, text in env.items()}
    assert own_folder(env) == (str(folder) if is_own else None)


@pytest.mark.parametrize("there", ["nothing", "file", "relative", "empty"])
def test_a_folder_that_cannot_be_used_is_none(tmp_path, monkeypatch, there):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "216").touch() if there == "file" else None
    path = {"relative": ".", "empty": ""}.get(there, str(tmp_path / "216"))
    assert own_folder(SLURM | {"SLURM_TMPDIR": path, "TMPDIR": path}) is None


def test_scratch_is_in_the_jobs_own_folder_unless_the_file_names_one_for_its_hosts(tmp_path):
    link = SimpleNamespace(host="n1", folder=Path("/store"))
    env = SLURM | {"SLURM_TMPDIR": str(tmp_path)}

    def root(given, **worker):
        settings = Settings(name="p", folder="/p", store_url="", worker=WorkerSettings(**worker))
        return scratch_root(link, settings, given)

    own, other = HostSettings(scratch="/nodes"), HostSettings(scratch="/others")
    assert root({}) == "/store/scratch"
    assert root({}, scratch="/local") == "/local"
    assert root(env) == root(env, scratch="/local") == f"{tmp_path}/stoker"
    assert root(env, scratch="/local", hosts={"m*": other}) == f"{tmp_path}/stoker"
    assert root(env, hosts={"n*": own, "m*": other}) == root({}, hosts={"n*": own}) == "/nodes"
