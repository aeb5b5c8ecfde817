"""What clients may expect: place in the queue, the end, what is usual, and progress that never falls."""

import pytest
from sqlalchemy import update

from stoker.model.item import NewItem
from stoker.model.pipeline import Run, Step
from stoker.model.shares import Ledger, ShareBy, Shares
from stoker.store import journal_fold, tables
from stoker.store.arrivals.submit import Submission, submit
from stoker.store.forecasts import estimates
from stoker.store.orders.reported import report
from stoker.store.reports import turns
from stoker.store.reports.jobs import job
from stoker.store.reports.outlook import Outlook, outlook, usual
from store.rig import set_shares

KEYS = [letter * 32 for letter in "abcdef"]


@pytest.fixture
def queue(rig, pipeline):
    """Six jobs of two steps of 10 s each, in order."""
    rig.apply(pipeline(first=(), second=("first",)))
    for key in KEYS:
        submit(rig.store, "line", [Submission(item=NewItem(key=key), user="ben")])
    return rig


def say_all_take(rig, expected_ms):
    with rig.store.writing() as unit:
        unit.execute(update(tables.task).values(expected_ms=expected_ms))


def test_a_job_has_its_place_though_nothing_is_known_of_the_steps(queue):
    found = [outlook(queue.store, "line", key) for key in KEYS]
    assert [one.place for one in found] == [1, 2, 3, 4, 5, 6]
    assert {one.ends_in_s for one in found} == {None}
    assert outlook(queue.store, "line", "0" * 32) == Outlook()


def test_the_end_is_behind_those_before_it_and_those_that_run(queue):
    say_all_take(queue, 10_000)
    assert outlook(queue.store, "line", KEYS[0]).ends_in_s is None  # nobody is there to run it
    worker = queue.worker(slots=2, cpus=2)
    assert outlook(queue.store, "line", KEYS[1]) == Outlook(place=2, ends_in_s=20.0)
    assert outlook(queue.store, "line", KEYS[5]) == Outlook(place=6, ends_in_s=20.0 + 50.0 / 2)
    assert len(queue.claim(worker, 2)) == 2
    running, waits = (outlook(queue.store, "line", KEYS[n]) for n in (0, 2))
    assert running.place is None
    assert 15 < running.ends_in_s <= 20
    assert waits.place == 1
    assert 25 < waits.ends_in_s <= 30


def test_of_a_long_queue_only_the_beginning_is_counted(queue, monkeypatch):
    say_all_take(queue, 10_000)
    queue.worker()
    monkeypatch.setattr(turns, "MOST", 5)
    assert outlook(queue.store, "line", KEYS[5]) == Outlook(place=6, is_far=True)
    assert not outlook(queue.store, "line", KEYS[4]).is_far


def test_what_waits_for_other_workers_is_not_before_it(rig, pipeline):
    away = Step(name="away", action=Run(text="true"), needs=("grid",))
    rig.apply(pipeline(away, here=()))
    for key in KEYS[:3]:
        submit(rig.store, "line", [Submission(item=NewItem(key=key), user="ben")])
    assert outlook(rig.store, "line", KEYS[2]).place == 3


def test_progress_that_was_reported_never_falls(queue):
    key, other = KEYS[:2]
    assert report(queue.store, {key: 40, other: 3}) == {key: 40, other: 3}
    assert report(queue.store, {key: 30, other: 5, "0" * 32: 9}) == {key: 40, other: 5}
    assert job(queue.store, key).reported == 40


def test_what_is_usual_follows_from_what_steps_took(queue):
    before = usual(queue.store)["line"]
    assert (before.typical_s, before.most_s) == (None, None)
    worker = queue.worker()
    while tasks := queue.claim(worker, 4):
        for task in tasks:
            queue.end(task, started_us=task.claimed_us, ended_us=task.claimed_us + 10_000_000)
    journal_fold.fold(queue.store)
    estimates.learn(queue.store)
    after = usual(queue.store)["line"]
    assert 15 < after.typical_s < 25
    assert after.typical_s <= after.most_s < 60


@pytest.mark.parametrize("weights", [{}, {"anna": 2.0}, {"cleo": 3.0, "ben": 0.5}])
def test_with_shares_the_place_is_where_its_turn_comes(rig, pipeline, weights):
    set_shares(rig.store, Shares(by=ShareBy.USER, weights=weights))
    rig.apply(pipeline(only=()))
    keys = []
    for user, n in (("anna", 7), ("ben", 3), ("cleo", 5)):
        own = [f"{user[0]}{number:031x}" for number in range(n)]
        items = [NewItem(key=key, priority=key.endswith("2")) for key in own]
        submit(rig.store, "line", [Submission(item=item, user=user) for item in items])
        keys += own
    places = {key: outlook(rig.store, "line", key).place for key in keys}
    worker, ledger, order = rig.worker(slots=1), Ledger(), []
    for _ in keys:
        (task,) = rig.claim(worker, 1, cpus=1, ledger=ledger)
        rig.end(task)
        ledger.end(task.attempt, 1.0)
        order.append(task.key)
    urgent = [key for key in order if key.endswith("2")]
    assert set(order[:3]) == set(urgent)
    for key in set(keys) - set(urgent):
        assert abs(places[key] - order.index(key) - 1) <= 1, (key, order, places)
    assert max(places[key] for key in urgent) <= 3


def test_of_more_groups_than_are_looked_at_there_may_be_others_before_it(
    rig, pipeline, monkeypatch
):
    set_shares(rig.store, Shares(by=ShareBy.USER))
    monkeypatch.setattr(turns, "MOST_GROUPS", 1)
    rig.apply(pipeline(only=()))
    for key, user in zip(KEYS, ("anna", "ben", "cleo"), strict=False):
        submit(rig.store, "line", [Submission(item=NewItem(key=key), user=user)])
    assert outlook(rig.store, "line", KEYS[2]) == Outlook(place=2, is_far=True)
