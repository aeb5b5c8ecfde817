"""Batch systems for the tests, and a project that their jobs can work on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from batch.gridengine import GridEngine
from batch.slurm import Slurm
from docs.test_tutorial import environment
from stoker import open as open_project
from stoker.project import Project


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """One cluster for all tests of this process."""
    found = Slurm()
    yield found
    found.close()


@pytest.fixture(scope="session")
def grid_engine() -> Iterator[GridEngine]:
    """One cluster for all tests of this process."""
    found = GridEngine()
    yield found
    found.close()


class Lab:
    """A project on a database server, and its command line."""

    def __init__(self, folder: Path, steps: str, url: str, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = environment(folder) | env
        (folder / "stoker.toml").write_text(f'[store]\nurl = "{url}"\n{steps}')
        self.stoker("store", "create")
        self.stoker("apply")

    def stoker(self, *arguments: str, code: int | None = 0) -> str:
        """What the command prints on both outputs."""
        done = subprocess.run(
            [Path(sys.executable).parent / "stoker", *arguments], cwd=self.folder, env=self.env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert code in (None, done.returncode), done.stdout
        return done.stdout

    def push(self, n: int) -> None:
        """So many records are items."""
        self.stoker("push", "p", *(f"k{number:04}" for number in range(n)))

    def project(self) -> Project:
        """The project, opened."""
        return open_project(self.folder)

    def states(self) -> dict[str, int]:
        """How many tasks are in which state."""
        with self.project() as project:
            tasks = project.status().pipelines["p"].tasks
        return {word: n for word, n in tasks.items() if n}

    def work(self, *options: str) -> str:
        """The text of a job that is a worker."""
        words = " ".join(options)
        return f"cd {self.folder}; exec {Path(sys.executable).parent}/stoker work {words}"


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    """Make a project of these steps; on MariaDB, as in situation S4."""

    def make(steps: str, *, kind: str = "mariadb", env: dict[str, str] | None = None) -> Lab:
        tmp_path.chmod(0o755)
        url = servers.server(kind).new_database(f"batch{os.getpid()}")
        return Lab(tmp_path, f'[pipelines.p]\nitems = "records"\n{steps}', url, env or {})

    return make
