"""`/api/v1`: results, groups, batch systems and messages, each with the JSON of its command."""

import json
import os

import jsonschema
import pytest
from sqlalchemy import select

from integration.web.inside import inside
from integration.web.test_api import Api, printed
from stoker.cli.outputs import OUTPUTS, schema_of
from stoker.model.access import Role
from stoker.store import tables

LAB = """
[project]
name = "lab"
[notify.pager]
command = ["sh", "-c", "cat >> pages.txt"]
[notify.broken]
command = ["false"]
[batch.main]
system = "slurm"
time_limit = "1h"
[pipelines.part]
items = "records"
params.sheet = { type = "string", default = "a" }
params.n = { type = "integer", default = 1 }
[pipelines.part.steps.s]
run = '''
echo {params.n} > {out.text}; printf '{"twice": %s}' "$((2 * {params.n}))" > "$STOKER_VALUES"
'''
outputs.text = "out/{key}.txt"
[pipelines.whole]
items = "groups"
[pipelines.whole.sources.parts]
pipeline = "part"
group_by = "{params.sheet}"
count = 2
[pipelines.whole.steps.join]
run = "true"
[pipelines.old]
items = "records"
steps.s = { run = "false", outputs.text = "old/{key}.txt" }
"""


@pytest.fixture
def api(tmp_path):
    """A project in which one group is complete, and one waits for a second member."""
    with inside(tmp_path, toml=LAB) as lab:
        made = Api(lab)
        lab.project.push("part", ["one", "two"], params={"sheet": "a", "n": 3})
        lab.project.push("part", ["lone"], params={"sheet": "b"})
        lab.project.run()
        yield made


def counts(answer):
    """The JSON of an answer that has to be good."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(api, event):
    """Who did it, and why, of the journal's rows of that event."""
    journal = tables.journal.c
    with api.lab.project.store.reading() as unit:
        rows = unit.execute(select(journal.data).where(journal.event == event)).fetchall()
    told = [json.loads(row.data) for row in rows]
    return [(one["by"], one["reason"]) for one in told]


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        ("groups", {}, "group list"),
        ("groups", {"waiting": "true"}, "group list --waiting"),
        ("groups", {"key": "a"}, "group list a"),
        ("groups/show", {"key": "b"}, "group show b"),
        ("values", {"pipeline": "part"}, "values part"),
        ("values", {"pipeline": "part", "key": "t*"}, "values part t*"),
        ("batch", {}, "batch list"),
        ("notify", {}, "notify list"),
    ],
)
def test_looks_have_the_json_of_their_command(api, path, query, words):
    found, told = counts(api.get(path, **query)), printed(api, *words.split())
    assert found.get("rows", [found]) == told
    schema = schema_of(OUTPUTS[" ".join(words.split()[: 1 if path == "values" else 2])].kind)
    for one in told:
        jsonschema.validate(one, schema)
    assert told or path == "batch"


def test_groups_come_in_pages(api):
    first = counts(api.get("groups", limit=1))
    assert [row["key"] for row in first["rows"]] == ["a"]
    second = counts(api.get("groups", limit=1, next=first["next"]))
    assert ([row["key"] for row in second["rows"]], second["next"]) == (["b"], None)
    waiting = [row for row in counts(api.get("groups"))["rows"] if row["state"] == "waiting"]
    assert counts(api.get("groups", waiting="true"))["rows"] == waiting != []
    assert api.get("groups", limit=1, next=first["next"], waiting="true").status_code == 400
    assert api.get("groups/show", key="c").status_code == 404


def test_a_group_is_completed_in_the_name_of_the_caller(api):
    body = {"key": "b", "reason": "no more will come"}
    before = api.lab.registered
    assert counts(api.post("groups/close", {**body, "dry_run": True}))["missing"] == 1
    assert api.get("groups", waiting="true").json()["rows"]
    assert api.post("groups/close", body, Role.SUBMITTER).status_code == 403
    assert counts(api.post("groups/close", body))["item"] == "b"
    assert api.lab.registered == before + 1
    assert not api.get("groups", waiting="true").json()["rows"]
    assert events(api, "group_close") == [("a-operator", "no more will come")]
    assert api.post("groups/close", body).status_code == 409


def test_values_are_asked_for_by_columns(api):
    found = counts(api.get("values", pipeline="part", columns=["key", "values.s.twice"]))
    assert [list(row["columns"].values()) for row in found["rows"]] == [
        ["lone", 2], ["one", 6], ["two", 6],
    ]  # fmt: skip
    assert counts(api.get("values", pipeline="part", key="none")) == {"rows": []}
    assert api.get("values").status_code == 400
    assert api.get("values", pipeline="nobody").status_code == 404
    assert api.get("values", pipeline="part", columns="nonsense").status_code == 400


def test_outputs_are_compared_with_their_records(api):
    everything = {"selection": {}}
    assert counts(api.post("verify", everything)) == {"rows": [], "outputs": 3, "missing": 0}
    (api.lab.file.parent / "out/one.txt").unlink()
    (api.lab.file.parent / "out/two.txt").write_text("9\n")
    assert api.post("verify", everything, Role.SUBMITTER).status_code == 403
    found = counts(api.post("verify", {**everything, "checksum": True, "dry_run": True}))
    assert [(row["item"], row["problem"]) for row in found["rows"]] == [
        ("one", "missing"),
        ("two", "checksum"),
    ]
    assert (found["outputs"], found["missing"]) == (3, 1)
    rerun = {**everything, "missing": True, "dry_run": True}
    assert counts(api.post("rerun", rerun))["changed"] == {}
    assert counts(api.post("verify", everything))["missing"] == 1
    assert sum(counts(api.post("rerun", rerun))["changed"].values()) == 1
    assert api.post("verify", {"selection": {"pipeline": "nobody"}}).status_code == 404


def test_what_another_system_made_is_adopted(api):
    folder = api.lab.file.parent
    api.lab.project.push("old", ["here", "gone"])
    (folder / "old").mkdir()
    (folder / "old/here.txt").write_text("made before\n")
    os.utime(folder / "old/here.txt", (1e9, 1e9))
    body = {"selection": {"pipeline": "old"}, "reason": "from the old system"}
    assert api.post("adopt", body, Role.SUBMITTER).status_code == 403
    assert api.post("adopt", {"selection": {}}).status_code == 400
    assert api.post("adopt", {**body, "without_outputs": True}).status_code == 400
    assert api.post("adopt", {"selection": {"pipeline": "nobody"}}).status_code == 404
    assert counts(api.post("adopt", {**body, "dry_run": True}))["adopted"] == {"s": 1}
    assert counts(api.post("adopt", body))["adopted"] == {"s": 1}
    (row,) = api.get("attempts", pipeline="old").json()["rows"]
    assert (row["item"], row["kind"]) == ("here", "adopted")
    assert events(api, "adopt") == [("a-operator", "adopted by a-operator: from the old system")]


def test_the_report_is_one_page(api):
    answer = api.get("report", Role.VIEWER)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "<html" in answer.text
    assert "part" in answer.text


def test_a_batch_system_is_held_tried_and_released(api):
    body = {"batch": "main", "reason": "maintenance"}
    assert api.post("batch/hold", body, Role.SUBMITTER).status_code == 403
    assert counts(api.post("batch/hold", {**body, "dry_run": True}))["changed"]
    assert counts(api.post("batch/hold", body))["changed"]
    assert not counts(api.post("batch/hold", body))["changed"]
    assert api.get("status").json()["batch"]["main"]["held"]
    assert events(api, "hold_batch") == [("a-operator", "maintenance")]
    assert counts(api.post("batch/release", body))["changed"]
    assert counts(api.post("batch/cancel", body))["pilots"] == []
    tried = counts(api.post("batch/try", {**body, "dry_run": True}))
    assert "stoker" in tried["script"]
    jsonschema.validate(tried, schema_of(OUTPUTS["batch try"].kind))
    for verb in ("hold", "release", "cancel", "try"):
        assert api.post(f"batch/{verb}", {"batch": "nobody"}).status_code == 404, verb
    assert api.get("batch/logs", batch="nobody").status_code == 404
    assert api.get("batch/logs", batch="main").status_code == 404


def test_a_message_is_tried(api):
    body = {"name": "pager"}
    assert api.post("notify/try", body, Role.SUBMITTER).status_code == 403
    assert api.get("notify", Role.SUBMITTER).status_code == 403
    pages = api.lab.file.parent / "pages.txt"
    before = pages.read_text() if pages.exists() else ""  # what it reported when the lab was made
    assert counts(api.post("notify/try", {**body, "dry_run": True}))["dry_run"]
    assert (pages.read_text() if pages.exists() else "") == before
    assert counts(api.post("notify/try", body)) == {"name": "pager", "dry_run": False}
    assert len(pages.read_text()) > len(before)
    assert api.post("notify/try", {"name": "broken"}).status_code == 503
    assert api.post("notify/try", {"name": "nobody"}).status_code == 404


def test_verbs_go_by_the_file_as_it_is_now(api):
    """The service read it when it began; an entry that came since has to be known."""
    api.get("notify")
    with api.lab.file.open("a") as file:
        file.write(
            '[notify.new]\ncommand = ["true"]\n[batch.second]\nsystem = "slurm"\ntime_limit = "1h"\n'
        )
    assert [row["name"] for row in api.get("notify").json()["rows"]] == ["pager", "broken", "new"]
    assert counts(api.post("notify/try", {"name": "new"}))
    assert counts(api.post("batch/hold", {"batch": "second"}))["changed"]


def test_an_answer_in_many_pieces_is_one_object(api):
    keys = [f"k{n:04}" for n in range(450)]
    api.lab.project.push("old", keys)
    api.post("adopt", {"selection": {"pipeline": "old", "keys": ["*"]}, "without_outputs": True})
    answer = api.get("values", pipeline="old")
    assert [row["columns"]["key"] for row in json.loads(answer.content)["rows"]] == keys
