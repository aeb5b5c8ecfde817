"""Grid Engine: `qsub`, `qstat`, `qacct`, `qdel`. Tried with 8.1.9."""

import getpass
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from xml.etree import ElementTree as ET

from stoker.batch.runner import Runner
from stoker.batch.system import Answer, Ask, Cause, End, Limits, Look, Phase, Seen, answer_to
from stoker.errors import Unavailable

_NO_NAME = "gridengine"
_FAR_NAME = f'echo "cluster=${{SGE_CLUSTER_NAME:-${{SGE_CELL:-{_NO_NAME}}}}}"'
_NAMED = re.compile(r"^cluster=(\S+)$", re.MULTILINE)
_MIB = 1 << 20
_OF_MEMORY = re.compile(r"\b(h_vmem|s_vmem|mem_free|m_mem_free|virtual_free|h_rss)=")
_IS_LIMIT = re.compile(
    r"max_u_jobs|max_jobs|too many|job limit|would exceed|allow(s|ed)? .*jobs", re.IGNORECASE
)
_NOBODY_KNOWS = re.compile(
    r"commlib|unable to (contact|send|initialize)|time-?out|can't connect|no answer|got no connection",
    re.IGNORECASE,
)
_JOB = re.compile(r"^(\d+)$", re.MULTILINE)
_AT_ONCE = 20  # jobs whose records are asked for


class GridEngine:
    """The Grid Engine whose commands are on PATH, here or on the host of the runner."""

    title = "gridengine"

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._far_cluster = ""

    @property
    def cluster(self) -> str:
        """The name of the cluster, as a job there finds it."""
        if self._runner.ssh is None:
            return os.environ.get("SGE_CLUSTER_NAME") or os.environ.get("SGE_CELL") or _NO_NAME
        if not self._far_cluster:
            with suppress(Unavailable):
                found = _NAMED.findall(self._runner.run(["sh", "-c", _FAR_NAME]).out)
                self._far_cluster = found[-1] if found else ""
        return self._far_cluster or _NO_NAME

    def words(self, ask: Ask) -> Sequence[str]:
        """Return the command that submits it."""
        limits = [f"h_rt={ask.time_limit_s}"]
        if ask.memory_bytes is not None and not any(map(_OF_MEMORY.search, ask.options)):
            per_slot = -(-ask.memory_bytes // ask.cpus)  # limits hold for each slot of a job
            limits.append(f"h_vmem={-(-per_slot // _MIB)}M")
        if ask.gpus:
            limits.append(f"gpu={-(-ask.gpus // ask.cpus)}")
        if ask.exclude:
            limits.append(f"hostname=!({'|'.join(ask.exclude)})")
        return [
            "qsub", "-terse", "-r", "n", "-notify", "-S", "/bin/bash", "-N", ask.name,
            "-ac", f"stoker={ask.uid}", "-j", "y", "-o", ask.log, "-l", ",".join(limits),
            *ask.options, ask.script,
        ]  # fmt: skip

    def submit(self, ask: Ask) -> Answer:
        """Submit it."""
        words = self.words(ask)
        return answer_to(
            self._runner, words, job=_JOB, nobody_knows=_NOBODY_KNOWS, is_limit=_is_limit
        )

    def look(self, names: Sequence[str]) -> Look:
        """Return the jobs of these names, also of others who share the store."""
        wanted = set(names)
        found: dict[str, list[Seen]] = {}
        for everyone in (False, True):  # the list of a whole cluster may be long
            for one in self._list(everyone=everyone):
                if one.name in wanted:
                    found.setdefault(one.name, []).append(one)
            wanted -= found.keys()
            if not wanted:
                break
        return found

    def _list(self, *, everyone: bool) -> Iterable[Seen]:
        words = ["qstat", "-u", "*" if everyone else getpass.getuser(), "-xml"]
        if self._runner.ssh is not None and not everyone:  # the account may have another name there
            words = ["sh", "-c", 'exec qstat -u "$(id -un)" -xml']
        said = self._runner.run(words)
        if said.status != 0:
            raise Unavailable(f"`qstat`: {said.words}")
        try:
            # The client's own program has written it; expat itself bounds what entities can do.
            root = ET.fromstring(said.out[max(said.out.find("<?xml"), 0) :])  # noqa: S314 - the scheduler wrote it; expat bounds entities
        except ET.ParseError as error:
            raise Unavailable(f"the answer of `qstat` is not XML: {error}") from None
        for job in root.iter("job_list"):
            fields = {one.tag: (one.text or "").strip() for one in job}
            if fields.get("JB_name") and fields.get("JB_job_number"):
                yield _seen(fields)

    def ended(self, jobs: Sequence[str]) -> Mapping[str, End]:
        """Return what the records say; a job gets there some seconds after its end."""
        found = {}
        with suppress(Unavailable):  # asked for once more, each of them might take as long
            for job in jobs[:_AT_ONCE]:
                said = self._runner.run(["qacct", "-j", job])
                if said.status == 0:
                    found[job] = _end(said.out)
        return found

    def cancel(self, jobs: Iterable[tuple[str, str]]) -> None:
        """Delete jobs; the caller has seen id and name together a moment ago."""
        with suppress(Unavailable):
            for _name, job in jobs:
                self._runner.run(["qdel", job])

    def limits(self) -> Limits:
        """Return what the scheduler says of itself."""
        said = self._runner.run(["qconf", "-sconf"])
        if said.status != 0:
            raise Unavailable(f"`qconf`: {said.words}")
        helped = self._runner.run(["qstat", "-help"])
        version = (helped.out or helped.error).splitlines()
        return Limits(version=f"Grid Engine ({version[0].strip()})" if version else "Grid Engine")

    def maintenance_s(self) -> float | None:
        """Return nothing: it announces none."""
        return None

    def own_names(self) -> Sequence[tuple[str, str]]:
        """Return name and id of all jobs of this account."""
        return [(one.name, one.job) for one in self._list(everyone=False)]


def _is_limit(text: str) -> bool:
    return _IS_LIMIT.search(text) is not None


def _seen(fields: Mapping[str, str]) -> Seen:
    """Return a job by its letters; those that are not known say nothing."""
    letters = fields.get("state", "")
    is_waiting = "q" in letters or ("h" in letters and "r" not in letters)
    said = letters
    if "E" in letters:
        said = f"{letters}: it could not be started; `qstat -j {fields['JB_job_number']}` says why"
    elif letters == "qw":
        said = "queued"
    elif letters == "r":
        said = "running"
    host = fields.get("queue_name", "").partition("@")[2]
    return Seen(
        name=fields["JB_name"],
        job=fields["JB_job_number"],
        phase=Phase.WAITING if is_waiting else Phase.RUNNING,
        said=said,
        host=host or None,
        is_stuck="E" in letters,
    )


def _end(record: str) -> End:
    fields = {}
    for line in record.splitlines():
        name, _, value = line.partition(" ")
        fields[name] = value.strip()
    failed, status = fields.get("failed", "0"), fields.get("exit_status", "")
    number = failed.partition(":")[0].strip()
    host = fields.get("hostname") or None
    if number == "37" or "h_rt" in failed:
        return End(Cause.TIME, "time limit", host)
    if number == "0" and status == "0":
        return End(Cause.EXIT, "ended", host)
    if number == "0":
        return End(Cause.ERROR, f"exit status {status}", host)
    words = failed.partition(":")[2].strip() or f"failed with code {number}"
    if number == "100":  # killed, by whomever
        return End(None, f"{words}, exit status {status}", host)
    return End(Cause.ERROR, words, host)
