"""Slurm: `sbatch`, `squeue`, `sacct`, `scancel`. Tried with 22.05."""

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from stoker.batch.runner import Runner
from stoker.batch.system import Answer, Ask, Cause, End, Limits, Look, Phase, Seen, answer_to
from stoker.errors import Unavailable

_JOB = re.compile(r"^(\d+)(?:;\S*)?$", re.MULTILINE)
_AT_ONCE = 200  # names asked for by one command
_FIELDS = "%i\x1f%T\x1f%r\x1f%j\x1f%N"
_SEPARATOR = "\x1f"
_RECORDS = "JobIDRaw,State,ExitCode,NodeList"

_WAITING = frozenset(
    ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD",
     "SPECIAL_EXIT", "POWER_UP_NODE")
)  # fmt: skip
_RUNNING = frozenset(
    ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING",
     "UPDATE_DB", "EXPEDITING")
)  # fmt: skip
_OVER = {
    "COMPLETED": Cause.EXIT,
    "FAILED": Cause.ERROR,
    "OUT_OF_MEMORY": Cause.ERROR,
    "LAUNCH_FAILED": Cause.ERROR,
    "RECONFIG_FAIL": Cause.ERROR,
    "TIMEOUT": Cause.TIME,
    "DEADLINE": Cause.TIME,
    "CANCELLED": Cause.CANCELLED,
    "REVOKED": Cause.CANCELLED,
    "PREEMPTED": Cause.LOST,
    "NODE_FAIL": Cause.LOST,
    "BOOT_FAIL": Cause.LOST,
}
_PASSING = frozenset(("PREEMPTED", "NODE_FAIL", "BOOT_FAIL"))  # of a job that is requeued, a moment
# A job that waits for one of these waits for ever.
_NEVER = frozenset(
    ("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "PartitionInactive",
     "QOSMaxWallDurationPerJobLimit", "AssocMaxWallDurationPerJobLimit", "BadConstraints",
     "AccountNotAllowed", "InvalidAccount", "InvalidQOS", "QOSNotAllowed", "JobHeldAdmin",
     "QOSMaxCpuPerJobLimit", "QOSMaxMemoryPerJob", "QOSMaxNodePerJobLimit", "AssocMaxCpuPerJobLimit",
     "AssocMaxMemPerJob", "AssocMaxNodePerJobLimit")
)  # fmt: skip
_IS_LIMIT = re.compile(
    r"MaxSubmitJob|MaxJobs|job submit limit|MaxJobCount|maximum job (count|limit)|"
    r"Reached .*limit|Unable to accept job", re.IGNORECASE
)  # fmt: skip
_IS_REQUEST = re.compile(
    r"MaxWallDuration|MaxCpuPerJob|MaxMemPerJob|MaxNodePerJob|MinCpu|time limit is invalid"
)
_NOBODY_KNOWS = re.compile(
    r"timed? ?out|unable to contact|Zero Bytes|Connection (refused|reset)|Transport endpoint|"
    r"Communication connection failure|unexpected message|temporarily unable|"
    r"Resource temporarily unavailable|Incomplete message|Unable to establish", re.IGNORECASE
)  # fmt: skip
_IS_ERROR = re.compile(r"^(slurm|squeue)|error", re.IGNORECASE | re.MULTILINE)
_MIB = 1 << 20


class Slurm:
    """The Slurm whose commands are on PATH, here or on the host of the runner."""

    title = "slurm"

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._cluster = ""

    @property
    def cluster(self) -> str:
        """The name of the cluster; `slurm` where it does not say."""
        if not self._cluster:
            found = None
            with suppress(Unavailable):
                said = self._runner.run(["scontrol", "show", "config"])
                found = re.search(r"^ClusterName\s*=\s*(\S+)", said.out, re.MULTILINE)
            if found is None:
                return "slurm"
            self._cluster = found[1]
        return self._cluster

    def words(self, ask: Ask) -> Sequence[str]:
        """Return the command that submits it."""
        options, exclude = _without_exclude(ask.options)
        exclude += ask.exclude
        return [
            "sbatch", "--parsable", "--no-requeue", "--export=NONE", "--propagate=NONE",
            f"--job-name={ask.name}", f"--comment=stoker:{ask.uid}", "--open-mode=append",
            f"--output={ask.log.replace('%', '%%')}", "--nodes=1", "--ntasks=1",
            f"--cpus-per-task={ask.cpus}", f"--time={_time(ask.time_limit_s)}",
            *([] if ask.memory_bytes is None else [f"--mem={-(-ask.memory_bytes // _MIB)}M"]),
            *([] if not ask.gpus else [f"--gres=gpu:{ask.gpus}"]),
            *options,
            *([] if not exclude else [f"--exclude={','.join(exclude)}"]),
            ask.script,
        ]  # fmt: skip

    def submit(self, ask: Ask) -> Answer:
        """Submit it."""
        words = self.words(ask)
        return answer_to(
            self._runner, words, job=_JOB, nobody_knows=_NOBODY_KNOWS, is_limit=_is_limit
        )

    def look(self, names: Sequence[str]) -> Look:
        """Return the jobs of these names."""
        found: dict[str, list[Seen]] = {}
        for at in range(0, len(names), _AT_ONCE):
            some = ",".join(names[at : at + _AT_ONCE])
            for one in self._list("--states=all", "-n", some):  # others of a group submit, too
                found.setdefault(one.name, []).append(one)
        return found

    def _list(self, *which: str) -> Iterable[Seen]:
        said = self._runner.run(["squeue", "-h", *which, "-o", _FIELDS])
        # A login shell, or a host's banner, may have said something else.
        if said.status != 0 or _IS_ERROR.search(said.error):
            raise Unavailable(f"`squeue`: {said.words}")
        for line in said.out.splitlines():
            fields = line.split(_SEPARATOR)
            if (
                len(fields) == 5
            ):  # another would be a name with a line's end in it: nobody's of ours
                yield _seen(*fields)

    def ended(self, jobs: Sequence[str]) -> Mapping[str, End]:
        """Return what the accounting says, where there is one."""
        if not jobs:
            return {}
        try:
            said = self._runner.run(
                ["sacct", "-X", "-P", "-n", "-j", ",".join(jobs), "-o", _RECORDS]
            )
        except Unavailable:
            return {}
        found = {}
        for line in said.out.splitlines() if said.status == 0 else ():
            job, state, code, nodes = [*line.split("|"), "", "", ""][:4]
            word = state.split(" ")[0]
            if word in _OVER:
                host = None if nodes in ("", "None assigned") else nodes
                found[job] = End(_OVER[word], f"{state.lower()} ({code})", host)
        return found

    def cancel(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Cancel jobs of which id and name fit: an id alone may be another's by now."""
        with suppress(Unavailable):
            for name, job in jobs:
                self._runner.run(["scancel", "-n", name, job])

    def limits(self) -> Limits:
        """Return what the controller says of itself."""
        said = self._runner.run(["scontrol", "show", "config"])
        if said.status != 0:
            raise Unavailable(f"`scontrol`: {said.words}")
        kill = re.search(r"^KillWait\s*=\s*(\d+)", said.out, re.MULTILINE)
        version = re.search(r"^SLURM_VERSION\s*=\s*(\S+)", said.out, re.MULTILINE)
        storage = re.search(r"^AccountingStorageType\s*=\s*(\S+)", said.out, re.MULTILINE)
        return Limits(
            version=f"Slurm {version[1]}" if version else "Slurm",
            kill_wait_s=float(kill[1]) if kill else None,
            has_accounting=storage is not None and not storage[1].endswith("none"),
        )

    def maintenance_s(self) -> float | None:
        """Return how long it is until the first reservation for maintenance that has not begun."""
        words = ["scontrol", "show", "reservation", "-o"]
        said = self._runner.run(["env", "SLURM_TIME_FORMAT=%s", *words])
        if said.status != 0:
            raise Unavailable(f"`scontrol`: {said.words}")
        begins = [
            int(found[1]) - time.time()
            for line in said.out.splitlines()
            if re.search(r"\bFlags=\S*MAINT", line)
            and (found := re.search(r"\bStartTime=(\d{1,15})\b", line))
        ]
        return min((one for one in begins if one > 0), default=None)

    def own_names(self) -> Sequence[tuple[str, str]]:
        """Return name and id of all jobs of this account that are not over."""
        user = ["--me"] if self._runner.ssh is not None else ["-u", str(os.geteuid())]
        return [(one.name, one.job) for one in self._list(*user)]


def _seen(job: str, word: str, reason: str, name: str, nodes: str) -> Seen:
    if word in _OVER:
        phase = Phase.OVER
    elif word in _WAITING:
        phase = Phase.WAITING
    else:  # running, or a word of a later release: it is there, as far as anybody knows
        phase = Phase.RUNNING
    is_known = word in _WAITING or word in _RUNNING or word in _OVER
    said = word.lower() if is_known else f"`{word}`"
    if phase is Phase.WAITING and reason not in ("", "None"):
        said = reason
    return Seen(
        name=name,
        job=job,
        phase=phase,
        said=said,
        host=nodes or None,
        cause=_OVER.get(word),
        is_stuck=phase is Phase.WAITING and reason in _NEVER,
        is_passing=word in _PASSING,
    )


def _is_limit(text: str) -> bool:
    return _IS_LIMIT.search(text) is not None and _IS_REQUEST.search(text) is None


def _time(seconds: int) -> str:
    """Return a time in the only form that no release reads in another way: `D-HH:MM:SS`."""
    minutes, s = divmod(seconds, 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    return f"{days}-{h:02}:{m:02}:{s:02}"


def _without_exclude(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options without those that exclude hosts, and these hosts: the last one would win."""
    rest: list[str] = []
    hosts: list[str] = []
    words = iter(options)
    for word in words:
        if word in ("-x", "--exclude"):
            hosts.append(next(words, ""))
        elif word.startswith("--exclude="):
            hosts.append(word.partition("=")[2])
        else:
            rest.append(word)
    return rest, [host for host in hosts if host]
