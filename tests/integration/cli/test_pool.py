"""`stoker pool`, and workers with tags, as a person meets them."""

import pytest

FILE = """
[pools]
ram = 2
gpu = { slots = ["left", "right"], per = "host" }
tape = { slots = 1, between = "00:00-23:59", per_minute = 600 }

[worker]
cpus = 3

[pipelines.line]
items = "records"
[pipelines.line.steps.one]
run = "echo $STOKER_POOL_GPU $STOKER_POOL_TAPE"
pools = { ram = 1, gpu = 1, tape = 1 }
cpus = 3
[pipelines.line.steps.two]
run = "true"
after = ["one"]
needs = ["matlab"]
"""


@pytest.fixture
def lab(run):
    (run.folder / "stoker.toml").write_text(FILE)
    run("push", "line", "a", "b")
    return run


def test_a_pool_is_set_by_hand_and_shown(lab):
    assert lab("pool", "ram").out.count("ram") == 2
    assert "would have 3 slots (2 before)" in lab("pool", "set", "ram", "3", "--dry-run").out
    assert "has 3 slots (2 before)" in lab("pool", "set", "ram", "3", "--reason", "more").out
    assert "nothing changes" in lab("pool", "set", "ram", "3").err
    assert [row["slot"] for row in lab("pool", "list", "ram", "--json").rows] == ["0", "1", "2"]
    assert "did you mean `ram`" in lab("pool", "set", "rma", "3", code=3).err
    assert "have names" in lab("pool", "set", "gpu", "3", code=2).err
    lab("pool", "set", "ram", "0")
    lab("push", "line", "c")
    assert not lab("pool", "ram").out, "what was set stays where the file says the same"


def test_a_worker_with_the_tag_does_what_others_leave(lab):
    ended = lab("work", "--drain", "--name", "plain")
    assert "2 done" in ended.err
    assert "1 failed task in all" in ended.err, "of the other pipeline, before"
    (plain,) = (row for row in lab("workers", "--all", "--json").rows if row["name"] == "plain")
    assert plain["slots"] == 3
    assert "no worker is alive" in lab("why", "a").out
    assert "is not a name" in lab("work", "--tags", "Matlab", code=2).err
    assert "2 done" in lab("work", "--drain", "--tags", "matlab, other").err
    assert lab("status").out.count("line: 2 items (2 done)") == 1
