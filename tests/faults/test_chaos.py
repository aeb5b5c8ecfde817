"""A short chaos; `make chaos` makes a long one."""

import random

import pytest

from faults import chaos


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, None], ids=["fixed", "random"])
def test_a_site_survives_everything_at_once(tmp_path, seed):
    seed = seed if seed is not None else random.SystemRandom().randrange(10**6)
    run, found = chaos.play(tmp_path, seed=seed, seconds=18, workers=3, at_least=30)
    assert not found, f"seed {seed}:\n" + "\n".join(map(str, found))
    assert run.survived.total() >= 30, run.survived
