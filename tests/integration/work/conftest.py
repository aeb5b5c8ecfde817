"""Fixtures for tests with real processes."""

import pytest

from integration.work.rig import Rig


@pytest.fixture
def rig(tmp_path):
    found = Rig(tmp_path)
    yield found
    found.close()
