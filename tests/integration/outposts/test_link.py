"""What holds for every `Link`: the one to a store, and the one to the files of an outpost."""

from dataclasses import replace

import pytest

from integration.outposts.rig import OutpostRig
from stoker.model.pipeline import Verdict
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.model.task import Result
from stoker.model.worker import NewWorker
from stoker.outpost.files_link import FilesLink
from stoker.outpost.spool import Spool
from stoker.store.orders import verbs
from stoker.work.store_link import StoreLink
from store.rig import ME

STEPS = """
[pipelines.p.steps.{name}]
{site}
run = "true"
cpus = {cpus}
memory = "{memory}"
"""


class Side:
    """A link with work behind it."""

    def __init__(self, rig, kind):
        self.rig = rig
        self.is_far = kind is FilesLink
        site = 'site = "far"' if self.is_far else ""
        small = STEPS.format(name="small", site=site, cpus=1, memory="1M")
        rig.write(small + STEPS.format(name="large", site=site, cpus=2, memory="1G"))
        rig.visit()
        self.link = StoreLink(rig.store)
        if self.is_far:
            spool = Spool(str(rig.spool))
            spool.check()
            self.link = FilesLink(spool)

    def push(self, *keys):
        self.rig.push(*keys)
        self.pass_on()

    def pass_on(self):
        """What one side has to say, the other knows."""
        if self.is_far:
            self.rig.visit()

    def enlist(self):
        return self.link.enlist(
            NewWorker(
                host=self.link.host, name="w", pid=1, slots=4, cpus=4, memory_bytes=1 << 33,
                scratch="/scratch", boot_id="boot", lease_s=3600.0,
            )
        )  # fmt: skip

    def claim(self, worker, limit=10, cpus=4, memory=1 << 33):
        return self.link.claim(worker, limit=limit, cpus_free=cpus, memory_free_bytes=memory).tasks


@pytest.fixture(params=[StoreLink, FilesLink])
def side(request, tmp_path):
    rig = OutpostRig(tmp_path)
    yield Side(rig, request.param)
    rig.close()


def done(task):
    return Result(
        attempt=task.attempt, task_id=task.task_id, state=AttemptState.SUCCEEDED,
        verdict=Verdict.DONE, exit_code=0, started_us=task.claimed_us + 1,
        ended_us=task.claimed_us + 2, pid=7,
    )  # fmt: skip


def names(tasks):
    return sorted((task.key, task.step) for task in tasks)


def test_a_task_is_claimed_once_and_only_where_it_fits(side):
    side.push("a", "b")
    worker = side.enlist()
    assert side.claim(worker, cpus=0) == []
    assert names(side.claim(worker, limit=1, cpus=1)) in ([("a", "small")], [("b", "small")])
    assert len(side.claim(worker, memory=1 << 24)) == 1
    assert names(side.claim(worker)) == [("a", "large"), ("b", "large")]
    assert side.claim(worker) == []
    assert side.link.anything_left().ready is False


def test_what_is_claimed_brings_all_that_it_needs(side):
    side.push("a")
    worker = side.enlist()
    for task in side.claim(worker):
        pipeline = side.link.pipeline_of(task.version_id)
        assert pipeline.step(task.step).cpus == task.cpus
        assert list(side.link.members_of(task, "")) == []
        assert side.link.contents_of(task.task_id, ["/x"]) == {}
        side.link.reserve(task.attempt, task.task_id, [])


def test_what_is_given_back_is_claimed_again_and_used_no_retry(side):
    side.push("a")
    worker = side.enlist()
    tasks = side.claim(worker)
    side.link.give_back(tasks)
    side.pass_on()
    again = side.claim(side.enlist())
    assert names(again) == names(tasks)
    assert [task.tries for task in again] == [0, 0]


def test_an_end_counts_once_however_often_it_is_told(side):
    side.push("a")
    worker = side.enlist()
    results = [done(task) for task in side.claim(worker)]
    assert side.link.finish(results) == frozenset()
    assert side.link.finish(results) == frozenset()
    assert side.link.finish([]) == frozenset()
    side.pass_on()
    assert set(side.rig.task_states().values()) == {"done"}


def test_an_attempt_of_nobody_is_stale(side):
    side.push("a")
    worker = side.enlist()
    (first, other) = side.claim(worker)
    unknown = replace(done(first), attempt=bytes(16))
    assert side.link.finish([unknown, done(other)]) == {unknown.attempt}


def test_a_worker_hears_what_it_holds_and_what_is_to_end(side):
    side.push("a")
    worker = side.enlist()
    tasks = side.claim(worker)
    told = side.link.renew(worker, lease_s=60.0)
    assert told.is_alive
    assert told.running == {task.attempt for task in tasks}
    assert told.cancel == frozenset()
    verbs.cancel(side.rig.store, Selection(steps=("large",)), ME)
    side.pass_on()
    large = next(task for task in tasks if task.step == "large")
    assert side.link.renew(worker, lease_s=60.0).cancel == {large.attempt}


def test_a_worker_that_retired_is_gone_and_another_has_another_id(side):
    first, other = side.enlist(), side.enlist()
    assert first != other
    side.link.retire(first)
    assert side.link.is_gone(first)
    assert not side.link.is_gone(other)
    assert side.link.is_gone(12_345_678)
    assert side.link.renew(first, lease_s=60.0).is_alive is False


def test_the_rest_of_its_verbs_answer_and_change_nothing(side):
    worker = side.enlist()
    side.link.note_trouble(worker, "full")
    side.link.note_started([])
    side.link.note_publishing({})
    assert side.link.next_due_us() is None
    assert side.link.promote_due() == 0
    assert side.link.reap().attempts == 0
    assert side.link.gone is None
    assert side.link.folder.is_dir()
    assert len(side.link.store_id) > 8
    assert side.link.has_nothing_for(worker, cpus_free=4, memory_free_bytes=1 << 33)
