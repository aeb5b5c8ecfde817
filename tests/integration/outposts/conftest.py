"""Fixtures for tests of outposts."""

import os

import pytest

from batch.fake.slurm import FakeSlurm
from integration.outposts.rig import OutpostRig, arm
from stoker.outpost import pilots


@pytest.fixture
def rig(tmp_path):
    found = OutpostRig(tmp_path)
    yield found
    arm("")
    found.close()


@pytest.fixture
def farm(tmp_path, monkeypatch):
    fake = FakeSlurm(tmp_path / "farm")
    monkeypatch.setenv("PATH", f"{fake.programs}:{os.environ['PATH']}")
    monkeypatch.setattr(pilots, "MISSED_US", 0)
    return fake
