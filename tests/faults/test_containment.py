"""Whatever a task does to get away, it is gone when its attempt ends, in whichever way that happens."""

import signal
from pathlib import Path

import pytest

from faults import check
from faults.site import kill
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.project.checks import checkup
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.orders import verbs
from stoker.work import cgroups

ME = Actor("tester")

# Each ends in a process that would live for an hour. `--` keeps the tag out of the shell's options.
ESCAPES = {
    "double fork": "(setsid bash -c '(while sleep 0.05; do :; done) & sleep 3600' TAG &)",
    "ignoring TERM": "(setsid bash -c 'trap \"\" TERM HUP INT; while sleep 0.05; do :; done' TAG &)",
    "renamed": "(exec -a '[kworker/0:1]' setsid bash -c 'while sleep 0.05; do :; done' TAG) &",
    "closed descriptors": "(exec 0<&- 1>&- 2>&-; setsid bash -c 'while sleep 0.05; do :; done' TAG &)",
    "no environment": "(env -i setsid /bin/bash -c 'while sleep 0.05; do :; done' TAG &)",
    "forking on": "(setsid bash -c 'f() { sleep 0.02; f & }; f; sleep 3600' TAG &)",
}
STEP = """
[pipelines.p.steps.s]
%s
run = '''
LIFE
%s
tick start
%s
'''
"""
FOR_LONG = "trap '' TERM; while :; do sleep 0.05; done"
UNTIL_GO = "until test -e HERE/go-{key}; do sleep 0.05; done"


def prepare(site, escape: str, end: str, more: str = "") -> None:
    site.write(STEP % (more, ESCAPES[escape], end))
    site.apply()
    site.push("k")


def is_running(site) -> bool:
    return bool(check.read_ledger(site.folder))


def ended(site) -> list[str]:
    attempt = tables.attempt
    rows = site.scene().rows(attempt.select().order_by(attempt.c.number))
    return [AttemptState(row.state).word for row in rows]


@pytest.mark.parametrize("escape", ESCAPES)
def test_it_is_gone_when_the_attempt_ends(site, escape):
    prepare(site, escape, "true")
    site.run()
    assert ended(site) == ["succeeded"]
    site.hold()


@pytest.mark.parametrize("escape", ESCAPES)
def test_it_is_gone_when_the_attempt_is_cancelled(site, escape):
    prepare(site, escape, FOR_LONG)
    run = site.start("run")
    site.wait(lambda: is_running(site), "the attempt runs")
    verbs.cancel(site.store, Selection(), ME)
    site.end(run)
    assert ended(site) == ["cancelled"]
    site.hold(may_fail=True)


@pytest.mark.parametrize("escape", ESCAPES)
def test_it_is_gone_when_the_time_is_up(site, escape):
    prepare(site, escape, FOR_LONG, 'timeout = "0.2s"')
    site.run(code=1)
    assert ended(site) == ["timed_out"]
    site.hold(may_fail=True)


@pytest.mark.parametrize("escape", ESCAPES)
def test_it_is_gone_at_once_when_the_worker_is_killed(site, escape):
    again = "test $(wc -l < LEDGER) -gt 1 || " + f"({FOR_LONG})"
    prepare(site, escape, again)
    run = site.start("run", lease_s=300.0)
    site.wait(lambda: is_running(site), "the attempt runs")
    first = set(check.left_behind(site.scene()))
    kill(site.worker(run))
    pids = {int(line.split()[1]) for line in first} - {run.pid}
    site.wait(lambda: not pids & alive(site), "what it ran is gone")
    assert site.end(run) == 0, site.dump()  # long before the lease would have run out
    assert ended(site) == ["lost", "succeeded"]
    site.hold()


@pytest.mark.parametrize("escape", ESCAPES)
def test_it_is_gone_when_its_attempt_ends_though_another_one_goes_on(site, escape):
    site.write(STEP % ("", f"test {{key}} = long || {{ sleep 0.3\n{ESCAPES[escape]}\n}}", UNTIL_GO))
    site.apply()
    site.push("long", "short")
    run = site.start("run", "--slots", "2")
    ledger = check.read_ledger
    site.wait(lambda: len(ledger(site.folder)) == 2 and tagged(site), "both run, and the daemon")
    (site.folder / "go-short").touch()
    site.wait(lambda: "succeeded" in ended(site), "the one has ended")
    site.wait(lambda: not tagged(site), "what it left is gone")
    assert "running" in ended(site)
    (site.folder / "go-long").touch()
    assert site.end(run) == 0, site.dump()
    site.hold()


def tagged(site) -> list[str]:
    """What the tasks left: the tag is among its words."""
    return [line for line in check.left_behind(site.scene()) if site.tag in line]


def alive(site) -> set[int]:
    return {int(line.split()[1]) for line in check.left_behind(site.scene())}


def test_others_notice_a_dead_worker_and_its_warden_when_the_lease_is_over(site):
    prepare(site, "double fork", "test $(wc -l < LEDGER) -gt 1 || sleep 3600")
    other = site.start("work", "--drain", "--slots", "1", lease_s=1.5)
    run = site.start("work", "--slots", "1", lease_s=1.5)
    site.wait(lambda: is_running(site), "the attempt runs")
    holder = holder_of(site)
    dead = run if site.worker(run) == holder else other
    site.excuse(holder, for_s=10)
    kill(dead.pid)
    kill(holder)
    site.wait(lambda: ended(site)[:1] == ["lost"], "somebody else noticed")
    site.wait(lambda: ended(site)[-1:] == ["succeeded"], "the work goes on")
    for one in (run, other):
        kill(one.pid, signal.SIGTERM)
        site.end(one)
    site.run()  # with nothing to do, it clears what is left
    site.hold()


@pytest.mark.parametrize("has_groups", [True, False], ids=["groups", "no groups"])
@pytest.mark.parametrize("escape", ["double fork", "no environment"])
def test_a_neighbour_clears_what_a_worker_and_its_warden_left_when_both_were_killed(
    site, escape, has_groups
):
    prepare(site, escape, "test $(wc -l < LEDGER) -gt 1 || sleep 3600")
    dead = site.start("work", "--slots", "1", lease_s=600, groups=has_groups)
    site.wait(lambda: is_running(site), "the attempt runs")
    left = alive(site)
    neighbour = site.start("work", "--slots", "1", lease_s=600, leftovers_s=0.2, groups=has_groups)
    site.wait(lambda: len(list(site.scratch.iterdir())) == 2, "the neighbour works")
    worker = site.worker(dead)
    site.excuse(worker, for_s=20)
    kill(dead.pid)
    kill(worker)
    site.wait(lambda: not left & alive(site), "the neighbour has killed what it ran")
    site.wait(lambda: ended(site)[1:] == ["succeeded"], "the work goes on, long before the lease")
    site.wait(lambda: len(list(site.scratch.iterdir())) == 1, "its scratch is gone")
    kill(neighbour.pid, signal.SIGTERM)
    site.end(neighbour)
    site.hold()


def holder_of(site) -> int:
    worker, attempt = tables.worker, tables.attempt
    query = worker.select().join(attempt, attempt.c.worker_id == worker.c.id)
    return site.scene().rows(query)[0].pid


@pytest.mark.skipif(not cgroups.can_be_used(), reason="control groups cannot be written here")
def test_the_group_of_a_dead_worker_goes_with_those_of_workers_below_it():
    outer = Path(cgroups.own_folder(), cgroups._name(2**22, 1))
    inner = outer / cgroups._name(2**22 + 1, 1)
    inner.mkdir(parents=True)
    cgroups.clear_dead(str(outer.parent))
    assert not outer.exists()


@pytest.mark.skipif(not cgroups.can_be_used(), reason="control groups cannot be written here")
def test_the_group_of_a_worker_in_another_container_is_left_alone():
    other = Path(cgroups.own_folder(), f"stoker-{2**22}-1-1")  # a namespace that is not ours
    other.mkdir()
    try:
        cgroups.clear_dead(str(other.parent))
        cgroups.kill(2**22)
        assert other.exists()
    finally:
        other.rmdir()


def test_the_doctor_says_whether_there_are_control_groups():
    found = {one.check: one for one in checkup._containment(None)}
    assert ("can be made" in found["cgroups"].text) == cgroups.can_be_used()
