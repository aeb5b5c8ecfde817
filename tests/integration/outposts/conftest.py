"""Fixtures for tests of outposts."""

import pytest

from integration.outposts.rig import OutpostRig, arm


@pytest.fixture
def rig(tmp_path):
    found = OutpostRig(tmp_path)
    yield found
    arm("")
    found.close()
