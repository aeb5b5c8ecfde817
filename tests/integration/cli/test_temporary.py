"""Temporary outputs lie there for the steps that follow, and not a moment longer than a run."""

import pytest

CONFIG = """
[project]
name = "t"
[pipelines.p]
items = "records"
[pipelines.p.steps.one]
run = "echo {key} > {out.x}; mkdir -p {out.d}; echo 1 > {out.d}/f; echo 2 > {out.kept}"
outputs.x = { to = "mid/{key}.x", temp = true }
outputs.d = { to = "mid/{key}.d/", temp = true }
outputs.kept = "end/{key}.kept"
[pipelines.p.steps.two]
run = "cat {in.one.x} {in.one.d}/f > {out.y}"
outputs.y = "end/{key}.y"
[pipelines.p.steps.three]
run = "test {key} != b; cat {in.one.x}"
after = ["two"]
"""


@pytest.fixture
def line(lab):
    lab.write("stoker.toml", CONFIG)
    return lab


def test_temporary_outputs_are_gone_after_the_run_where_all_went_well(line):
    line("run", "p", "a", "b", code=1)
    left = sorted(path.name for path in (line.folder / "mid").rglob("*"))
    assert left == ["b.d", "b.x", "f"], "b failed and may be tried again"
    ends = sorted(path.name for path in (line.folder / "end").iterdir())
    assert ends == ["a.kept", "a.y", "b.kept", "b.y"]


CHANGED = """
[project]
name = "t"
[pipelines.p]
items = "records"
[pipelines.p.steps.one]
run = "echo 1 > {out.x}; mkdir -p {out.d}/sub; for f in f g sub/h; do echo $f > {out.d}/$f; done"
outputs.x = { to = "mid/{key}.x", temp = true }
outputs.d = { to = "mid/{key}.d/", temp = true }
[pipelines.p.steps.two]
run = "cp {in.one.x} {in.one.d}/f ../../.. 2>/dev/null || true; python3 {project_}/change.py"
"""


def test_what_somebody_changed_or_put_there_stays_and_is_reported(lab):
    """A step that follows is as good a somebody as a person."""
    lab.write("stoker.toml", CHANGED.replace("{project_}", str(lab.folder)))
    mid = lab.folder / "mid"
    lab.write(
        "change.py",
        f"import pathlib; mid = pathlib.Path({str(mid)!r})\n"
        "(mid / 'a.x').write_text('9\\n')\n"
        "(mid / 'a.d' / 'g').write_text('mine')\n"
        "(mid / 'a.d' / 'sub' / 'notes.txt').write_text('mine')\n",
    )
    done = lab("run", "p", "a")
    left = {str(path.relative_to(mid)) for path in mid.rglob("*") if path.is_file()}
    assert left == {"a.x", "a.d/g", "a.d/sub/notes.txt"}
    assert "is not as it was published" in done.err


def test_a_step_that_needs_a_deleted_file_gets_it_made_anew(line):
    line("run", "p", "a")
    line("rerun", "a", "--step", "two")
    line("run")
    assert not list((line.folder / "mid").iterdir())
