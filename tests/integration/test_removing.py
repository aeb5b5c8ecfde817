"""Submitted items that are over: removed with their uploads and results, and with nothing else."""

import os
import time
from pathlib import Path

import pytest

from stoker.errors import NotFound, WrongState
from stoker.project import Project
from stoker.project.jobs.acceptance import Acceptance, Wanted
from stoker.project.jobs.job_files import JobFiles
from stoker.project.jobs.removing import Keeper, remove_job
from stoker.project.jobs.validation import GivenFile
from stoker.store import tables
from stoker.store.arrivals.submissions import Client

LAB = """
[pipelines.p]
web.keep = "1h"
params.fails = { type = "boolean", default = false }
[pipelines.p.steps.s]
run = "cp {item} {out.o}; mkdir {out.d}; echo x > {out.d}/x; ! {params.fails}"
outputs.o = "r/{key}.txt"
outputs.d = "d/{key}/"
[pipelines.p.steps.t]
run = "cp {in.s.o} {out.o}"
outputs.o = "t/{key}.txt"
"""


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "stoker.toml").write_text(LAB)
    (tmp_path / "upload").write_bytes(b"content")
    with Project(tmp_path / "stoker.toml") as project:
        project.apply()
        yield project


def submit(lab, **inputs):
    file = GivenFile(path=str(lab.file.parent / "upload"), name="u", size_bytes=7)
    accepting = Acceptance(
        lab, lab.pipeline("p"), client=Client(name="x"), find_file=lambda *_: file
    )
    return accepting.one(Wanted(inputs={"item": "u", **inputs}))


def left(lab):
    """The files of the project that are not its own."""
    root = lab.file.parent
    own = JobFiles(lab.settings, lab.store).folder
    found = [path for name in ("r", "d", "t") for path in (root / name).rglob("*")]
    return sorted(str(one.relative_to(root)) for one in found) + sorted(os.listdir(own))


def later(lab, seconds):
    """Let everything have happened that much earlier."""
    with lab.store.writing() as unit:
        for table, names in ((tables.attempt, ("ended_us",)), (tables.item, ("registered_us",))):
            values = {name: table.c[name] - int(seconds * 1e6) for name in names}
            unit.execute(table.update().values(**values))


def test_a_job_is_removed_with_its_files_and_results(lab):
    keys = [submit(lab), submit(lab)]
    lab.run()
    kept = [name for name in left(lab) if keys[1] in name]
    remove_job(lab, "p", keys[0], reason="tidy")
    assert [row.item for row in lab.items()] == [keys[1]]
    assert [name for name in left(lab) if name.endswith((".txt", "x")) or name in keys] == [
        name for name in kept if name.endswith((".txt", "x")) or name in keys
    ]
    assert (lab.file.parent / "upload").read_bytes() == b"content"
    with pytest.raises(NotFound):
        remove_job(lab, "p", keys[0], reason="tidy")


def test_what_somebody_changed_stays(lab):
    key = submit(lab)
    lab.run()
    changed = Path(lab.file.parent, "r", f"{key}.txt")
    changed.write_text("mine")
    remove_job(lab, "p", key, reason="tidy")
    assert changed.read_text() == "mine"
    assert not Path(lab.file.parent, "t", f"{key}.txt").exists()


def test_what_is_not_over_is_not_removed(lab):
    key = submit(lab)
    with pytest.raises(WrongState, match="not over yet"):
        remove_job(lab, "p", key, reason="tidy")
    assert lab.items()[0].state == "waiting"
    lab.cancel(key)
    remove_job(lab, "p", key, reason="tidy")
    assert (lab.items(), left(lab)) == ([], [])


def test_a_failed_job_is_removed_too(lab):
    key = submit(lab, fails=True)
    lab.run()
    assert lab.items()[0].state == "failed"
    remove_job(lab, "p", key, reason="tidy")
    assert (lab.items(), left(lab)) == ([], [])


def test_they_are_kept_as_long_as_the_file_says(lab):
    done, failed = submit(lab), submit(lab, fails=True)
    lab.push("p", str(lab.file.parent / "upload"))
    lab.run()
    waiting = submit(lab)
    for _ in Keeper(lab).steps():
        pass
    assert len(lab.items()) == 4
    later(lab, 3700)
    for _ in Keeper(lab).steps():
        pass
    found = {row.item for row in lab.items()}
    assert found == {"upload", waiting}  # what was pushed is nobody's to remove
    assert not {done, failed} & set(left(lab))


def test_one_that_ended_lately_stays_however_old_it_is(lab):
    key = submit(lab)
    lab.run()
    with lab.store.writing() as unit:
        unit.execute(tables.item.update().values(registered_us=0))
    Keeper(lab).look()
    assert [row.item for row in lab.items()] == [key]


def test_files_that_no_item_names_are_removed_after_a_day(lab):
    key = submit(lab)
    folder = Path(JobFiles(lab.settings, lab.store).folder)
    for name, age_s in (("a" * 32, 90_000), ("b" * 32, 1_000)):
        (folder / name / "item").mkdir(parents=True)
        os.utime(folder / name, (time.time() - age_s,) * 2)
    os.utime(folder / key, (time.time() - 90_000,) * 2)
    for _ in Keeper(lab).steps():
        pass
    assert sorted(os.listdir(folder)) == sorted([key, "b" * 32])
