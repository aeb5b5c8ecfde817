"""`stoker push`: everything that may be named, taken or refused with a reason."""

import os

import pytest

COUNTS = {
    "registered": 0,
    "known": 0,
    "changed": 0,
    "quarantined": 0,
    "conflicts": 0,
    "refused": 0,
    "failed": 0,
    "keys": [],
}


def test_pushing_twice_registers_once(lab):
    lab.write("data/a.txt")
    first = lab("push", "count", "data/a.txt", "--json")
    assert first.json == COUNTS | {"registered": 1, "keys": ["a.txt"]}
    assert lab("push", "count", "data/a.txt", "--json").json == COUNTS | {"known": 1}


def test_known_items_that_failed_are_counted_with_the_remedy(run):
    again = run("push", "count", "data")
    assert "3 known already (1 of them failed: `stoker retry` does it again)" in again.out
    assert run("push", "count", "data", "--json").json == COUNTS | {"known": 3, "failed": 1}


def test_a_folder_stands_for_its_files_without_hidden_ones_and_by_its_sources_glob(lab):
    for name in (
        "data/a.txt",
        "data/deep/b.txt",
        "data/.hidden.txt",
        "data/x.log",
        "data/.d/c.txt",
    ):
        lab.write(name)
    assert lab("push", "count", "data", "--json").json["registered"] == 2
    assert [row["item"] for row in lab("items", "--json").rows] == ["a.txt", "deep/b.txt"]


def test_a_path_outside_of_the_sources_has_a_key_relative_to_the_project_or_absolute(lab, tmp_path):
    lab.write("other/a.txt")
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    lab("push", "count", "other/a.txt", str(outside))
    assert [row["item"] for row in lab("items", "--json").rows] == [
        "other/a.txt",
        str(outside).lstrip("/"),
    ]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"with space.txt", "with space.txt"),
        (b"quote'\".txt", "quote'\".txt"),
        (b"new\nline.txt", "new%0Aline.txt"),
        (b"-rf", "-rf"),
        (b"$(touch pwned).txt", "$(touch pwned).txt"),
        (b"\xff\xfe.txt", "%FF%FE.txt"),
        (b"100%.txt", "100%.txt"),
        (b"a[1].txt", "a[1].txt"),
        (b"{key}.txt", "{key}.txt"),
    ],
    ids=["space", "quote", "newline", "dash", "shell", "bytes", "percent", "glob", "braces"],
)
def test_hostile_names_are_taken_worked_on_and_shown(lab, name, key):
    folder = os.fsencode(lab.folder / "data")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w") as file:
        file.write("one\n")
    done = lab("push", "count", "--from", "-", "-0", "--json", given=b"data/" + name + b"\0")
    assert done.json["registered"] == 1
    assert lab("push", "count", "--json", "--", b"data/" + name).json["known"] == 1
    assert lab("items", "--json").rows[0]["item"] == key
    lab("run")
    assert (lab.folder / "results" / f"{key}.said").read_text() == "gain 1.0: 1\n"
    assert lab("show", "--", key).out.startswith(key)
    assert lab("tasks", "--json", "--", key).rows[0]["item"] == key
    assert not list(lab.folder.rglob("pwned"))


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken(lab):
    lab.write("data/a.txt")
    (lab.folder / "dangling").symlink_to("nowhere")
    os.mkfifo(lab.folder / "pipe")
    done = lab("push", "count", "nosuch", "dangling", "pipe", "data/a.txt", "--json", code=2)
    assert done.json == COUNTS | {"registered": 1, "refused": 3, "keys": done.json["keys"]}
    assert len(done.json["keys"]) == 1
    assert "`nosuch` is not there" in done.err
    assert "`dangling` is a link to nothing" in done.err
    assert "`pipe` is neither a file nor a folder, but a named pipe" in done.err


def test_one_bad_file_in_a_folder_costs_no_other(lab):
    for name in ("data/a.txt", "data/c.txt"):
        lab.write(name)
    (lab.folder / "data/b.txt").symlink_to("nowhere")
    done = lab("push", "count", "data", "--json", code=2)
    assert done.json == COUNTS | {"registered": 2, "refused": 1, "keys": ["a.txt", "c.txt"]}


def test_an_empty_file_is_taken(lab):
    lab.write("data/empty.txt", "")
    assert lab("push", "count", "data/empty.txt", "--json").json["registered"] == 1
    lab("run")


def test_one_real_path_under_two_keys_is_a_conflict(lab):
    lab.write("data/a.txt")
    (lab.folder / "data/b.txt").symlink_to("a.txt")
    done = lab("push", "count", "data/a.txt", "data/b.txt", "--json", code=4)
    assert done.json == COUNTS | {"registered": 1, "conflicts": 1, "keys": ["a.txt"]}
    assert "is known as `a.txt`" in done.err


def test_new_content_of_a_known_key_is_done_anew(run):
    run.write("data/a.txt", "one\ntwo\nthree\n")
    assert run("push", "count", "data/a.txt", "--json").json == COUNTS | {"changed": 1}
    run("run", code=1)
    assert (run.folder / "results/a.txt.said").read_text() == "gain 1.0: 3\n"


def test_parameters_are_checked_when_they_are_given(lab):
    lab.write("data/a.txt")
    assert "did you mean `gain`?" in lab("push", "count", "data", "--set", "gian=2", code=2).err
    assert "at least 0" in lab("push", "count", "data", "--set", "gain=-1", code=2).err
    assert "gain=1.5" in lab("push", "count", "data", "--set", "gain", code=2).err
    lab("push", "count", "data", "--set", "gain=2.5")
    assert lab("items", "--json").rows[0]["params"] == {"gain": 2.5}


RECORDS = """
[pipelines.sort]
items = "records"
[pipelines.sort.params]
block = { type = "string", required = true, pattern = "Pen.*" }
omit = { type = "list", items = "string" }
[pipelines.sort.steps.show]
argv = ["echo", "{key}", "{params.omit:,}"]
"""


@pytest.fixture
def records(lab):
    lab.write("stoker.toml", RECORDS)
    return lab


def test_a_table_gives_keys_and_parameters_and_bad_rows_are_named(records):
    table = records.write(
        "blocks.tsv", "block\tomit\nPen1\t3,5\nWrong\t\nPen2\t\n\nPen3\nPen1\t3,5\n"
    )
    done = records("push", "sort", "--table", str(table), "--json", code=2)
    assert done.json == COUNTS | {
        "registered": 2,
        "known": 1,
        "refused": 2,
        "keys": done.json["keys"],
    }
    assert len(done.json["keys"]) == 2
    assert "line 3, column `block`: is `Wrong`" in done.err
    assert "line 6: 1 columns where there are 2 titles" in done.err
    rows = records("items", "--json").rows
    assert {row["item"]: row["params"] for row in rows} == {
        "Pen1": {"block": "Pen1", "omit": ["3", "5"]},
        "Pen2": {"block": "Pen2", "omit": None},
    }


def test_a_column_that_means_nothing_is_a_mistake(records):
    table = records.write("blocks.csv", "block,ommit\nPen1,3\n")
    error = records("push", "sort", "--table", str(table), code=2).err
    assert "column `ommit` resembles the parameter `omit`" in error
    assert "resembles the parameter `omit`" in error


def test_a_record_is_its_own_key(records):
    done = records("push", "sort", "x", "--set", "block=Pen9", "--priority", "3", "--json")
    assert done.json["registered"] == 1
    assert records("tasks", "--json").rows[0]["priority"] == 3
    assert "needs a key" in records("push", "sort", "--set", "block=Pen9", code=2).err


def test_a_dry_run_registers_nothing(lab):
    lab.write("data/a.txt")
    assert "would register 1 item" in lab("push", "count", "data", "--dry-run").out
    assert "a.txt" in lab("run", "--dry-run").out
    lab("apply", "--dry-run")
    assert not (lab.folder / ".stoker").exists()
    lab("push", "count", "data")
    lab.write("data/b.txt")
    assert "would register 1 item, 1 known" in lab("push", "count", "data", "--dry-run").out
    assert [row["item"] for row in lab("items", "--json").rows] == ["a.txt"]


def test_a_dry_run_tells_of_a_changed_file_and_does_not_take_it_over(pushed):
    file = pushed.folder / "stoker.toml"
    file.write_text(file.read_text().replace("steps.text", "steps.words"))
    for arguments in (["push", "count", "data"], ["run"], ["adopt", "count"], ["apply"]):
        told = pushed(*arguments, "--dry-run").err
        assert "step `text` is gone: 3 open tasks cancelled" in told, arguments
    assert "text" in pushed("status", "--json").json["pipelines"]["count"]["steps"]
    pushed("apply")
    assert "text" not in pushed("status", "--json").json["pipelines"]["count"]["steps"]


def test_adopting_can_be_tried_with_another_path_before_the_store_has_it(pushed):
    old = pushed.write("before/a.txt.said")
    os.utime(old, (1, 1))
    file = pushed.folder / "stoker.toml"
    file.write_text(file.read_text().replace("results/{key}.said", "before/{key}.said"))
    assert "1 task would be adopted" in pushed("adopt", "count", "--dry-run").out
    assert "did you mean `lines`?" in pushed("adopt", "count", "--step", "line", code=3).err


def test_nothing_named_and_nothing_there(lab):
    assert "name paths after it" in lab("push", "count", code=2).err
    assert "no pipeline `cuont`" in lab("push", "cuont", "x", code=3).err
    assert "no file `list`" in lab("push", "count", "--from", "list", code=3).err


def test_why_something_was_registered_stands_in_its_story(lab):
    lab.write("data/a.txt")
    lab("push", "count", "data/a.txt", "--reason", "never said", "--dry-run")
    lab("push", "count", "data/a.txt", "--reason", "the first batch")
    lab.write("data/b.txt")
    lab("run", "--reason", "the second batch")
    assert ": the first batch\n" in lab("show", "a.txt").out, "it was known to the second"
    assert ": the second batch\n" in lab("show", "b.txt").out
    lab.write("data/a.txt", "corrected\n")
    lab("push", "count", "data/a.txt", "--reason", "a line was wrong")
    told = lab("show", "a.txt", "--json").json["happenings"]
    assert [(one["event"], one["reason"]) for one in told if one["reason"]] == [
        ("register", "the first batch"),
        ("rerun", "its content changed"),
        ("block", "its content changed"),
        ("push", "a line was wrong"),
    ]
    assert all(one["by"] for one in told if one["event"] in ("register", "push"))
    assert "journal alone" in lab("store", "check", "--journal").out
