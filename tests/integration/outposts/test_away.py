"""A laboratory that is away for a week: what waits at the outpost comes home by visits that keep their limits."""

import time

from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.model.worker import NewWorker
from stoker.outpost.files_link import FilesLink
from stoker.outpost.spool import Spool
from stoker.project.services.janitor import tidy_once
from store.clock import Clock

WEEK_S = 7 * 86400.0
TASKS = 400  # `benchmarks/outpost.py` has ten thousand
STEPS = """
[pipelines.p.steps.make]
site = "far"
run = "true"
retries = 0
"""


def work_off(rig, n):
    """A worker there has done so much, by what a worker asks of its link."""
    spool = Spool(str(rig.spool))
    spool.check()
    link = FilesLink(spool)
    worker = link.enlist(
        NewWorker(
            host=link.host, name="w", pid=1, slots=4, cpus=4, memory_bytes=1 << 33,
            scratch="/scratch", boot_id="boot", lease_s=3600.0,
        )
    )  # fmt: skip
    done = 0
    while done < n:
        grant = link.claim(worker, limit=64, cpus_free=64)
        assert grant.tasks
        now_us = time.time_ns() // 1000
        link.finish([result_of(one, now_us) for one in grant.tasks])
        done += len(grant.tasks)
    link.retire(worker)


def result_of(claimed, now_us):
    return Result(
        attempt=claimed.attempt, task_id=claimed.task_id, state=AttemptState.SUCCEEDED,
        verdict=Verdict.DONE, started_us=now_us, ended_us=now_us, exit_code=0,
    )  # fmt: skip


def test_what_waited_for_a_week_comes_home_by_visits_that_keep_their_limit(rig, monkeypatch):
    rig.write(STEPS)
    rig.push(*(f"k{number:04}" for number in range(TASKS)))
    done = rig.visit(most_out=TASKS, limit_s=600)
    assert done.sent == TASKS
    work_off(rig, TASKS)
    clock = Clock(rig.store, monkeypatch)
    clock.go(s=WEEK_S)
    tidy_once(rig.store)
    assert set(rig.task_states().values()) == {"running"}, "nobody has given them up"
    visits, recorded = 0, 0
    while recorded < TASKS:
        began_s = time.monotonic()
        done = rig.visit(limit_s=2)
        assert time.monotonic() - began_s < 2 + 10
        assert done.lost == 0
        assert visits < 50
        assert done.more == (recorded + done.recorded < TASKS), "it says whether more is there"
        recorded += done.recorded
        visits += 1
    assert set(rig.task_states().values()) == {"done"}
    assert rig.left_there() == []
    seen = [(one.key, one.state) for one in rig.all_attempts()]
    assert len(seen) == len(set(seen)) == TASKS
