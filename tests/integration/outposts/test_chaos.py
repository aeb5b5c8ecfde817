"""A short chaos over real ssh; `make chaos` makes a long one."""

import random

import pytest

import sshd
from integration.outposts import chaos

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_an_outpost_survives_everything_at_once(tmp_path):
    (tmp_path / "sshd").mkdir()
    seed = random.SystemRandom().randrange(10**6)
    with sshd.Sshd(tmp_path / "sshd") as host:
        run = chaos.play(tmp_path, host, items=8, seconds=6, faults=4, seed=seed)
    assert not run.broken, f"seed {seed}:\n" + "\n".join(run.broken)
    assert run.survived.total() >= 4, run.survived
