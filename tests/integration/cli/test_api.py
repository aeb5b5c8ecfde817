"""The Python API, as a notebook uses it."""

import json
import threading
from contextlib import chdir

import pandas as pd
import pytest
from sqlalchemy import select

import stoker
from stoker.model.push_request import PushRequest
from stoker.store import tables


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


def test_a_push_can_be_asked_for_with_one_value(lab):
    """It is checked before anything is changed, the file taken over included."""
    lab.write("data/a.txt")
    lab.write("list", "data/a.txt\0data/none.txt\0")
    asked = {"pipeline": "count", "from_file": str(lab.folder / "list"), "nul": True, "reason": "r"}
    with stoker.open(lab.folder) as project:
        with pytest.raises(stoker.UserError, match="`priority`"):
            project.push_request(PushRequest(priority=10**7, **asked))
        with pytest.raises(stoker.UserError, match="`priority`"):
            project.push("count", [lab.folder / "data"], priority=10**7)
        with pytest.raises(stoker.NotFound):
            project.status()
        with chdir(lab.folder):
            tried = project.push_request(PushRequest(dry_run=True, **asked))
            assert (tried.registered, tried.refused) == (1, 1)
            assert project.push_request(PushRequest(params={"gain": 2}, **asked)).registered == 1
        assert [row.params for row in project.items()] == [{"gain": 2}]
        assert project.show("a.txt").happenings[0].reason == "r"


def test_public_names_are_there():
    for name in stoker.__all__:
        assert getattr(stoker, name) is not None
    with pytest.raises(AttributeError):
        stoker.nothing  # noqa: B018


def test_every_change_is_that_of_the_user_for_whom_the_project_acts(lab, monkeypatch):
    """The account that runs the process is named nowhere, and the journal has the user's reason."""
    monkeypatch.setenv("LOGNAME", "account")
    for name in ("a", "b"):
        lab.write(f"data/{name}.txt")
    lab.write("data/empty.txt", "")
    lab.write("results/a.txt.lines", "2\n")
    with stoker.open(lab.folder) as project:
        assert project.user == "account"
        ada = project.acting_as("ada")
        why = {"reason": "because"}
        ada.apply(**why)
        ada.push("count", lab.folder / "data" / "b.txt", **why)
        ada.take_sources(**why)
        lab.write("data/empty.txt", "1\n")
        ada.retry(state="quarantined", **why)
        ada.hold("b.txt", **why)
        ada.release("b.txt", **why)
        ada.cancel("b.txt", **why)
        ada.set_pool("ram", 3, **why)
        ada.adopt("count", "a.txt", **why)
        ada.run(slots=1, **why)
        ada.rerun("a.txt", **why)
        ada.prune(**why)
        assert {row.item: row.by for row in project.items()} == dict.fromkeys(
            ("a.txt", "b.txt", "empty.txt"), "ada"
        )
        with project.store.reading() as unit:
            journal = list(map(str, unit.execute(select(tables.journal))))
            rows = unit.execute(select(tables.journal)).fetchall()
        said = [(row.event, json.loads(row.data or "{}")) for row in rows]
        assert not [row for row in journal if "account" in row]
        assert {one["by"] for _, one in said if "by" in one} == {"ada"}
        items = ("register", "quarantine")  # who brought them; `push` has the reason
        verbs = {one.get("reason") for event, one in said if "by" in one and event not in items}
        assert verbs == {"because"}
        ada.close()
        assert project.store is ada.store
        project.hold("a.txt")
        assert {row.reason for row in project.tasks(state="held")} == {"held by account"}


@pytest.mark.parametrize("user", ["", " ada", "a" * 201, "a\nb", "\udcff", "\x1b[31m"])
def test_nobody_acts_under_a_name_that_no_record_can_show(lab, monkeypatch, user):
    with stoker.open(lab.folder) as project:
        with pytest.raises(stoker.UserError, match="not a user's name") as raised:
            project.acting_as(user)
        assert str(raised.value).isprintable()
    if user.isascii():
        monkeypatch.setenv("LOGNAME", user)
        own = stoker.open(lab.folder).user
        assert own
        assert own != user
