"""Batch systems for the tests, and a project that their jobs can work on."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

import servers
import sshd
from batch.gridengine import GridEngine
from batch.lab import Lab
from batch.slurm import Slurm


@pytest.fixture(scope="session")
def one_slurm() -> Iterator[Slurm]:
    """One cluster for all tests of this process."""
    found = Slurm()
    yield found
    found.close()


@pytest.fixture
def slurm(one_slurm: Slurm) -> Iterator[Slurm]:
    """A cluster without a job; it is so again after the test, however that ended."""
    yield one_slurm
    one_slurm.clear()


@pytest.fixture(scope="session")
def one_grid_engine() -> Iterator[GridEngine]:
    """One cluster for all tests of this process."""
    found = GridEngine()
    yield found
    found.close()


@pytest.fixture
def grid_engine(one_grid_engine: GridEngine) -> Iterator[GridEngine]:
    """A cluster without a job; it is so again after the test, however that ended."""
    yield one_grid_engine
    one_grid_engine.clear()


_numbers = itertools.count()


@pytest.fixture
def lab(tmp_path: Path) -> Callable[..., Lab]:
    """Make a project of these steps; on MariaDB, as in situation S4."""

    def make(
        steps: str,
        *,
        kind: str = "mariadb",
        env: dict[str, str] | None = None,
        through: Callable[[str], str] = lambda url: url,
    ) -> Lab:
        tmp_path.chmod(0o755)
        url = servers.server(kind).new_database(f"batch{os.getpid()}n{next(_numbers)}")
        return Lab(tmp_path, steps, through(url), env or {})

    return make


@pytest.fixture
def login_node(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Mapping[str, str]], sshd.Sshd]]:
    """Make a host that `ssh login` reaches, on which these variables are set.

    Like many a login node, it greets everybody before, and its shell says more at each start.
    """
    sshd.require()
    folder = tmp_path_factory.mktemp("login")
    with ExitStack() as stack:

        def make(env: Mapping[str, str]) -> sshd.Sshd:
            found = stack.enter_context(sshd.Sshd(folder, env, banner="Authorized use only"))
            (folder / "home" / ".bashrc").write_text("echo Welcome; echo 'no terminal' >&2\n")
            ssh = folder / "bin" / "ssh"
            ssh.parent.mkdir()
            ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {found.config} "$@"\n')
            ssh.chmod(0o755)
            monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
            return found

        yield make
