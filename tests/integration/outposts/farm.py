"""A batch system of three commands in one folder: its jobs are processes of this machine, each of its own session.

`farm.py FOLDER submit|status|cancel`, as `[batch.NAME] commands` calls it. While FOLDER/silent exists, it
answers nothing.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def main() -> int:
    """Answer one question."""
    folder, command = Path(sys.argv[1]), sys.argv[2]
    asked = json.load(sys.stdin)
    if (folder / "silent").exists():
        sys.stderr.write("the farm is being repaired\n")
        return 1
    answer = {"submit": submit, "status": status, "cancel": cancel}[command](folder, asked)
    json.dump(answer, sys.stdout)
    return 0


def submit(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """A job runs."""
    with Path(asked["log"]).open("ab") as log:
        job = subprocess.Popen(
            ["bash", asked["script"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    (folder / asked["name"]).write_text(str(job.pid))
    return {"id": str(job.pid)}


def status(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Of these jobs, the ones that run."""
    jobs = []
    for name in asked["names"]:
        pid = pid_of(folder, name)
        if pid is not None:
            jobs.append({"name": name, "id": str(pid), "state": "running", "host": "n1"})
    return {"jobs": jobs}


def cancel(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """These jobs end."""
    for one in asked["jobs"]:
        pid = pid_of(folder, one["name"])
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
    return {}


def pid_of(folder: Path, name: str) -> int | None:
    """The process of a job, if it runs."""
    with suppress(OSError, ValueError):
        pid = int((folder / name).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes()  # empty of one that has ended
        if name.rpartition("-")[2].encode() in words:
            return pid
    return None


if __name__ == "__main__":
    sys.exit(main())
