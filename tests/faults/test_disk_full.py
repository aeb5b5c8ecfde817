"""A disk gets full under scratch, outputs or store: nothing counts that is not there, and work goes on."""

import contextlib
import os

import pytest

from faults.chaos import Disks
from faults.site import Site
from integration.work.rig import Rig
from stoker.errors import Unavailable
from stoker.store import publications, tables
from stoker.work import conclude

STEP = """
[pipelines.p.steps.s]
retries = 1000
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


def fill(folder) -> None:
    """There is no room left, to the last block."""
    with (folder / "big").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


@pytest.mark.parametrize("name", ["scratch", "outputs", "logs", "store"])
def test_work_goes_on_by_itself_when_there_is_room_again(tmp_path, launcher, disks, name):
    disk = disks.mount(name, 8)
    if not disks.mounted:
        pytest.skip("no file system can be mounted here")
    folder = tmp_path / "project"
    folder.mkdir()
    site = Site(folder, launcher, scratch=disk / "s" if name == "scratch" else None)
    try:
        if name == "store":
            (folder / ".stoker").symlink_to(disk)
        if name == "logs":
            (folder / ".stoker").mkdir()
            (folder / ".stoker" / "logs").symlink_to(disk)
        out = disk if name == "outputs" else folder / "results"
        site.outside = [disk]
        site.write(STEP % out)
        site.apply()
        site.push("a", "b", "c")
        fill(disk)
        run = site.start("run", "--slots", "2")
        if name in ("store", "scratch"):  # it cannot even begin
            words = {"store": "cannot grow", "scratch": "is full; make room"}[name]
            site.wait(lambda: words in run.said, "it says why")
        else:
            site.wait(lambda: site.scene().rows(tables.attempt.select()), "it has tried")
        (disk / "big").unlink()
        if site.end(run) == 5:  # it could not even begin, and said so
            assert name == "store"
            site.run()
        site.hold()
        assert os.listdir(out)
    finally:
        site.close()


def test_a_store_that_does_not_answer_for_a_while_costs_no_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(conclude, "RESERVE_AGAIN_S", 0.01)
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
