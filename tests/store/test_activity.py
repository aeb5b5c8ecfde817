"""How busy hosts and steps were is counted by hours and days, each end once, and read without a scan."""

import pytest
from sqlalchemy import func, select, update

from stoker.model.states import AttemptState
from stoker.store import journal_fold, tables
from stoker.store.forecasts import activity
from stoker.store.forecasts.activity import DAYS, HOST, HOURS, STEP, Took, counted, shares
from stoker.store.reports import host_load, timeline
from stoker.store.retention import counted_hours
from store.test_estimates import push

HOUR = 3_600_000_000
N = tables.activity


def totals(store, kind, level):
    columns = (N.c.done, N.c.failed, N.c.other, N.c.busy_us)
    with store.reading() as unit:
        query = select(*(func.sum(one) for one in columns))
        row = unit.execute(query.where(N.c.kind == kind, N.c.level == level)).one()
    return [int(one or 0) for one in row]


def look(store):
    journal_fold.fold(store)
    activity.catch_up(store, limit_s=60)


def test_each_end_is_counted_once_however_often_it_is_looked_for(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, x=None, y=None, z=None)
    claimed = rig.claim(rig.worker(), 3)
    states = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.SUCCEEDED)
    for task, state in zip(claimed[:2], states, strict=False):
        begin_us = task.claimed_us
        rig.end(task, state, started_us=begin_us, ended_us=begin_us + 90_000_000)
    look(rig.store)
    look(rig.store)
    task = claimed[2]
    rig.end(
        task,
        AttemptState.SUCCEEDED,
        started_us=task.claimed_us,
        ended_us=task.claimed_us + 30_000_000,
    )
    look(rig.store)
    for kind in (HOST, STEP):
        for level in (HOURS, DAYS):
            assert totals(rig.store, kind, level) == [2, 1, 0, 210_000_000], (kind, level)


def test_two_who_count_at_once_count_once(rig, pipeline, monkeypatch):
    rig.apply(pipeline(a=()))
    push(rig, x=None)
    (task,) = rig.claim(rig.worker(), 1)
    rig.end(
        task, AttemptState.SUCCEEDED, started_us=task.claimed_us, ended_us=task.claimed_us + HOUR
    )
    journal_fold.fold(rig.store)
    real = activity._write
    inside = []

    def late(*counts):
        if not inside:
            inside.append(True)
            activity.note(rig.store)
        real(*counts)

    monkeypatch.setattr(activity, "_write", late)
    activity.note(rig.store)
    assert inside
    assert totals(rig.store, STEP, DAYS)[0] == 1


@pytest.mark.parametrize(
    ("begin", "end", "wanted"),
    [
        (0, 0, []),
        (10, 20, [(0, 10)]),
        (HOUR - 5, HOUR + 7, [(HOUR, 7), (0, 5)]),
        (HOUR, 2 * HOUR, [(HOUR, HOUR)]),
        (20, 10, []),  # its clock was set back
    ],
)
def test_a_time_is_shared_out_over_the_hours_that_it_touches(begin, end, wanted):
    assert list(shares(begin, end, HOUR)) == wanted


def test_an_attempt_of_thirty_years_fills_no_table():
    one = Took(AttemptState.SUCCEEDED, 0, 30 * 365 * 24 * HOUR, 7, "pc")
    found = counted([one])
    assert len(found) <= 4 * activity.MOST_BINS
    assert sum(n[0] for key, n in found.items() if key.kind == STEP and key.level == DAYS) == 1


def test_hours_long_ago_are_forgotten_and_their_days_stay(rig, pipeline, monkeypatch):
    """Of every host, also of those that came once; timelines of that time are drawn by days."""
    rig.apply(pipeline(a=()))
    push(rig, x=None)
    (task,) = rig.claim(rig.worker(), 1)
    old_us = task.claimed_us - activity.HOURS_KEPT_US - 2 * HOUR
    for state, at_us in ((AttemptState.SUCCEEDED, task.claimed_us), (AttemptState.FAILED, old_us)):
        ended = [Took(state, at_us - HOUR, at_us, 1, host) for host in ("here", "once")]
        _add(rig.store, counted(ended))
    for _ in counted_hours.forget(rig.store):
        pass
    for kind in (HOST, STEP):
        assert totals(rig.store, kind, HOURS)[:2] == [2, 0]
        assert totals(rig.store, kind, DAYS)[:2] == [2, 2]
    monkeypatch.setattr(timeline, "LIGHT", -1)  # as where there are too many attempts
    seen = timeline.timeline(rig.store, old_us - HOUR, old_us + HOUR)
    assert [(row.name, sum(one.failed for one in row.bins)) for row in seen.rows] == [
        ("here", 1),
        ("once", 1),
    ]


def _add(store, counts):
    with store.writing() as unit:
        names = ("kind", "level", "subject", "at_us", "done", "failed", "other", "busy_us")
        unit.insert(N, names, [(*one, *n) for one, n in counts.items()])


def test_the_load_of_a_host_has_what_ended_and_what_still_runs(rig, pipeline):
    rig.apply(pipeline(a=()))
    push(rig, x=None, y=None)
    ended, running = rig.claim(rig.worker(), 2)
    now_us = running.claimed_us
    rig.end(ended, AttemptState.SUCCEEDED, started_us=now_us - HOUR, ended_us=now_us)
    look(rig.store)
    before = sum(host_load.host_load(rig.store, hours=3)["host"])
    assert before > 0
    a = tables.attempt
    with rig.store.writing() as unit:
        mine = update(a).where(a.c.task_id == running.task_id)
        unit.execute(mine.values(started_us=now_us - HOUR))
    assert sum(host_load.host_load(rig.store, hours=3)["host"]) > before + 0.5
