"""A short chaos with pilots on a real Slurm; `make chaos` makes a long one."""

import random

import pytest

from batch import chaos

pytestmark = [
    pytest.mark.slurm, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(500),
]  # fmt: skip


def test_pilots_survive_everything_at_once(slurm, tmp_path, monkeypatch):
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    tmp_path.chmod(0o755)
    seed = random.SystemRandom().randrange(10**6)
    run = chaos.play(slurm, tmp_path, tasks=40, seconds=15, seed=seed)
    assert not run.broken, f"seed {seed}:\n" + "\n".join(run.broken)
    assert run.survived.total() >= 5, run.survived
