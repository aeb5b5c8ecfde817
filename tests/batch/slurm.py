"""A real Slurm of one controller and two nodes on this machine, from the installed packages.

The nodes have four cpus each, whatever this machine has. Everything listens on free ports of the
loopback, keeps its files in one folder, and ends with the process. The daemons change their accounts,
so that the kernel forgets with whom they were to die; a shell that reads from this process ends them.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

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


def require(more: Sequence[str] = ()) -> None:
    """Skip the test, in CI fail it, where no Slurm can be started."""
    missing = [name for name in (*_PROGRAMS, *more) if shutil.which(name, path=_PATH) is None]
    if missing:
        servers.unavailable(
            f"Slurm is not installed ({missing[0]}); `requirements/servers` does it"
        )
    if os.geteuid() != 0:
        pytest.skip("only root can start Slurm's daemons")


class Slurm:
    """One cluster, which is up. `inside` are the words that run a command where it is, if not here.

    With `accounting`, the URL of an empty database of MariaDB, it has `slurmdbd`, and limits by user.
    """

    def __init__(self, inside: Sequence[str] = (), *, accounting: str | None = None) -> None:
        require(("slurmdbd", "sacctmgr") if accounting is not None else ())
        self.inside = inside
        self._accounting = accounting
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-slurm-"))
        self.folder.chmod(0o755)
        self.env = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        self.programs = self.folder / "bin"  # before others on PATH
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._watcher: subprocess.Popen[bytes] | None = None
        try:
            self._configure()
            self._start_munge()
            if self._accounting is not None:
                self._start_accounting()
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
{self._about_accounting()}
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

    def _about_accounting(self) -> str:
        """The lines of the configuration; with accounting, it also says who may have how many jobs."""
        if self._accounting is None:
            return "AccountingStorageType=accounting_storage/none"
        self.accounting_port = servers.free_port()
        return (
            "AccountingStorageType=accounting_storage/slurmdbd\n"
            "AccountingStorageHost=127.0.0.1\n"
            f"AccountingStoragePort={self.accounting_port}\n"
            f"AccountingStoragePass={self.folder}/munge/socket\n"
            "AccountingStorageEnforce=associations,limits,qos"
        )

    def _start_accounting(self) -> None:
        """The daemon that keeps accounts runs, and knows the cluster and this account."""
        found = urlsplit(self._accounting or "")
        file = self.folder / "slurmdbd.conf"
        file.write_text(
            f"""\
AuthType=auth/munge
AuthInfo=socket={self.folder}/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={self.accounting_port}
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile={self.folder}/slurmdbd.log
PidFile={self.folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={found.port}
StorageUser={found.username}
StorageLoc={found.path.strip("/")}
"""
        )
        file.chmod(0o600)
        self._start("slurmdbd", "slurmdbd", "-D")
        self._wait(lambda: self._account("list", "cluster"), "slurmdbd answers")
        for words in (
            ("add", "cluster", "rig"),
            ("add", "account", "lab"),
            ("add", "user", "root", "Account=lab"),
            ("modify", "user", "root", "set", "DefaultAccount=lab"),
        ):
            self._account(*words)

    def _account(self, *words: str) -> bool:
        return self.ask("sacctmgr", "-i", *words).returncode == 0

    def limit_jobs(self, n: int) -> None:
        """No user of the usual quality of service may have more than `n` jobs, however they stand."""
        self.run("sacctmgr", "-i", "modify", "qos", "normal", "set", f"MaxSubmitJobsPerUser={n}")

    def start_node(self, node: str) -> None:
        """The node's daemon runs."""
        self._start(node, "slurmd", "-D", "-N", node)

    def kill_node(self, node: str) -> None:
        """The node's daemon is killed; what its jobs run goes on."""
        self._daemons[node].kill()
        self._daemons[node].wait()

    def restart_node(self, node: str) -> None:
        """The node's daemon is killed and begins again; what its jobs run goes on."""
        self.kill_node(node)
        self.start_node(node)

    def signal_controller(self, number: int) -> None:
        """The daemon that answers gets a signal."""
        self._daemons["slurmctld"].send_signal(number)

    def restart_controller(self, *, forgets: str = "") -> None:
        """The daemon that answers is killed and begins again.

        With `forgets`, as if nothing had been written since that copy of its state was made.
        """
        daemon = self._daemons["slurmctld"]
        daemon.kill()
        daemon.wait()
        if forgets:
            shutil.rmtree(self.folder / "state")
            shutil.copytree(self.folder / forgets, self.folder / "state")
        self._start("slurmctld", "slurmctld", "-D")
        self._wait(lambda: self.ask("squeue", "-h").returncode == 0, "the controller answers")

    def keep_state(self, name: str) -> None:
        """There is a copy of what the controller would find after a power cut now."""
        self.run("scontrol", "reconfigure")
        shutil.copytree(
            self.folder / "state",
            self.folder / name,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("*.new"),  # which it is just writing
        )

    def _start(self, name: str, program: str, *arguments: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [*self.inside, _found(program), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
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
        done = self.ask("sinfo", "-h", "-t", "idle", "-o", "%D")
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

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What a command of Slurm's says, and how it ends."""
        return subprocess.run(
            [*self.inside, *command], env=os.environ | self.env, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """What a command of Slurm's answers; an error if it fails."""
        done = self.ask(*command)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout.strip()

    def submit(self, script: str, *options: str, env: Mapping[str, str] | None = None) -> str:
        """The id of a job that runs this text of bash."""
        done = subprocess.run(
            [*self.inside, str(self.programs / "sbatch"), "--parsable", *options], input=f"#!/bin/bash\n{script}\n", text=True,
            env=os.environ | self.env | (env or {}), capture_output=True, check=False, timeout=100,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """In which state the job is, as `RUNNING`; the controller knows ended jobs for a while."""
        return self.run("squeue", "-h", "--states=all", "-j", job, "-o", "%T")

    def is_over(self, job: str) -> bool:
        """Whether the job has ended, and its node is done with it."""
        return self.state(job) not in (
            "PENDING",
            "CONFIGURING",
            "RUNNING",
            "SUSPENDED",
            "COMPLETING",
        )

    def clear(self) -> None:
        """No job is left, and every node takes new ones, whatever a test did; if need be by force.

        A node that had trouble with a job takes no more until somebody says so.
        """
        self.signal_controller(signal.SIGCONT)
        for node in NODES:
            if self._daemons[node].poll() is not None:
                self.start_node(node)
        until_s = time.monotonic() + 60
        while self.run("squeue", "-h", "-o", "%i %T") or not self._is_up():
            if time.monotonic() > until_s:
                raise RuntimeError(f"the cluster was not empty in 60 s:\n{self.stands()}")
            for job in self.run("squeue", "-h", "-t", "SUSPENDED", "-o", "%i").split():
                self.ask("scontrol", "resume", job)  # as one that is suspended does not end
            self.ask("scancel", "-u", "root")
            for node in NODES:
                state = self.run("sinfo", "-h", "-n", node, "-o", "%T").upper()
                if "DRAIN" in state or "DOWN" in state:
                    self.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
            time.sleep(0.1)

    def stands(self) -> str:
        """What a person would look at: jobs, nodes, and the end of the controller's log."""
        jobs = self.ask("squeue", "--states=all", "-o", "%i %j %T %r %N %C %M").stdout
        nodes = self.ask("sinfo", "-N", "-o", "%N %T %C %E").stdout
        log = (self.folder / "slurmctld.log").read_text(errors="replace")
        return f"{jobs}\n{nodes}\n{log[-4000:]}"

    def close(self) -> None:
        """Nothing is left: no job, no daemon, no file."""
        if "slurmctld" in self._daemons:
            self.ask("scancel", "-u", "root")
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
