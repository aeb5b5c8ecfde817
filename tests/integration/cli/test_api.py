"""The Python API, as a notebook uses it."""

import threading

import pandas as pd
import pytest

import stoker


def test_a_notebooks_thread_pushes_runs_and_reads(lab):
    lab.write("data/a.txt")
    lab.write("data/b.txt", "broken\n")
    seen = {}

    def cell():
        with stoker.open(lab.folder) as project:
            seen["pushed"] = project.push("count", [lab.folder / "data"])
            seen["run"] = project.run(slots=1)
            seen["tasks"] = pd.DataFrame(project.tasks())
            seen["failed"] = project.tasks("b*", state="failed")
            seen["attempts"] = pd.DataFrame(project.attempts(step="lines"))
            seen["failures"] = project.failures().to_dicts()
            seen["why"] = project.why("b.txt", "text")
            seen["story"] = project.show("a.txt")
            seen["retried"] = project.retry(match="damaged", reason="from a notebook", dry_run=True)

    thread = threading.Thread(target=cell)
    thread.start()
    thread.join()
    assert seen["pushed"].registered == 2
    assert (seen["run"].done, seen["run"].failed, seen["run"].blocked) == (2, 1, 1)
    assert list(seen["tasks"]["state"]).count("done") == 2
    assert [row.item for row in seen["failed"]] == ["b.txt"]
    assert str(seen["attempts"]["started_at"].dt.tz) == "UTC"
    assert seen["failures"][0]["do"] == "copy it again"
    assert seen["why"].kind == "predecessor"
    assert seen["story"].item.state == "done"
    assert seen["retried"].changed == {"retry": 1}


def test_mistakes_raise_the_errors_of_the_command_line(lab):
    with pytest.raises(stoker.NotFound, match="no project"):
        stoker.open(lab.folder / "nowhere")
    project = stoker.open(lab.folder)
    with pytest.raises(stoker.NotFound, match="no pipeline `cuont`"):
        project.push("cuont", ["x"])
    with pytest.raises(stoker.NotFound, match="no store"):
        project.status()
    with pytest.raises(stoker.UserError, match="at least 0"):
        project.push("count", ["x"], params={"gain": -1})
    lab.write("stoker.toml", "[pipelines")
    with pytest.raises(stoker.SpecError):
        stoker.open(lab.folder)
    project.close()


def test_a_keyword_that_does_not_exist_is_never_taken_for_everything(lab):
    lab.write("data/a.txt")
    with stoker.open(lab.folder) as project:
        project.push("count", lab.folder / "data")
        with pytest.raises(TypeError, match="did you mean `step`"):
            project.cancel(steps="lines")
        with pytest.raises(TypeError, match="`dryrun`; did you mean `dry_run`"):
            project.hold(dryrun=True)
        with pytest.raises(TypeError, match="no keyword `stat`; did you mean `state`"):
            project.tasks(stat="failed")
        with pytest.raises(TypeError, match="give it alone"):
            project.retry("a.txt", selection=stoker.Selection())
        assert {row.state for row in project.tasks()} == {"ready", "blocked"}


def test_a_single_path_is_not_taken_for_many(lab):
    path = lab.write("data/a.txt")
    with stoker.open(lab.folder) as project:
        assert project.push("count", str(path)).registered == 1
        assert project.push("count", path).known == 1
        assert project.run("count", path, slots=1).done == 2


def test_public_names_are_there():
    for name in stoker.__all__:
        assert getattr(stoker, name) is not None
    with pytest.raises(AttributeError):
        stoker.nothing  # noqa: B018
