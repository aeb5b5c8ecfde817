"""A short chaos on each database; `make chaos` makes a long one."""

import random

import pytest

import servers
from faults import chaos


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("database", "seed"),
    [
        ("sqlite", 1),
        *(pytest.param(kind, None, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS),
    ],
)
def test_a_site_survives_everything_at_once(tmp_path, database, seed):
    seed = seed if seed is not None else random.SystemRandom().randrange(10**6)
    run, found = chaos.play(
        tmp_path, seed=seed, seconds=8, workers=3, at_least=20, database=database
    )
    assert not found, f"seed {seed}:\n" + "\n".join(map(str, found))
    assert run.survived.total() >= 20, run.survived
