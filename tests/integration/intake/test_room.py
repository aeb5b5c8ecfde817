"""Sources that always tell all there is, and may have only so many items open."""

import subprocess

import pytest
from sqlalchemy import select

from integration.cli.conftest import STOKER
from stoker.intake.register_found import Taker
from stoker.intake.sources.kinds import make_source
from stoker.project import open_project
from stoker.store import tables
from stoker.store.actor import Actor

ME = Actor("tester")

FILE = """
[pipelines.p]
items = "records"
[pipelines.p.params]
name = {{ type = "string", default = "" }}
[pipelines.p.sources.s]
{place}
max_open = 2
[pipelines.p.steps.s]
run = "true"
"""
NAMES = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    "place",
    ['table = "names"\nsettle = "0s"', 'list = "names"\nsettle = "0s"', 'command = "cat names"'],
)
def test_what_is_known_takes_no_room(tmp_path, place):
    (tmp_path / "stoker.toml").write_text(FILE.format(place=place))
    lines = (["name"] if place.startswith("table") else []) + NAMES
    (tmp_path / "names").write_text("".join(f"{line}\n" for line in lines))
    with open_project(tmp_path) as project:
        project.apply()
        pipeline = project.pipeline("p")
        declared = pipeline.sources[0]
        source = make_source(project.store, pipeline, declared, project_folder=str(tmp_path))
        taker = Taker(project.store, "p", source, ME, max_open=declared.max_open)
        known = []
        while len(known) < len(NAMES):
            before = list(known)
            taker.take()
            taker.take()
            with project.store.reading() as unit:
                known = list(unit.execute(select(tables.item.c.key)).scalars())
            assert len(before) < len(known) <= len(before) + 2, "it is stuck, or takes too many"
            project.cancel(*known)
        source.close()
    assert sorted(known) == NAMES


def test_every_line_that_contradicts_what_is_known_is_answered(tmp_path):
    (tmp_path / "stoker.toml").write_text(
        FILE.format(place='table = "t.csv"\nsettle = "0s"')
        .replace("max_open = 2", "")
        .replace('items = "records"', 'items = "records"\non_change = "fail"')
    )
    table = tmp_path / "t.csv"
    with open_project(tmp_path) as project:
        project.apply()
        pipeline = project.pipeline("p")
        source = make_source(
            project.store, pipeline, pipeline.sources[0], project_folder=str(tmp_path)
        )
        taker = Taker(project.store, "p", source, ME)
        for name in ("first", "another"):
            rows = [f"k{at},{name}\n" for at in range(50)]
            table.write_text("".join(["key,name\n", *rows]))
            done = taker.take()
    assert (done.conflicts, len(done.messages)) == (50, 20), "a terminal gets some examples"
    report = (tmp_path / "t.csv.report").read_text()
    assert "0 taken, 50 refused" in report
    assert "  line 51: `k49` is known with other content" in report


def test_what_waits_for_a_pool_without_slots_is_registered_all_the_same(tmp_path):
    place = 'list = "names"\nsettle = "0s"'
    text = FILE.format(place=place).replace("max_open = 2", "")
    (tmp_path / "stoker.toml").write_text(f"{text}pools.own = 1\n[pools]\nown = 1\n")
    (tmp_path / "names").write_text("a\n")
    with open_project(tmp_path) as project:
        project.apply()
        project.set_pool("own", 0)
        project.take_sources()
        assert [str(task.state) for task in project.tasks()] == ["ready"]
        project.set_pool("own", 1)
        assert project.run().done == 1


def test_a_run_works_in_turns_until_all_is_done(tmp_path):
    place = 'table = "names"\nsettle = "0s"'
    (tmp_path / "stoker.toml").write_text(FILE.format(place=place))
    rows = [*(f"{name},\n" for name in NAMES), "bad\n"]
    (tmp_path / "names").write_text("".join(["key,name\n", *rows]))
    pushed = []
    with open_project(tmp_path) as project:
        done = project.run(on_push=pushed.append)
        assert (done.done, done.slots_busy) == (5, None)
        assert [one.registered for one in pushed] == [2, 2, 1]
        project.hold()
        (tmp_path / "names").write_text("key,name\nf,\ng,\nh,\n")
        project.take_sources()
        project.hold()
        assert project.run().held == 2, "what is held takes room, and is not waited for"


def test_a_run_ends_with_what_any_pipeline_was_refused(tmp_path):
    text = FILE.format(place='list = "names"\nsettle = "0s"')
    bad = (
        text.replace("list =", "table =")
        .replace("names", "table")
        .replace("pipelines.p", "pipelines.a")
    )
    (tmp_path / "stoker.toml").write_text(text + bad)
    (tmp_path / "names").write_text("a\n")
    (tmp_path / "table").write_text("key,key\n")
    done = subprocess.run(
        [STOKER, "run"], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "1 done" in done.stdout
