"""A real Slurm of one controller and two nodes on this machine, from the installed packages.

The nodes have four cpus each, whatever this machine has. Everything listens on free ports of the
loopback, keeps its files in one folder, and ends with the process. The daemons change their accounts,
so that the kernel forgets with whom they were to die; a shell that reads from this process ends them.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import servers

CPUS = 4  # of each node
NODES = ("n1", "n2")
KILL_WAIT_S = 5  # between TERM and KILL
# `sbatch --wait` looks after 2, 4, 8, … seconds; for the tests, this one looks all the time.
_SBATCH = """\
#!/bin/bash
for word; do
    if [ "$word" = --wait ]; then wait=yes; else words+=("$word"); fi
done
said=$({sbatch} "${{words[@]}}") || exit
echo "$said"
[ "$wait" ] || exit 0
until state=$(squeue -h --states=all -j "${{said##* }}" -o %T) &&
    [[ $state != PENDING && $state != RUNNING && $state != CONFIGURING && $state != COMPLETING ]]
do sleep 0.1; done
[ "$state" = COMPLETED ]
"""
_PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin"


def require() -> None:
    """Skip the test, in CI fail it, where no Slurm can be started."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        servers.unavailable(
            f"Slurm is not installed ({missing[0]}); `requirements/servers` does it"
        )
    if os.geteuid() != 0:
        pytest.skip("only root can start Slurm's daemons")


class Slurm:
    """One cluster, which is up."""

    def __init__(self) -> None:
        require()
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-slurm-"))
        self.folder.chmod(0o755)
        self.env = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self.programs = self.folder / "bin"  # before others on PATH
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._watcher: subprocess.Popen[bytes] | None = None
        try:
            self._configure()
            self._start_munge()
            self._start("slurmctld", "slurmctld", "-D")
            for node in NODES:
                self.start_node(node)
            self._watch()
            self._wait(self._is_up, "Slurm is up")
        except BaseException:
            self.close()
            raise

    def _configure(self) -> None:
        controller, *ports = (servers.free_port() for _ in range(1 + len(NODES)))
        at = self.folder
        for name in ("state", "munge", *(f"spool.{node}" for node in NODES)):
            (at / name).mkdir(mode=0o755)
        nodes = "\n".join(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} "
            "RealMemory=2000 State=UNKNOWN"
            for node, port in zip(NODES, ports, strict=True)
        )
        (at / "slurm.conf").write_text(
            f"""\
ClusterName=rig
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={at}/munge/socket,cred_expire=5
CryptoType=crypto/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool.%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd.%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
PropagateResourceLimits=NONE
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
InactiveLimit=0
KillWait={KILL_WAIT_S}
OverTimeLimit=0
MinJobAge=300
MessageTimeout=10
JobRequeue=1
SlurmdParameters=config_overrides
{nodes}
PartitionName=main Nodes={",".join(NODES)} Default=YES MaxTime=INFINITE DefaultTime=10 State=UP
"""
        )
        self.programs.mkdir()
        sbatch = self.programs / "sbatch"
        sbatch.write_text(_SBATCH.format(sbatch=_found("sbatch")))
        sbatch.chmod(0o755)
        version = "v1" if Path("/sys/fs/cgroup/freezer").is_dir() else "v2"
        (at / "cgroup.conf").write_text(
            f"CgroupPlugin=cgroup/{version}\nCgroupMountpoint=/sys/fs/cgroup\n"
            "CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n"
        )

    def _start_munge(self) -> None:
        at = self.folder / "munge"
        subprocess.run([_found("mungekey"), "--create", f"--keyfile={at}/key"], check=True)
        self._start(
            "munged", "munged", "--foreground", f"--key-file={at}/key", f"--socket={at}/socket",
            f"--pid-file={at}/pid", f"--log-file={at}/log", f"--seed-file={at}/seed",
            "--num-threads=2",
        )  # fmt: skip
        self._wait((at / "socket").exists, "munge listens")

    def start_node(self, node: str) -> None:
        """The node's daemon runs."""
        self._start(node, "slurmd", "-D", "-N", node)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [_found(program), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=os.environ | self.env, start_new_session=True,
            )  # fmt: skip

    def _watch(self) -> None:
        """The daemons, and the steps of jobs, are killed when this process is gone."""
        text = (
            "read -r _; for one in /proc/[0-9]*; do "
            f"grep -qs {self.folder}/ $one/environ && kill -9 ${{one#/proc/}}; done; "
            f"rm -rf {self.folder}"
        )
        self._watcher = subprocess.Popen(
            ["sh", "-c", text], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def _is_up(self) -> bool:
        done = self._ask("sinfo", "-h", "-t", "idle", "-o", "%D")
        return done.stdout.strip() == str(len(NODES))

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        until_s = time.monotonic() + 30
        while not holds():
            dead = [name for name, one in self._daemons.items() if one.poll() is not None]
            if dead or time.monotonic() > until_s:
                words = [f"{one.name}:\n{one.read_text()[-2000:]}" for one in self._logs()]
                raise RuntimeError(f"not in 30 s: {what}; ended: {dead}\n" + "\n".join(words))
            time.sleep(0.05)

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out"))

    def _ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=os.environ | self.env, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """What a command of Slurm's answers; an error if it fails."""
        done = self._ask(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()

    def submit(self, script: str, *options: str, env: Mapping[str, str] | None = None) -> str:
        """The id of a job that runs this text of bash."""
        done = subprocess.run(
            [str(self.programs / "sbatch"), "--parsable", *options], input=f"#!/bin/bash\n{script}\n", text=True,
            env=os.environ | self.env | (env or {}), capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """In which state the job is, as `RUNNING`; the controller knows ended jobs for a while."""
        return self.run("squeue", "-h", "--states=all", "-j", job, "-o", "%T")

    def close(self) -> None:
        """Nothing is left: no job, no daemon, no file."""
        if "slurmctld" in self._daemons:
            self._ask("scancel", "-u", "root")
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.communicate()
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
        for daemon in self._daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _found(program: str) -> str:
    return str(shutil.which(program, path=_PATH))
