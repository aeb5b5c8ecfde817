"""A disk gets full under scratch, outputs, logs, store or server: nothing counts that is not there.

The worker says so and claims nothing; when there is room the work goes on by itself, and what the
full disk broke off does not count as tried.
"""

import contextlib
import json
import os

import pymysql
import pytest

import servers
from disks import Disks, fill
from faults.site import Site
from integration.work.rig import Rig
from stoker.errors import Unavailable
from stoker.model.item import NewItem
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.dialects.mariadb import MariadbDialect
from stoker.store.holdings import publications
from stoker.store.reports import overview
from stoker.work import delivery, room

STEP = """
[pipelines.p.steps.s]
backoff = "0.1s"
run = '''
LIFE
tick start
head -c 200000 /dev/zero > {out.a}
head -c 20000 /dev/zero | tr '\\0' x
'''
outputs.a = "%s/{key}"
"""


@pytest.fixture
def disks(tmp_path):
    found = Disks(tmp_path)
    yield found
    found.close()


@pytest.fixture
def site_on(tmp_path, launcher, disks):
    """Make a site of which the named part lies on a small file system of its own."""
    sites = []

    def make(name: str, *, options: str = "size=8m", step: str = STEP, keys: str = "abc"):
        disk = disks.mount(name, options=options)
        if not disks.mounted:
            pytest.skip("no file system can be mounted here")
        folder = tmp_path / "project"
        folder.mkdir()
        site = Site(folder, launcher, scratch=disk / "s" if name == "scratch" else None)
        sites.append(site)
        if name == "store":
            (folder / ".stoker").symlink_to(disk)
        if name == "logs":
            (folder / ".stoker").mkdir()
            (folder / ".stoker" / "logs").symlink_to(disk)
        out = disk if name == "outputs" else folder / "results"
        site.outside = [disk]
        site.write(step % out if "%s" in step else step)
        site.apply()
        site.push(*keys)
        return site, disk

    yield make
    for one in sites:
        one.close()


def said(site) -> str:
    """What `stoker status` says is wrong, by the rows of the workers or of the store itself."""
    return " ".join(filter(None, [one.trouble for one in overview.status(site.store).workers]))


def attempts(site) -> list:
    """All but those that were given back before they began."""
    attempt = tables.attempt
    return site.scene().rows(attempt.select().where(attempt.c.state != AttemptState.CANCELLED))


def states(site) -> list[int]:
    return [row.state for row in attempts(site)]


@pytest.mark.parametrize("name", ["scratch", "outputs", "logs"])
def test_the_worker_says_so_and_goes_on_by_itself_when_there_is_room(site_on, name):
    site, disk = site_on(name)
    fill(disk)
    run = site.start("run", "--slots", "2")
    site.wait(lambda: f"the disk of the {name}" in said(site), "status says so")
    assert "nothing is claimed until there is room" in run.said
    if name == "scratch":  # of the others, the first attempts may have been under way already
        asked = site.run("why", "a", "--json")
        assert json.loads(asked.said)["kind"] == "disk_full"
        assert not states(site)
    (disk / "big").unlink()
    assert site.end(run) == 0, site.dump()
    site.hold()
    assert not said(site)


def test_a_full_store_is_said_to_be_and_the_work_goes_on(site_on):
    site, disk = site_on("store")
    fill(disk)
    run = site.start("run", "--slots", "2")
    site.wait(lambda: "cannot grow" in run.said or run.poll() is not None, "it says why")
    asked = site.run("status", "--json")
    assert "the disk of the store" in json.loads(asked.said)["trouble"]
    why = json.loads(site.run("why", "a", "--json").said)
    assert why["kind"] == "store"
    (disk / "big").unlink()
    if site.end(run) == 5:  # it could not even begin, and said so
        site.run()
    site.hold()
    assert json.loads(site.run("status", "--json").said)["trouble"] is None


@pytest.fixture(
    params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in servers.KINDS]
)
def small_server(request):
    """A database server on a small file system of its own."""
    server = servers.require(request.param)(disk_mb=240)
    if not server.is_mounted:
        server.close()
        pytest.skip("no file system can be mounted here")
    yield server
    server.close()


def test_a_full_disk_under_the_database_loses_nothing(tmp_path, launcher, small_server):
    site = Site(tmp_path, launcher, url=small_server.new_database("lab"))
    other = small_server.new_database("other")
    try:
        site.write(STEP % (tmp_path / "results"))
        site.apply()
        keys = [f"k{n:02}" for n in range(40)]
        site.push(*keys)
        work = site.start("work", "--slots", "2")
        site.wait(lambda: AttemptState.SUCCEEDED in states(site), "the work has begun")
        big = fill(small_server.folder)
        large = NewItem(key="large", meta={"text": os.urandom(4_000_000).hex()})
        with pytest.raises(Unavailable, match="the store's database does not"):
            register.register(site.store, "p", [large], Actor("tester"))
        with pytest.raises(Unavailable, match="the store's database does not"):
            open_store(other)
        big.unlink()
        if not small_server.is_running:  # it could not even end in order
            small_server.start()
        open_store(other).close()
        site.push("after")
        site.run()
        os.kill(work.pid, 15)
        assert site.end(work) == 130, site.dump()
        site.hold()
        assert len(site.scene().rows(tables.item.select())) == len(keys) + 1
    finally:
        site.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "Error writing file './lab/u.frm' (Errcode: 28 \"No space left on device\")"),
        (1005, 'Can\'t create table `lab`.`t` (errno: 28 "No space left on device")'),
        (1030, 'Got error 28 "No space left on device" from storage engine Aria'),
    ],
)
def test_mariadb_has_no_room_under_many_codes(code, words):
    dialect = MariadbDialect()
    assert isinstance(dialect.translate(pymysql.err.InternalError(code, words)), Unavailable)
    other = pymysql.err.InternalError(code, words.replace(" 28", " 150"))
    assert dialect.translate(other) is None


def test_room_for_no_more_files_is_a_full_disk_too(site_on):
    site, disk = site_on("scratch", options="size=64m,nr_inodes=400")
    with contextlib.suppress(OSError):
        for n in range(1000):
            (disk / f"n{n}").touch()
    run = site.start("run")
    site.wait(lambda: "more files" in said(site), "status says so")
    for path in disk.glob("n*"):
        path.unlink()
    assert site.end(run) == 0, site.dump()
    site.hold()


def test_a_finished_attempt_waits_for_room_and_is_published_without_running_again(site_on):
    site, disk = site_on("outputs")
    fill(disk)
    run = site.start("run", "--slots", "2")
    site.wait(lambda: "the disk of the outputs" in said(site), "status says so")
    (disk / "big").unlink()
    assert site.end(run) == 0, site.dump()
    assert states(site) == [AttemptState.SUCCEEDED] * 3  # each task took one attempt
    site.hold()


def test_an_attempt_that_waits_for_room_can_be_cancelled_and_stopped(site_on):
    site, disk = site_on("outputs")
    fill(disk)
    work = site.start("work", "--slots", "1")
    site.wait(lambda: "the disk of the outputs" in said(site), "status says so")
    site.run("cancel", "a", "b", "c")
    site.wait(lambda: AttemptState.RUNNING not in states(site), "nothing waits any more")
    os.kill(work.pid, 15)
    site.end(work)
    site.hold(may_fail=True)
    assert not list(disk.glob(".stoker*"))


def test_an_attempt_that_fills_the_disk_itself_fails_in_the_end(site_on):
    greedy = """
    [pipelines.p.steps.s]
    backoff = "0.05s"
    run = 'head -c 100M /dev/zero > big'
    """
    site, _ = site_on("scratch", step=greedy, keys="a")
    site.run("run", "--slots", "1", code=1)
    assert [row.cause for row in attempts(site)] == ["disk full"] * (room.MOST_EXCUSED + 1)
    site.hold(may_fail=True)


def test_a_store_that_does_not_answer_for_a_while_costs_no_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "RESERVE_AGAIN_S", 0.01)
    reserve, refused = publications.reserve, []

    def hesitant(*args):
        if len(refused) < 3:
            refused.append(args)
            raise Unavailable("the store cannot grow")
        return reserve(*args)

    monkeypatch.setattr(publications, "reserve", hesitant)
    rig = Rig(tmp_path)
    try:
        seen = rig.run("[pipelines.p.steps.s]\nrun = 'echo > {out.a}'\noutputs.a = 'results/{key}'")
        assert (seen["k"].state, len(rig.all_attempts())) == ("succeeded", 1)
        assert len(refused) == 3
    finally:
        rig.close()
