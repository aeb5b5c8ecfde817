"""A fake Slurm of one folder: commands that do and say what a test wants, and a list of jobs."""

import json
import sys
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("program.py")
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sacct")


class FakeSlurm:
    """Commands for PATH, and what is behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        for command in COMMANDS:
            file = self.programs / command
            file.write_text(
                f'#!/bin/sh\nexec {sys.executable} -S -E {PROGRAM} {folder} {command} "$@"\n'
            )
            file.chmod(0o755)
        self._write({"next": 101, "jobs": []})

    def _write(self, state: dict[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(state))

    def _read(self) -> dict[str, Any]:
        return json.loads((self.folder / "state.json").read_text())

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """All jobs that were ever submitted and not forgotten, oldest first."""
        return self._read()["jobs"]

    def ids(self, *states: str) -> list[str]:
        """The ids of the jobs, or of those in these states."""
        return [job["id"] for job in self.jobs if not states or job["state"] in states]

    def set(self, job: str, **changes: str) -> None:
        """The job is so."""
        state = self._read()
        state["jobs"] = [one | changes if one["id"] == job else one for one in state["jobs"]]
        self._write(state)

    def forget(self, *jobs: str, next_id: int | None = None) -> None:
        """These jobs are not in the list any more; the next one gets this id."""
        state = self._read()
        state["jobs"] = [one for one in state["jobs"] if one["id"] not in jobs]
        if next_id is not None:
            state["next"] = next_id
        self._write(state)

    def reserve(self, *lines: str) -> None:
        """The controller shows these reservations."""
        self._write(self._read() | {"reservations": list(lines)})

    def add(self, **job: str) -> None:
        """There is a job that nobody has submitted by the commands."""
        state = self._read()
        state["jobs"].append({"reason": "None", "node": "", "state": "RUNNING", **job})
        self._write(state)

    def account(self, *lines: str) -> None:
        """The accounting has these lines."""
        self._write(self._read() | {"accounts": lines})

    def say(self, command: str, *answers: dict[str, Any]) -> None:
        """The command answers so, one for each call."""
        lines = [json.dumps(answer) for answer in answers]
        (self.folder / f"{command}.say").write_text("\n".join(lines))

    def calls(self, command: str) -> int:
        """How often the command was called."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return sum(json.loads(line)[0] == command for line in lines)
