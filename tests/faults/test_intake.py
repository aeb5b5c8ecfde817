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
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from couch.server import Couch
from faults.flood import Flood
from faults.writers import drop, rename_into_place, wait_for
from stoker.intake import parts, pending_notices, read_folder, seen_files
from stoker.intake.register_found import Taker
from stoker.intake.sources import files, folder_look
from stoker.intake.sources.kinds import make_source
from stoker.project import open_project
from stoker.store import tables
from stoker.store.actor import Actor

ME = Actor("tester")

FILE = """
[pipelines.p.sources.incoming]
{place}
[pipelines.p.steps.s]
run = "true"
"""
PLACES = {
    "folder": 'folder = "incoming"\nsettle = "0.2s"',
    "table": 'table = "names"\nsettle = "0.2s"',
    "list": 'list = "names"\nsettle = "0.2s"',
    "command": 'command = "cat names"\nevery = "0.2s"',
    "feed": 'feed = "{url}"\npath = "path"',
}
STAGES = ("registered", "before_commit", "advanced")
NO_CURSOR = ("command", "before_commit")  # it prints all each time: nothing is to be remembered
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
def place(request, tmp_path):
    """A project with files of which half are in folders of their own, and what names them."""
    names = [f"d{at}/{at}.dat" if at % 2 else f"{at}.dat" for at in range(FILES)]
    for name in names:
        file = tmp_path / "incoming" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    lines = [f"incoming/{name}\n" for name in names]
    (tmp_path / "names").write_text(
        "".join(["path\n", *lines] if request.param == "table" else lines)
    )
    text = FILE.format(place=PLACES[request.param])
    with ExitStack() as stack:
        if request.param == "feed":
            server = stack.enter_context(closing(Couch()))
            text = text.replace("{url}", server.make("files"))
            documents = [
                {"_id": str(at), "path": f"incoming/{name}"} for at, name in enumerate(names)
            ]
            server.put("files", *documents)
        (tmp_path / "stoker.toml").write_text(text)
        with open_project(tmp_path) as project:
            project.apply()
        yield tmp_path


def take(place, failpoints=""):
    """Start what takes in; return its process."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "stoker.project.services.taking", str(place)],
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
    ("place", "point"),
    [
        *[(kind, f"source.{at}") for kind in PLACES for at in STAGES if (kind, at) != NO_CURSOR],
        ("command", "transaction.before_commit@2"),
        *[("folder", f"source.{at}@2") for at in STAGES[1:]],
        *[("folder", f"transaction.{at}@3") for at in ("before_commit", "committed")],
    ],
    indirect=["place"],
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


@pytest.mark.parametrize("place", ["folder"], indirect=True)
def test_no_clock_but_the_one_that_nobody_sets_is_asked(place, monkeypatch):
    only = SimpleNamespace(monotonic=time.monotonic, monotonic_ns=time.monotonic_ns)
    for module in (files, folder_look, parts, seen_files, read_folder, pending_notices):
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
        taker = Taker(project.store, "p", source, ME)
        assert taker.take().registered == 0, "a file was taken at its first look"
        wait_for(
            lambda: (taker.take(), len(registered(project)) == FILES)[1], 100, "all is registered"
        )
        source.close()
