"""Asks the batch system of this process's job, once at the start, how long the job may go on.

What it does not answer is not known: no work waits for a batch system. Nothing is asked of it later.
"""

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from stoker.work.term import Term

ASK_S = 5.0  # that the batch system may take to answer

_log = logging.getLogger(__name__)
_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+)")


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of the job: its term, and the time between its first signal and the kill.

    With `is_last_word` SIGUSR2 means that the kill follows.
    """

    term: Term | None = None
    notice_s: float | None = None
    is_last_word: bool = False


def ask(env: Mapping[str, str], began_s: float) -> Job:
    """Return what the batch system says of the job; nothing of what it does not say in time.

    `began_s` is when the worker began, by the monotonic clock.
    """
    if env.get("SLURM_JOB_ID") and env.get("SLURMD_NODENAME"):
        return _slurm(env, began_s)
    if env.get("JOB_ID") and "SGE_O_HOST" in env:
        return _grid_engine(env, began_s)
    if env.get("PBS_JOBID") and env.get("PBS_ENVIRONMENT"):
        limit_s = seconds(env.get("PBS_WALLTIME", ""))
        return Job(Term(began_s, began_s + limit_s) if limit_s else None)
    return Job()


def _slurm(env: Mapping[str, str], began_s: float) -> Job:
    job = env["SLURM_JOB_ID"]
    left, config = _answers(
        env,
        ["squeue", "-h", "-j", job, "-o", "%L"],
        ["scontrol", "show", "config"],
    )
    left_s = seconds(left.strip())
    found = re.search(r"^KillWait\s*=\s*(\d+)", config, re.MULTILINE)
    term = None if left_s is None else Term(began_s, time.monotonic() + left_s)
    return Job(term, float(found[1]) if found else None)


def _grid_engine(env: Mapping[str, str], began_s: float) -> Job:
    job, queue = _answers(
        env,
        ["qstat", "-j", env["JOB_ID"]],
        ["qconf", "-sq", env.get("QUEUE", "")],
    )
    limits = [seconds(text) for text in re.findall(r"\bh_rt=([\d:]+)", job)]
    limits += [seconds(text) for text in re.findall(r"^h_rt\s+([\d:]+)", queue, re.MULTILINE)]
    limit_s = min((one for one in limits if one is not None), default=None)
    notify = re.search(r"^notify\s+([\d:]+)", queue, re.MULTILINE)
    term = Term(began_s, began_s + limit_s) if limit_s else None
    return Job(term, seconds(notify[1]) if notify else None, is_last_word=True)


def seconds(text: str) -> float | None:
    """Return a time such as `1-02:03:04`, `2:03:04`, `03:04` or `90`; None if it is another word."""
    found = _TIME.fullmatch(text)
    if found is None or len(text) > 20:
        return None
    days, hours, minutes, rest = (int(found[name] or 0) for name in "dhms")
    return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)


def _answers(env: Mapping[str, str], *commands: Sequence[str]) -> list[str]:
    """Return what the commands print, asked at the same time; nothing where one fails or is late."""
    environment = {**env, "LC_ALL": "C"}
    started = []
    for command in commands:
        process = None
        with suppress(OSError):
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        started.append(process)
    until_s = time.monotonic() + ASK_S
    return [_answer(process, until_s) for process in started]


def _answer(process: "subprocess.Popen[bytes] | None", until_s: float) -> str:
    if process is None:
        return ""
    try:
        said, _ = process.communicate(timeout=max(until_s - time.monotonic(), 0.01))
    except subprocess.TimeoutExpired:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # what it started may hold its output open
        process.communicate()
        words = os.fsdecode(process.args[0]) if isinstance(process.args, list) else ""
        _log.warning(
            "the batch system does not answer: the job's end is not known",
            extra={"event": "scheduler_silent", "command": words},
        )
        return ""
    return said.decode("utf-8", "replace") if process.returncode == 0 else ""
