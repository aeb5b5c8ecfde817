"""Fixtures for the tests that break things."""

import pytest

from faults.launch import Launcher
from faults.site import Site, other_file_system


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    found = Launcher(tmp_path_factory.mktemp("empty") / "stoker.db")
    yield found
    found.close()


@pytest.fixture
def site(tmp_path, launcher):
    """A project whose scratch lies on another file system, where there is one."""
    found = Site(tmp_path, launcher, scratch=other_file_system())
    yield found
    found.close()
