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


def test_a_step_that_needs_a_deleted_file_gets_it_made_anew(line):
    line("run", "p", "a")
    line("rerun", "a", "--step", "two")
    line("run")
    assert not list((line.folder / "mid").iterdir())
