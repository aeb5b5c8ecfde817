"""A real Slurm with `slurmdbd`: limits of a user's jobs, and what the accounts say of jobs that ended."""

import os
from dataclasses import replace

import pytest

import servers
from batch.piloted import GATED, QUICK, Piloted
from batch.slurm import Slurm as Cluster
from integration.work.rig import wait_until
from stoker.batch.runner import Runner
from stoker.batch.slurm import Slurm
from stoker.batch.system import Cause

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.postgresql,
    pytest.mark.mariadb,
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def cluster():
    """A cluster that keeps accounts on MariaDB."""
    url = servers.server("mariadb").new_database(f"slurm{os.getpid()}")
    found = Cluster(accounting=url)
    yield found
    found.close()


@pytest.fixture
def here(cluster, monkeypatch):
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield cluster
    cluster.clear()


def test_a_limit_of_jobs_bounds_the_pilots_and_counts_as_no_failure(here, lab):
    here.limit_jobs(3)
    text = f'[batch.main]\nsystem = "slurm"\ntime_limit = "10m"\nmax_pilots = 6\n{GATED}'
    found = Piloted(
        lab(text, kind="postgresql", env=here.env), replace(QUICK, again_s=0, first_waiting=6)
    )
    try:
        found.lab.push(20)
        found.visit_until(
            lambda: found.lab.states().get("done", 0) >= 3, "it is known", within_s=90
        )

        def live():
            return [one.state for one in found.pilots if one.state in ("waiting", "running")]

        found.visit_until(lambda: len(live()) == 3, "as many as may be")
        found.visit_until(
            lambda: found.project.status().batch["main"].ceiling == 3, "the limit is known"
        )
        for _ in range(3):
            found.visit()
        status = found.project.status().batch["main"]
        assert len(live()) == 3
        assert not status.held
        assert not {"failed", "refused"} & set(found.states)
        here.limit_jobs(5)
        found.visit_until(lambda: len(live()) == 5, "more, now that more may be", within_s=90)
        (found.lab.folder / "go").touch()
        wait_until(lambda: found.lab.states() == {"done": 19, "failed": 1}, "it ends", within_s=90)
    finally:
        found.close()


def test_the_accounts_say_how_jobs_ended(here):
    here.limit_jobs(20)
    system = Slurm(Runner())
    assert system.limits().has_accounting
    good, bad, cancelled = (
        here.submit(text, "-o", "/dev/null") for text in ("true", "exit 3", "sleep 600")
    )
    wait_until(lambda: here.state(cancelled) == "RUNNING", "it runs", within_s=60)
    system.cancel([("sbatch", cancelled)])

    def ends():
        found = system.ended([good, bad, cancelled, "999999"])
        return found if len(found) == 3 else None

    found = wait_until(ends, "the accounts have them", within_s=60)
    assert [found[job].cause for job in (good, bad, cancelled)] == [
        Cause.EXIT,
        Cause.ERROR,
        Cause.CANCELLED,
    ]
    assert found[bad].text == "failed (3:0)"
    assert found[bad].host in ("n1", "n2")
