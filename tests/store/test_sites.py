"""Sites: a task is only ever changed by the site that owns its step, and what others read of ours."""

import json

import pytest
from sqlalchemy import insert, select, update

from stoker.errors import Conflict, Foreign, NotFound
from stoker.model import transitions
from stoker.model.item import NewItem
from stoker.model.lease_kind import LeaseKind
from stoker.model.outpost import Outpost
from stoker.model.pipeline import Run, Step, Verdict
from stoker.model.retention import Retention
from stoker.model.states import AttemptState, TaskState
from stoker.model.task import Published
from stoker.store import journal_fold, tables
from stoker.store.apply import Move, move
from stoker.store.arrivals import register, sources
from stoker.store.catalog import catalog
from stoker.store.claims import claim, workers
from stoker.store.database import rebuild
from stoker.store.database.connect import open_store
from stoker.store.ends import lost_hosts, reap
from stoker.store.holdings import places, publications
from stoker.store.orders import adopt, verbs
from stoker.store.orders.site_name import name_site
from stoker.store.outposts import entries
from stoker.store.outposts.listed import site_status
from stoker.store.retention import prune
from store.rig import ME, pairs, wanted

J = tables.journal
FAR = 2


@pytest.fixture
def far(store):
    """The number of another site that the store knows."""
    with store.writing() as unit:
        columns = {"name": "lyon", "uid": "u", "epoch": 1, "created_us": 0}
        unit.execute(insert(tables.site).values(id=FAR, **columns))
    return FAR


def give(store, step, site):
    """Another site owns the step from now on, whatever is recorded of its tasks."""
    with store.writing() as unit:
        table = tables.step
        unit.execute(update(table).where(table.c.name == step).values(site=site))
    store.forget()


def tasks(store):
    with store.reading() as unit:
        item, task, step = tables.item, tables.task, tables.step
        query = select(task, item.c.key, step.c.name.label("step"))
        rows = unit.execute(query.join(item, item.c.id == task.c.item_id).join(step))
        return {(row.key, row.step): row for row in rows}


def journal(store, event):
    with store.reading() as unit:
        rows = unit.execute(select(J).where(J.c.event == event).order_by(J.c.id)).fetchall()
    return [(row.key, row.step, row.generation, json.loads(row.data or "{}")) for row in rows]


def test_nobody_here_claims_what_belongs_to_another_site(rig, pipeline, far):
    rig.apply(pipeline(here=(), there=()))
    rig.push("a")
    give(rig.store, "there", far)
    worker = rig.worker()
    assert pairs(rig.claim(worker, 10)) == [("a", "here")]
    assert rig.claim(worker, 10) == []


def test_a_step_that_the_file_gives_to_another_site_stands_in_no_lane(rig, pipeline, far):
    rig.apply(pipeline(here=(), there=()))
    rig.push("a")
    step = Step(name="there", site="lyon", action=Run(text="true"))
    rig.apply(pipeline(step, here=()))
    assert tasks(rig.store)["a", "there"].lane is None
    rig.push("b")
    worker = rig.worker()
    assert rig.work(worker) == [("a", "here"), ("b", "here")]
    assert claim.anything_left(rig.store).is_nothing
    rig.check()
    rig.apply(pipeline(here=(), there=()))
    assert rig.work(worker) == [("a", "there"), ("b", "there")]
    rig.check()


def test_a_site_that_the_store_does_not_know_is_told(rig, pipeline):
    step = Step(name="there", site="lyon", action=Run(text="true"))
    with pytest.raises(NotFound, match="lyon"):
        rig.apply(pipeline(step))
    rig.apply(pipeline(Step(name="there", site="here", action=Run(text="true"))))
    rig.push("a")
    assert rig.work(rig.worker()) == [("a", "there")]


VERBS = [verbs.hold, verbs.release, verbs.cancel, verbs.retry, verbs.rerun]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "state", [TaskState.READY, TaskState.DONE, TaskState.FAILED, TaskState.HELD]
)
def test_peoples_verbs_leave_what_belongs_to_another_site(rig, pipeline, far, verb, state):
    rig.apply(pipeline(there=()))
    rig.push("a")
    if state is TaskState.HELD:
        verbs.hold(rig.store, rig.select(), ME)
    elif state is not TaskState.READY:
        (task,) = rig.claim(rig.worker())
        good = state is TaskState.DONE
        rig.end(task, AttemptState.SUCCEEDED if good else AttemptState.FAILED)
    give(rig.store, "there", far)
    before, events = tasks(rig.store), rig.events()
    done = verb(rig.store, rig.select(), ME)
    assert (done.changed, done.left) == ({}, {"of other sites": 1})
    assert (tasks(rig.store), rig.events()) == (before, events)


def test_the_one_writer_refuses_for_every_site_what_is_not_its_own(rig, pipeline, far):
    """Whoever records what another site did says so, and then changes nothing of ours."""
    rig.apply(pipeline(here=(), there=()))
    rig.push("a")
    give(rig.store, "there", far)
    known = tasks(rig.store)

    def cancel(step, site):
        one = Move(known["a", step].id, TaskState.READY, "line", "a", step, 1)
        with rig.store.writing(site=site) as unit:
            move(unit, transitions.CANCEL, [one])

    with pytest.raises(Foreign, match=r"`there`.*`here`"):
        cancel("there", None)
    with pytest.raises(Foreign, match=r"`here`.*`lyon`"):
        cancel("here", far)
    assert tasks(rig.store) == known
    cancel("there", far)
    cancel("here", None)
    assert {row.state for row in tasks(rig.store).values()} == {TaskState.CANCELLED}


def test_what_ends_or_waits_at_another_site_is_not_taken_back_here(rig, pipeline, far):
    backing_off = Step(name="there", retries=1, backoff_s=0.01, action=Run(text="true"))
    rig.apply(pipeline(backing_off))
    rig.push("a", "b")
    worker = rig.worker()
    failing, running = rig.claim(worker, 2)
    rig.end(failing, AttemptState.FAILED)
    give(rig.store, "there", far)
    before = tasks(rig.store)
    assert not rig.end(running)
    rig.lapse(worker)
    assert rig.link.reap().attempts == 0
    with rig.store.writing() as unit:
        table = tables.task
        past = update(table).where(table.c.not_before_us.is_not(None))
        unit.execute(past.values(not_before_us=1))
    assert reap.promote_all_due(rig.store) == 0
    after = tasks(rig.store)
    assert {key: row.state for key, row in after.items()} == {
        key: row.state for key, row in before.items()
    }


def test_a_rerun_tells_another_site_which_of_its_steps_are_to_be_done_again(rig, pipeline, far):
    rig.apply(pipeline(one=(), there=("one",), three=("one",)))
    rig.push("a")
    rig.work(rig.worker())
    give(rig.store, "there", far)
    verbs.rerun(rig.store, rig.select(steps=("one",)), ME)
    found = tasks(rig.store)
    assert {step: (TaskState(row.state).word, row.generation) for (_, step), row in found.items()} == {
        "one": ("ready", 2), "there": ("done", 2), "three": ("blocked", 2),
    }  # fmt: skip
    ((_, _, generation, data),) = journal(rig.store, "rerun")
    assert (generation, data["elsewhere"]) == (2, ["there"])
    with rig.store.reading() as unit:
        assert not list(rebuild.differences(rebuild.replay(unit), rebuild.snapshot(unit)))


def test_our_end_leaves_another_sites_successor_to_its_site(rig, pipeline, far):
    rig.apply(pipeline(one=(), there=("one",)))
    rig.push("a")
    give(rig.store, "there", far)
    rig.work(rig.worker())
    found = tasks(rig.store)["a", "there"]
    assert (found.state, found.waiting_on) == (TaskState.BLOCKED, 1)
    rig.check()


def test_an_end_counts_although_another_branch_was_done_again_meanwhile(rig, pipeline):
    """Its row has the generation of its claim, by which other sites know that too."""
    rig.apply(pipeline(left=(), right=(), after=("left",)))
    rig.push("a")
    worker = rig.worker()
    by_step = {task.step: task for task in rig.claim(worker, 2)}
    assert rig.end(by_step["right"])
    verbs.rerun(rig.store, rig.select(steps=("right",)), ME)
    assert rig.end(by_step["left"])
    generations = {(step, generation) for _, step, generation, _ in journal(rig.store, "succeed")}
    assert generations == {("right", 1), ("left", 1)}
    found = tasks(rig.store)
    assert (found["a", "left"].generation, found["a", "right"].generation) == (1, 2)
    assert found["a", "after"].state == TaskState.READY
    rig.check()


def test_an_attempt_of_before_the_task_was_set_back_does_not_count(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    with rig.store.writing() as unit:
        unit.execute(update(tables.task).values(generation=2))
    assert not rig.end(task)
    assert tasks(rig.store)["a", "one"].state == TaskState.RUNNING


def test_the_journal_is_read_by_its_numbers(rig, pipeline):
    """The order in which rows were written is another on a server, and means nothing elsewhere."""
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a", "b")
    rig.work(rig.worker())
    prune.prune(rig.store, Retention(journal=0))
    verbs.rerun(rig.store, rig.select(keys=("a",)), ME)
    journal_fold.fold(rig.store)
    with rig.store.writing() as unit:
        unit.execute(update(tables.item).values(journal_from=-tables.item.c.journal_from))
        unit.execute(update(J).values(id=-J.c.id))
    rig.check()
    rig.work(rig.worker())
    prune.prune(rig.store, Retention(journal=0))
    rig.check()


def test_the_journal_says_what_others_have_to_see(rig, pipeline):
    rig.apply(pipeline(one=()))
    item = NewItem(key="a", path="/data/a", checksum="xxh3:1")
    register.register(rig.store, "line", [item, NewItem(key="b", path="/data/b")], ME)
    (unread,) = sources.unread(rig.store, "line", after=0)
    sources.note_checksums(rig.store, [(unread, "xxh3:2")])
    worker = rig.worker(name="w7", batch_id="slurm:8.0")
    lost, done = rig.claim(worker, 2)
    assert rig.end(done)
    rig.lapse(worker)
    rig.link.reap()
    assert [data.get("by") for *_, data in journal(rig.store, "register")] == ["tester"] * 2
    assert {key: data["checksum"] for key, *_, data in journal(rig.store, "checksum")} == {
        "b": "xxh3:2"
    }
    for *_, data in journal(rig.store, "claim"):
        assert (data["version"], data["worker"], data["batch_id"]) == (1, "w7", "slurm:8.0")
    for event in ("succeed", "requeue"):
        assert [data["batch_id"] for *_, data in journal(rig.store, event)] == ["slurm:8.0"]
    assert lost.step == "one"
    rig.check()


def test_an_adopted_attempt_tells_what_it_came_from(rig, pipeline):
    rig.apply(pipeline(one=(), two=("one",)))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    rig.end(task)
    row = tasks(rig.store)["a", "two"]
    output = Published(name="x", path="/o/x", size_bytes=1, checksum="xxh3:")
    found = adopt.Found(
        task_id=row.id, step_id=row.step_id, outputs=(output,), wanted=(wanted("/o/x"),)
    )
    assert adopt.adopt(rig.store, found, ME)
    with rig.store.reading() as unit:
        picture = rebuild.snapshot(unit)
    (adopted,) = (one for one in picture.attempts.values() if one["kind"] == adopt.ADOPTED)
    assert list(adopted["consumed"]) == ["one"]
    rig.check()


def test_one_path_at_two_places_is_two_files(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a", "b", "c")
    here, there, again = rig.claim(rig.worker(), 3)
    with rig.store.writing() as unit:
        place = places.place_of(unit, "lyon")
        assert places.place_of(unit, "lyon") == place != 0
    path = [wanted("/sps/x")]
    publications.reserve(rig.store, here.attempt, here.task_id, path)
    publications.reserve(rig.store, there.attempt, there.task_id, path, place=place)
    for other in (0, place):
        with pytest.raises(Conflict, match="/sps/x"):
            publications.reserve(rig.store, again.attempt, again.task_id, path, place=other)
    assert publications.contents_of(rig.store, there.task_id, ["/sps/x"]) == {}
    assert publications.contents_of(rig.store, there.task_id, ["/sps/x"], place=place)
    output = Published(name="x", path="/sps/x", size_bytes=1, checksum="xxh3:")
    assert rig.end(here, outputs=(output,))
    assert rig.end(there, outputs=(output,), place=place)
    assert [data.get("place") for *_, data in journal(rig.store, "succeed")] == [None, "lyon"]
    rig.check()


def test_a_place_that_is_not_known_is_told(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    (task,) = rig.claim(rig.worker())
    output = Published(name="x", path="/sps/x", size_bytes=1, checksum="xxh3:")
    with pytest.raises(NotFound, match="place 7"):
        rig.end(task, outputs=(output,), place=7)


def test_the_silence_of_a_detached_worker_means_nothing(rig, pipeline):
    rig.apply(pipeline(one=()))
    rig.push("a")
    worker = rig.worker(lease_kind=LeaseKind.DETACHED)
    rig.claim(worker)
    rig.lapse(worker)
    assert rig.link.reap().workers == 0
    assert not workers.is_gone(rig.store, worker)
    assert reap.reap(rig.store, dead_workers=[worker]).attempts == 1
    rig.check()


def test_a_site_is_named_by_the_file_that_sets_the_stores_settings(store, url, far):
    with store.reading() as unit:
        assert catalog(unit).foreign_ids == []
    assert name_site(store, "modane", set_by="h:/f", actor=ME, dry_run=True) == ("here", "modane")
    assert name_site(store, "modane", set_by="h:/f", actor=ME) == ("here", "modane")
    assert name_site(store, "modane", set_by="h:/f", actor=ME) is None
    ((_, _, _, said),) = journal(store, "rename_site")
    assert said == {"from": "here", "to": "modane", "by": "tester"}
    with pytest.raises(Conflict, match="another site"):
        name_site(store, "lyon", set_by="h:/f", actor=ME)
    again = open_store(url, site_name="ignored")
    with again.reading() as unit:
        names = select(tables.site.c.name).where(tables.site.c.id == again.site)
        assert unit.execute(names).scalar() == "modane"
    again.close()


@pytest.fixture
def lyon(store):
    """An outpost that the store knows, and the worker that stands for it."""
    entries.set_entries(store, [Outpost(name="lyon", folder="/sps")], file="/f")
    return entries.join(store, "lyon", cpus=4, memory_bytes=1 << 33)


def test_what_runs_at_an_outpost_is_claimed_for_that_alone(rig, pipeline, lyon):
    there = Step(name="there", site="lyon", action=Run(text="true"), cpus=2)
    large = Step(name="large", site="lyon", action=Run(text="true"), cpus=8)
    rig.apply(pipeline(there, large, here=()))
    rig.push("a", "b")
    worker = rig.worker()
    assert rig.work(worker) == [("a", "here"), ("b", "here")]
    assert pairs(rig.claim(lyon, 10)) == [("a", "there"), ("b", "there")]
    assert claim.anything_left(rig.store).is_settled  # what is out is for visits to wait for
    rig.lapse(lyon)
    assert reap.reap(rig.store).workers == 0  # silence decides nothing
    lost_hosts.begin_again_elsewhere(rig.store, gone_s=0)
    assert rig.states()["a", "there"] == "running"
    rig.check()
    assert entries.drop(rig.store, "lyon", ME) == 2
    assert reap.reap(rig.store).attempts == 2
    assert rig.states()["a", "there"] == "ready"
    rig.check()


def test_tasks_follow_a_step_that_moves_to_an_outpost_and_back(rig, pipeline, lyon):
    def step(site):
        return Step(name="s", site=site, action=Run(text="true"))

    rig.apply(pipeline(step(None)))
    rig.push("a", "b")
    worker = rig.worker()
    (first,) = rig.claim(worker)
    rig.apply(pipeline(step("lyon")))
    assert rig.claim(worker, 10) == []
    assert rig.end(first)
    rig.check()
    rig.apply(pipeline(step(None)))
    assert rig.claim(lyon, 10) == []
    assert rig.work(worker) == [("b", "s")]
    rig.check()


@pytest.mark.parametrize("job", [None, "lyon:8813402.0"])
def test_what_is_lost_with_its_batch_jobs_there_never_fails(rig, pipeline, lyon, job):
    """A job may be pre-empted without a signal: as on nodes that reach the store, it waits for a person."""
    rig.apply(pipeline(Step(name="there", site="lyon", action=Run(text="true"))))
    rig.push("a")
    for number in range(6 if job else 3):
        (task,) = rig.claim(lyon)
        entries.note_nodes(rig.store, {task.attempt: f"n{number}"})
        entries.note_batch_jobs(rig.store, {task.attempt: job} if job else {})
        assert rig.end(task, AttemptState.LOST, verdict=Verdict.RETRY, node=f"n{number}")
    found = tasks(rig.store)["a", "there"]
    if job is None:
        assert TaskState(found.state) is TaskState.FAILED
    else:
        assert TaskState(found.state) is TaskState.HELD
        assert "held: it was lost 6 times with its batch job" in found.reason
    rig.check()


@pytest.mark.parametrize("end", ["dropped", "again"])
def test_the_node_of_an_attempt_that_nobody_reports_on_is_kept(rig, pipeline, lyon, end):
    there = Step(name="there", site="lyon", after=("here",), action=Run(text="true"))
    rig.apply(pipeline(Step(name="here", action=Run(text="true")), there))
    rig.push("a")
    rig.work(rig.worker())
    (task,) = rig.claim(lyon)
    entries.note_nodes(rig.store, {task.attempt: "n17"})
    rig.check()
    if end == "dropped":
        entries.drop(rig.store, "lyon", ME)
        reap.reap(rig.store)
    else:
        verbs.rerun(rig.store, rig.select(steps=("here",)), ME)
    with rig.store.reading() as unit:
        its = tables.attempt.c
        row = unit.execute(select(its.state, its.node).where(its.id == task.attempt)).one()
    assert row.state != AttemptState.RUNNING
    assert row.node == "n17"
    rig.check()


def test_an_outpost_is_held_released_and_no_longer_in_the_file(rig, lyon):
    store = rig.store
    assert entries.hold(store, "lyon", ME)
    assert not entries.hold(store, "lyon", ME)
    assert entries.release(store, "lyon", ME)
    with pytest.raises(NotFound, match="lyon"):
        entries.hold(store, "lyons", ME)
    entries.set_entries(store, [], file="/other")
    with store.reading() as unit:
        assert site_status(unit)["lyon"].out == 0
    entries.set_entries(store, [], file="/f")
    with store.reading() as unit:
        assert site_status(unit) == {}
