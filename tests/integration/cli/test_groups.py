"""Groups on the command line: runs in turns, what a group waits for, and completing one by hand."""

import json
import os
import time

import pytest

FILE = """
[pipelines.rnaseq]
items = "records"
[pipelines.rnaseq.params]
accession = {{ type = "string", required = true }}
reads = {{ type = "integer", required = true }}
[pipelines.rnaseq.sources.sheet]
table = "runs.csv"
settle = "0s"
[pipelines.rnaseq.steps.quant]
run = '''
test {{params.reads}} -gt 0 || {{ echo "no reads" > "$STOKER_REASON"; exit 1; }}
echo "{{key}} {{params.reads}}" > {{out.tpm}}
printf '{{"rate": %s}}' {{params.reads}} > "$STOKER_VALUES"
'''
outputs.tpm = {{ to = "quant/{{key}}.tpm", temp = true }}

[pipelines.accession]
items = "groups"
[pipelines.accession.sources.runs]
pipeline = "rnaseq"
group_by = "{{params.accession}}"
{keys}
[pipelines.accession.steps.merge]
run = "xargs -a {{members.quant.tpm}} cat > {{out.table}}; cp {{members.quant.values}} {{out.rates}}"
outputs.table = "final/{{key}}.tsv"
outputs.rates = "final/{{key}}.csv"
[pipelines.accession.steps.count]
python = "counting:count"
after = ["merge"]
"""
COUNTING = """
def count(task):
    return {"states": [one["state"] for one in task.members], "n": task.meta["members"]}
"""


@pytest.fixture
def groups_lab(lab):
    """Make a project of groups, with more keys of their source, and a table of reads."""

    def write(keys: str = "", *, reads: dict[str, int] | None = None):
        (lab.folder / "stoker.toml").write_text(FILE.format(keys=keys))
        (lab.folder / "counting.py").write_text(COUNTING)
        sheet(lab, reads or {"a/1": 1, "a/2": 2, "a/3": 3})
        return lab

    return write


def sheet(lab, reads):
    rows = [f"{name},{name.partition('/')[0]},{n}\n" for name, n in reads.items()]
    path = lab.folder / "runs.csv"
    path.write_text("run,accession,reads\n" + "".join(rows))


def merged(lab, key="a"):
    return (lab.folder / "final" / f"{key}.tsv").read_text().split()


def test_three_are_merged_one_is_repaired_and_they_are_merged_again(groups_lab):
    lab = groups_lab(reads={"a/1": 1, "a/2": 0, "a/3": 3, "b/1": 4})
    done = lab("run", code=1)
    assert "accession: 1 group is not complete" in done.err
    assert merged(lab, "b") == ["b/1", "4"]
    assert "waits for 1 of 3 members: `a/2` (failed: no reads)" in lab("why", "a").out
    sheet(lab, {"a/1": 1, "a/2": 2, "a/3": 3, "b/1": 4})
    lab("run")
    assert merged(lab) == ["a/1", "1", "a/2", "2", "a/3", "3"]
    assert (lab.folder / "final" / "a.csv").read_text().split() == [
        "key,rate",
        "a/1,1",
        "a/2,2",
        "a/3,3",
    ]
    (row,) = lab("attempts", "a", "--step", "count", "--json").rows
    assert row["values"] == {"states": ["done"] * 3, "n": 3}
    assert not list((lab.folder / "quant").rglob("*.tpm")), "temporary ones are gone"
    sheet(lab, {"a/1": 10, "a/2": 2, "a/3": 3, "b/1": 4})
    lab("run")
    assert merged(lab) == ["a/1", "10", "a/2", "2", "a/3", "3"]
    assert "nothing to do: 6 items, all done" in lab("run").out
    assert not [row for row in lab("store", "check", "--json").rows if row["violations"]]


def test_what_groups_wait_for_is_told_to_programs(groups_lab):
    lab = groups_lab("count = 4")
    lab("run")
    (row,) = lab("group", "list", "--json").rows
    assert (row["key"], row["state"], row["members"], row["over"], row["missing"]) == (
        "a",
        "waiting",
        3,
        3,
        1,
    )
    assert lab("why", "a", "--json").json["text"] == "it waits for 1 more of 4 members"
    status = lab("status", "--json").json["pipelines"]["accession"]
    assert status["groups"] == {"complete": 0, "waiting": 1, "overdue": 0, "outdated": 0}
    assert "no groups" in lab("group", "list", "nosuch").err
    lab("group", "show", "nosuch", code=3)


def test_a_group_is_closed_as_it_is(groups_lab):
    lab = groups_lab("count = 4")
    lab("run")
    before = lab("group", "close", "a", "--dry-run", "--json").json
    assert before["dry_run"]
    assert before["item"] is None
    done = lab("group", "close", "a", "--reason", "the fourth was lost", "--json").json
    assert (done["item"], done["missing"]) == ("a", 1)
    lab("group", "close", "a", code=4)
    lab("run")
    (row,) = lab("items", "--pipeline", "accession", "--json").rows
    assert row["meta"]["missing"] == 1
    assert row["group"] == {"members": 3, "failed": 0, "missing": 1, "outdated": 0}
    events = lab("show", "a", "--json").json["happenings"]
    assert [(one["event"], one["reason"]) for one in events] == [
        ("register", "the fourth was lost")
    ]


def test_a_list_of_members_is_waited_for_and_strangers_are_told(groups_lab):
    lab = groups_lab('members = "meta/{key}_content"')
    content = lab.folder / "meta" / "a_content"
    content.parent.mkdir()
    lab("run")
    assert f"`{content}`, which is not there" in lab("why", "a").out
    content.write_text("a/1\n2\na/3\na/4\n")
    lab("run")
    assert "1 that `" in lab("why", "a").out
    assert "`a/4`" in lab("why", "a").out
    content.write_text("a/1\n2\n")
    done = lab("run", code=2)
    assert "1 of its members are not in" in done.err
    assert "`a/3`" in done.err
    content.write_text("# all of them\na/1\n2\n3\n\n")
    lab("run")
    assert merged(lab) == ["a/1", "1", "a/2", "2", "a/3", "3"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "large", "binary", "utf-16", "empty"])
def test_what_is_no_list_of_members_is_told_and_never_waited_on(groups_lab, kind):
    lab = groups_lab('members = "meta/{key}_content"')
    path = lab.folder / "meta" / "a_content"
    path.parent.mkdir()
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "large":
            with path.open("wb") as file:
                file.truncate(100 << 20)
        case "binary":
            path.write_bytes(b"\0\1\2" * 99)
        case "utf-16":
            path.write_bytes("a/1\na/2\na/3\n".encode("utf-16"))
        case "empty":
            path.touch()
    began_s = time.monotonic()
    done = lab("run", code=0 if kind in ("utf-16", "empty") else 2)
    assert time.monotonic() - began_s < 30
    said = done.err + lab("why", "a").out
    expected = {
        "folder": "is not a file that names members",
        "fifo": "is not a file that names members",
        "large": "has 100 MiB",
        "binary": "NUL characters",
        "utf-16": "",
        "empty": "it is empty",
    }[kind]
    assert expected in said
    assert (lab.folder / "final" / "a.tsv").exists() == (kind == "utf-16")


def test_groups_are_not_pushed(groups_lab):
    lab = groups_lab()
    assert "push to that pipeline" in lab("push", "accession", "x", code=2).err


def test_the_shell_has_the_lists(groups_lab):
    lab = groups_lab()
    path = lab.folder / "stoker.toml"
    path.write_text(path.read_text().replace(", temp = true", ""))
    lab("run")
    done = lab("shell", "a", "merge", "--command", "cat ../lists/members.jsonl")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["key"] for row in rows] == ["a/1", "a/2", "a/3"]
    assert rows[0]["values"] == {"quant": {"rate": 1}}


def test_which_says_what_an_older_result_was_made_of(groups_lab):
    lab = groups_lab(reads={"a/1": 1, "a/2": 2})
    path = lab.folder / "stoker.toml"
    text = path.read_text().replace(
        'outputs.table = "final/{key}.tsv"', 'outputs.table = "final/{key}-{params.no}.tsv"'
    )
    text = text.replace(", temp = true", "")
    path.write_text(
        text.replace(
            'items = "groups"', 'items = "groups"\nparams.no = { type = "integer", default = 1 }'
        )
    )
    lab("run")
    path.write_text(path.read_text().replace("default = 1 }", "default = 2 }"))
    sheet(lab, {"a/1": 1, "a/2": 20, "a/3": 3})
    lab("run")
    older, newer = (lab("which", f"final/a-{n}.tsv", "--json").json for n in (1, 2))
    assert [one["item"] for one in older["members"]] == ["a/1", "a/2"]
    assert [one["item"] for one in newer["members"]] == ["a/1", "a/2", "a/3"]
    attempts = {
        one["item"]: one["id"] for one in lab("attempts", "--pipeline", "rnaseq", "--json").rows
    }
    now = {one["item"]: one["attempt"] for one in newer["members"]}
    assert now == attempts
    before = {one["item"]: one["attempt"] for one in older["members"]}
    assert before["a/1"] == now["a/1"]
    assert before["a/2"] != now["a/2"], "it was done again since"
    assert "made of  2 members: a/1, a/2" in lab("which", "final/a-1.tsv").out
    assert lab("which", "quant/a/1.tpm", "--json").json["members"] is None
