"""A real Grid Engine of one host, from the installed packages, in namespaces of its own.

It wants a host name that is not the loopback's and keeps its state where the packages say. So it has
its own network, host name, mounts and process ids, with copies of that state in one folder; all of it
ends with one process, which ends with ours.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import servers

SLOTS = 4
NOTIFY_S = 5  # between the warning and the kill
HOST = "gehost"
_ADDRESS = "10.98.0.1"
_PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qconf", "ip", "unshare", "nsenter")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
_STATE = ("/var/lib/gridengine", "/var/spool/gridengine")
SETTINGS = {"SGE_ROOT": "/var/lib/gridengine", "SGE_CELL": "default"}
_QUEUE = {
    "qname": "main.q", "hostlist": HOST, "seq_no": 0, "load_thresholds": "NONE",
    "suspend_thresholds": "NONE", "nsuspend": 1, "suspend_interval": "00:05:00", "priority": 0,
    "min_cpu_interval": "00:05:00", "processors": "UNDEFINED", "qtype": "BATCH", "ckpt_list": "NONE",
    "pe_list": "NONE", "rerun": "TRUE", "slots": SLOTS, "tmpdir": "/tmp", "shell": "/bin/bash",
    "prolog": "NONE", "epilog": "NONE", "shell_start_mode": "unix_behavior",
    "starter_method": "NONE", "suspend_method": "NONE", "resume_method": "NONE",
    "terminate_method": "NONE", "notify": f"00:00:{NOTIFY_S:02}", "owner_list": "NONE",
    "user_lists": "NONE", "xuser_lists": "NONE", "subordinate_list": "NONE",
    "complex_values": "NONE", "projects": "NONE", "xprojects": "NONE", "calendar": "NONE",
    "initial_state": "default",
} | {
    f"{kind}_{what}": "INFINITY"
    for what in ("rt", "cpu", "fsize", "data", "stack", "core", "rss", "vmem")
    for kind in "sh"
}  # fmt: skip


def require() -> None:
    """Skip the test, in CI fail it, where no Grid Engine can be started."""
    if os.geteuid() != 0:
        pytest.skip("only root can start Grid Engine's daemons")
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        servers.unavailable(
            f"Grid Engine is not installed ({missing[0]}); `requirements/servers` does it"
        )


class GridEngine:
    """One cluster, which is up. Nothing in it reaches the network of this machine."""

    def __init__(self) -> None:
        require()
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-gridengine-"))
        self.folder.chmod(0o755)
        self.programs = (
            self.folder / "bin"
        )  # its commands, for those outside: before others on PATH
        self.env = dict(SETTINGS)
        self._inside = ""
        try:
            self._holder = self._hold()
            self._configure()
            self._open_door()
        except BaseException:
            self.close()
            raise

    def _hold(self) -> "subprocess.Popen[str]":
        """The namespaces are there, and in them the daemon that schedules."""
        lines = ["set -e", f"hostname {HOST}", "ip link set lo up"]
        lines.append(f"ip addr add {_ADDRESS}/32 dev lo")
        for place in _STATE:
            copy = self.folder / place.strip("/").replace("/", "-")
            lines += [f"cp -a {place} {copy}", f"mount --bind {copy} {place}"]
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{_ADDRESS} {HOST}\n")
        lines.append(f"mount --bind {self.folder}/hosts /etc/hosts")
        lines.append(f"echo {HOST} >{_STATE[0]}/default/common/act_qmaster")
        lines += ["sge_qmaster", "echo up", "read -r _ || true"]
        with (self.folder / "holder.log").open("wb") as log:
            holder = subprocess.Popen(
                [
                    "unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child",
                    "--mount-proc", "bash", "-c", "\n".join(lines),
                ],
                env=os.environ | SETTINGS | {"PATH": _PATH}, text=True, cwd=self.folder,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._holder = holder
        if holder.stdout is None or holder.stdout.readline() != "up\n":
            raise RuntimeError((self.folder / "holder.log").read_text())
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        self._inside = children.read_text().split()[0]
        return holder

    def _configure(self) -> None:
        self._wait(lambda: self._ask("qconf", "-sm", user="sgeadmin").returncode == 0)
        for change in (("-am", "root"), ("-ah", HOST), ("-as", HOST)):
            self._ask("qconf", *change, user="sgeadmin")
        nothing = dict.fromkeys(
            ("load_scaling", "complex_values", "user_lists", "xuser_lists", "projects",
             "xprojects", "usage_scaling", "report_variables"), "NONE",
        )  # fmt: skip
        self._apply("-Ae", {"hostname": HOST} | nothing, name="host")
        changed = {
            "min_uid": 0, "min_gid": 0, "load_report_time": "00:00:03",
            "max_unheard": "00:00:20", "reschedule_unknown": "00:00:05",
        }  # fmt: skip
        self._apply("-Mconf", self._shown("-sconf") | changed, name="global")
        quick = {"schedule_interval": "0:0:1", "flush_submit_sec": 1, "flush_finish_sec": 1}
        self._apply("-Msconf", self._shown("-ssconf") | quick, name="scheduler")
        self._apply("-Aq", _QUEUE, name="queue")
        self.run("sge_execd")
        self._wait(lambda: f"main.q@{HOST}" in self.run("qstat", "-f") and self._is_idle())

    def _open_door(self) -> None:
        """The commands can be called from outside, as on a login node."""
        self.programs.mkdir()
        for name in ("qsub", "qstat", "qacct", "qdel", "qconf"):
            words = shlex.join(self.inside(str(shutil.which(name, path=_PATH))))
            (self.programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (self.programs / name).chmod(0o755)

    def signal_master(self, number: int) -> None:
        """The daemon that answers gets a signal."""
        self.run("pkill", f"-{number}", "-x", "sge_qmaster")

    def _is_idle(self) -> bool:
        line = next(line for line in self.run("qstat", "-f").splitlines() if "main.q@" in line)
        return "lx-amd64" in line and line.split()[-1] == "lx-amd64"

    def _shown(self, option: str) -> dict[str, object]:
        lines = self.run("qconf", option, user="sgeadmin").splitlines()
        return dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))

    def _apply(self, option: str, values: dict[str, object], *, name: str) -> None:
        file = self.folder / name
        file.write_text("".join(f"{key} {value}\n" for key, value in values.items()))
        file.chmod(0o644)
        if self._ask("qconf", option, str(file), user="sgeadmin").returncode:  # it is there already
            self.run("qconf", option.replace("-A", "-M"), str(file), user="sgeadmin")

    def _wait(self, holds: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 40
        while not holds():
            if time.monotonic() > until_s:
                raise RuntimeError(self.run("qstat", "-f", "-explain", "E"))
            time.sleep(0.1)

    def inside(self, *command: str, user: str = "root", at: Path | None = None) -> list[str]:
        """The command that runs this command there, in the folder `at`."""
        account = [] if user == "root" else ["setpriv", f"--reuid={user}", "--clear-groups"]
        where = f"--wd={at or self.folder}"
        return ["nsenter", "--all", "-t", self._inside, where, *account, *command]

    def _ask(self, *command: str, user: str = "root") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.inside(*command, user=user), env=os.environ | SETTINGS | {"PATH": _PATH},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def run(self, *command: str, user: str = "root") -> str:
        """What a command answers; an error if it fails."""
        done = self._ask(*command, user=user)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def submit(self, script: str, *options: str) -> str:
        """The id of a job that runs this text of bash."""
        file = self.folder / f"job-{time.monotonic_ns()}.sh"
        file.write_text(f"#!/bin/bash\n{script}\n")
        return self.run("qsub", "-terse", *options, str(file)).splitlines()[-1]

    def is_over(self, job: str) -> bool:
        """Whether the job is in the queue no more."""
        return self._ask("qstat", "-j", job).returncode != 0

    def record(self, job: str) -> str:
        """What the accounting says of an ended job, once it does."""
        found = self._ask("qacct", "-j", job)
        return found.stdout if found.returncode == 0 else ""

    def clear(self) -> None:
        """No job is left, and the queue takes new ones, whatever a test did."""
        self.signal_master(signal.SIGCONT)
        until_s = time.monotonic() + 60
        while self.run("qstat", "-u", "*") or not self._is_idle():
            if time.monotonic() > until_s:
                raise RuntimeError(f"not empty in 60 s:\n{self.run('qstat', '-f', '-u', '*')}")
            self._ask("qdel", "-u", "*")
            self._ask("qmod", "-c", "main.q", user="sgeadmin")
            time.sleep(0.1)

    def close(self) -> None:
        """Nothing is left."""
        self._holder.kill()
        self._holder.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)
