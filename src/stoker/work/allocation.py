"""Owns the question which part of its host a batch job has been given, by the variables it finds.

They are believed only inside a job: a shell on the login node may have inherited some. Numbers count
only where they are plain integers, as Slurm also writes `24(x2)`.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

_MIB = 1 << 20
_FOLDERS_OF_JOBS = ("SLURM_TMPDIR", "PBS_JOBDIR")  # nobody sets them to a folder that jobs share
_FOLDERS_OF_ALL = ("TMPDIR", "TMP")  # some systems set only the second


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A batch job's part of this host; None where its batch system does not say.

    `cpus` and `memory_bytes` are the job's here, shared by all its workers; `slots` is what one of
    them fills by default. `batch_id` is `CLUSTER:JOB.RESTART`, `room_key` the same for all of them.
    """

    batch_id: str
    room_key: str
    cpus: int | None = None
    slots: int | None = None
    memory_bytes: int | None = None
    pilot: str | None = None  # the id of the pilot that the job is


def with_pilot(
    found: Allocation | None, *, uid: str, batch_id: str, cpus: int, memory_bytes: int | None
) -> Allocation:
    """Return what a pilot has: what its job says, and where that says nothing, what it asked for."""
    if found is None:
        room_key = batch_id.rpartition(".")[0] or batch_id
        found = Allocation(batch_id=batch_id, room_key=room_key)
    slots = min(found.slots or cpus, cpus)
    memory = found.memory_bytes if found.memory_bytes is not None else memory_bytes
    return replace(found, cpus=found.cpus or cpus, slots=slots, memory_bytes=memory, pilot=uid)


def own_allocation(env: Mapping[str, str]) -> Allocation | None:
    """Return what the batch job of this process has been given; None outside batch jobs."""
    for recognise in (_slurm, _grid_engine, _pbs, _lsf):
        found = recognise(env)
        if found is not None:
            return found
    return None


def own_folder(env: Mapping[str, str]) -> str | None:
    """Return the folder on the node that the batch system made for this job alone, and removes with it.

    None where there is none that this account can use. A `TMPDIR` counts only if its last two names
    have the job's number: many sites leave it at `/tmp`, which all jobs share.
    """
    if own_allocation(env) is None:
        return None
    candidates = [env.get(name, "") for name in _FOLDERS_OF_JOBS]
    job = re.match(r"\d+", env.get("SLURM_JOB_ID") or env.get("JOB_ID") or _job_number(env))
    for general in (env.get(name, "") for name in _FOLDERS_OF_ALL):
        name = "/".join(os.path.normpath(general).split("/")[-2:])
        if job is not None and re.search(rf"(?<!\d){job[0]}(?!\d)", name):
            candidates.append(general)
    for path in candidates:
        if os.path.isabs(path) and os.path.isdir(path) and os.access(path, os.W_OK | os.X_OK):
            return os.path.normpath(path)
    return None


def _job_number(env: Mapping[str, str]) -> str:
    return env.get("PBS_JOBID") or env.get("LSB_JOBID") or ""


def _slurm(env: Mapping[str, str]) -> Allocation | None:
    job = env.get("SLURM_JOB_ID")
    if not job or not env.get("SLURMD_NODENAME"):  # the second is set on the nodes only
        return None
    cpus = _number(env, "SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK")
    memory_mib = _number(env, "SLURM_MEM_PER_NODE")
    if memory_mib is None and cpus is not None:
        memory_mib = (_number(env, "SLURM_MEM_PER_CPU") or 0) * cpus or None
    return _allocation(
        env.get("SLURM_CLUSTER_NAME", "slurm"),
        job,
        env.get("SLURM_RESTART_COUNT"),
        cpus=cpus,
        slots=_slurm_slots(env, cpus),
        memory_bytes=memory_mib * _MIB if memory_mib is not None else None,
    )


def _slurm_slots(env: Mapping[str, str], cpus: int | None) -> int | None:
    """Return the cpus of one task of a step; of a batch script, which is no task, all of the job's."""
    is_in_step = env.get("SLURM_STEP_ID", "").isdecimal()
    if is_in_step or env.get("SLURM_NTASKS", "1") == "1":
        per_task = _number(env, "SLURM_CPUS_PER_TASK")
        if per_task is not None:
            return per_task
    tasks, nodes = _number(env, "SLURM_STEP_NUM_TASKS"), _number(env, "SLURM_STEP_NUM_NODES")
    if is_in_step and cpus and tasks and nodes:
        return max(1, cpus // -(-tasks // nodes))
    return cpus


def _grid_engine(env: Mapping[str, str]) -> Allocation | None:
    job = env.get("JOB_ID")
    if not job or "SGE_O_HOST" not in env:  # the first name is nobody's in particular
        return None
    task = env.get("SGE_TASK_ID", "undefined")
    cluster = env.get("SGE_CLUSTER_NAME") or env.get("SGE_CELL") or "gridengine"
    name = job if task == "undefined" else f"{job}-{task}"
    return _allocation(cluster, name, env.get("RESTARTED"), cpus=_number(env, "NSLOTS"))


def _pbs(env: Mapping[str, str]) -> Allocation | None:
    job, _, server = env.get("PBS_JOBID", "").partition(".")
    if not job or env.get("PBS_ENVIRONMENT") is None:
        return None
    cpus = _number(env, "NCPUS", "PBS_NCPUS", "PBS_NUM_PPN")
    return _allocation(server or "pbs", job, None, cpus=cpus)


def _lsf(env: Mapping[str, str]) -> Allocation | None:
    job = env.get("LSB_JOBID")
    if not job or ("LSB_HOSTS" not in env and "LSB_MCPU_HOSTS" not in env):
        return None
    index = env.get("LSB_JOBINDEX", "0")
    name = job if index == "0" else f"{job}-{index}"
    cluster = env.get("LSF_CLUSTER_NAME") or "lsf"
    restart = "1" if env.get("LSB_RESTART") == "Y" else None
    return _allocation(cluster, name, restart, cpus=_number(env, "LSB_DJOB_NUMPROC"))


def _allocation(
    cluster: str,
    job: str,
    restart: str | None,
    *,
    cpus: int | None,
    slots: int | None = None,
    memory_bytes: int | None = None,
) -> Allocation:
    again = restart if restart is not None and restart.isdecimal() else "0"
    return Allocation(
        batch_id=f"{cluster}:{job}.{again}"[:200],
        room_key=f"{cluster}:{job}"[:200],
        cpus=cpus,
        slots=slots or cpus,
        memory_bytes=memory_bytes,
    )


def _number(env: Mapping[str, str], *names: str) -> int | None:
    """Return the first of these variables that is a plain number above nought."""
    for name in names:
        text = env.get(name, "")
        if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0:
            return int(text)
    return None
