"""Several processes on one store: no task twice, no pool over its slots, nothing lost."""

import subprocess
import sys
from collections import Counter

from sqlalchemy import select

from stoker.model.pipeline import Run, Step
from stoker.model.settings import Pool
from stoker.store import pools, rebuild, tables

WORKERS, ITEMS = 6, 150

SCRIPT = """
import sys
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.store import claim, finish, fleet
from stoker.store.connect import open_store

store = open_store(sys.argv[1])
me = fleet.enlist(store, host=sys.argv[2], name=sys.argv[2], pid=1, slots=4, cpus=4,
    memory_bytes=1 << 30, scratch="/s", boot_id="b", lease_s=60)
while not claim.anything_left(store).is_nothing:
    for task in claim.claim(store, me, limit=3, cpus_free=4):
        print(task.key, task.step, sep="|")
        stale = finish.finish(store, [Result(attempt=task.attempt, task_id=task.task_id,
            state=AttemptState.SUCCEEDED, verdict=Verdict.DONE, exit_code=0)])
        assert not stale
fleet.retire(store, me)
store.close()
"""


def test_no_task_is_claimed_twice_by_processes_at_once(rig, pipeline, url):
    one = Step(name="one", action=Run(text="x"), pools={"ram": 2})
    two = Step(name="two", after=("one",), action=Run(text="x"))
    rig.apply(pipeline(one, two))
    pools.set_pools(rig.store, [Pool(name="ram", slots=("0", "1", "2"))])
    rig.push(*(f"k{number:03}" for number in range(ITEMS)))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, url, f"host{number}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(WORKERS)
    ]
    claimed: Counter[str] = Counter()
    for worker in workers:
        out, err = worker.communicate(timeout=100)
        assert worker.returncode == 0, err
        claimed.update(out.split())
    assert len(claimed) == 2 * ITEMS
    assert set(claimed.values()) == {1}
    assert most_at_once(rig, "one") <= 1, "two slots of three: one at a time"
    rig.check()


def most_at_once(rig, step: str) -> int:
    """The most tasks of a step that ran at once, as the journal has it."""
    now = most = 0
    journal = tables.journal
    with rig.store.reading() as unit:
        query = select(journal.c.event).where(journal.c.step == step).order_by(journal.c.id)
        for event in unit.execute(query).scalars():
            now += {"claim": 1, "succeed": -1}.get(event, 0)
            most = max(most, now)
        assert list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit))) == []
    return most
