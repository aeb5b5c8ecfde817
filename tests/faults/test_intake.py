"""Items arrive while nobody looks: none is lost, none is taken half-written, none twice."""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from faults.flood import Flood, drop, rename_into_place, wait_for
from stoker.intake import folder, groups, looks, reading, told
from stoker.intake.kinds import make_source
from stoker.intake.taking import Taker
from stoker.project import open_project
from stoker.store import tables

FILE = """
[pipelines.p.sources.incoming]
folder = "incoming"
settle = "0.2s"
[pipelines.p.steps.s]
run = "true"
"""
FILES = 40


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("place", ["beside", "/dev/shm"])
def test_writers_of_every_kind_against_an_intake_that_is_killed(tmp_path, place):
    if place != "beside" and not os.access(place, os.W_OK):
        pytest.skip(f"`{place}` cannot be written")
    other = Path(tempfile.mkdtemp(dir=tmp_path if place == "beside" else place))
    flood = Flood(tmp_path / "home", other)
    try:
        flood.start()
        wait_for(lambda: any(flood.intakes()), 120, "the intake has begun")
        flood.write(files=60, seconds=2, writers=1)
        flood.kill_intake()
        for at in range(20):
            (rename_into_place, drop)[at % 2](
                flood.folder, f"late{at}", random.Random(at), flood.declared
            )
        flood.wait(300)
        assert flood.faults() == []
    finally:
        flood.stop()
        shutil.rmtree(other)


@pytest.fixture
def place(tmp_path):
    """A project with files of which half are in folders of their own."""
    (tmp_path / "stoker.toml").write_text(FILE)
    for at in range(FILES):
        folder = tmp_path / "incoming" / (f"d{at}" if at % 2 else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{at}.dat").write_text(str(at))
    with open_project(tmp_path) as project:
        project.apply()
    return tmp_path


def take(place, failpoints=""):
    """Start what takes in; return its process."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "stoker.project.taking", str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "STOKER_FAILPOINTS": failpoints},
    )


def registered(project):
    """Return how often the journal says that each item was registered."""
    with project.store.reading() as unit:
        rows = unit.execute(
            select(tables.journal.c.key).where(tables.journal.c.event == "register")
        )
        return Counter(row.key for row in rows)


@pytest.mark.parametrize(
    "point",
    [
        "source.registered",
        "source.before_commit@2",
        "source.advanced@2",
        "transaction.before_commit@3",
    ],
)
def test_a_kill_at_any_point_loses_and_doubles_nothing(place, point):
    name, _, count = point.partition("@")
    with take(place, f"{name}=kill@{count or 1}") as first:
        assert first.wait(100) == -signal.SIGKILL
    with take(place) as second, open_project(place) as project:
        wait_for(lambda: len(registered(project)) == FILES, 100, "all is registered")
        second.stdin.close()
        assert second.wait(100) == 0
        assert set(registered(project).values()) == {1}
        assert len(project.tasks()) == FILES


def test_no_clock_but_the_one_that_nobody_sets_is_asked(place, monkeypatch):
    only = SimpleNamespace(monotonic=time.monotonic, monotonic_ns=time.monotonic_ns)
    for module in (folder, groups, looks, reading, told):
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", only)
    future_s = time.time() + 1e6
    os.utime(place / "incoming" / "0.dat", (future_s, future_s))
    os.utime(place / "incoming" / "2.dat", (0, 0))
    with open_project(place) as project:
        pipeline = project.pipeline("p")
        source = make_source(
            project.store, pipeline, pipeline.sources[0], project_folder=str(place)
        )
        taker = Taker(project.store, "p", source)
        assert taker.take().registered == 0, "a file was taken at its first look"
        wait_for(
            lambda: (taker.take(), len(registered(project)) == FILES)[1], 100, "all is registered"
        )
        source.close()
