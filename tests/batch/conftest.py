"""Batch systems for the tests, and a project that their jobs can work on."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from batch.gridengine import GridEngine
from batch.lab import Lab
from batch.slurm import Slurm


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


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    """Make a project of these steps; on MariaDB, as in situation S4."""

    def make(steps: str, *, kind: str = "mariadb", env: dict[str, str] | None = None) -> Lab:
        tmp_path.chmod(0o755)
        url = servers.server(kind).new_database(f"batch{os.getpid()}")
        return Lab(tmp_path, steps, url, env or {})

    return make
