"""What would happen, before anything runs; and how it went, after."""

import json
from xml.etree import ElementTree as ET

import pytest

from stoker import open as open_project
from stoker.errors import UserError
from stoker.project.plans import gantt
from stoker.project.plans.described import fleet_from
from stoker.project.plans.planned import PlannedTask

SVG = "{http://www.w3.org/2000/svg}"


def test_without_a_store_the_order_is_by_size_and_no_time_is_promised(lab):
    lab.write("data/small.txt", "1\n")
    lab.write("data/large.txt", "1\n" * 500_000)
    found = lab("plan", "count", "data", "--slots", "1", "--json").json
    assert (found["items"], found["tasks"], found["slots"]) == (2, 4, 1)
    assert found["order"][0]["item"] == "large.txt"
    assert found["makespan_s"] is None
    assert found["without_history"] == ["count.lines", "count.text"]
    assert not (lab.folder / ".stoker").exists()
    said = lab("plan", "count", "data")
    assert "not known before an attempt has ended" in said.out


def test_with_history_it_says_how_long_and_draws_a_chart(run):
    run.write("data/new.txt", "1\n2\n")
    found = run("plan", "--fleet", "2x2", "--out", "plan.svg", "--json").json
    assert {row["item"] for row in found["order"]} == {"new.txt"}
    low, high = found["interval_s"]
    assert 0 < low <= found["makespan_s"] <= high
    assert found["lower_bound_s"] <= found["makespan_s"]
    assert found["without_history"] == []
    tree = ET.parse(run.folder / "plan.svg")
    names = [one.text for one in tree.iter(f"{SVG}title")]
    assert sum(name.startswith("new.txt, ") for name in names) == 2
    said = run("plan", "--slots", "1").out
    assert "no order could be quicker than" in said
    items = run("items", "--json").out.splitlines()
    assert "new.txt" not in {json.loads(row)["item"] for row in items}
    assert "nothing to do" in run("plan", "count", "data/a.txt").err


def test_what_is_left_in_the_store_is_planned_with_pools_and_hosts(pushed):
    pushed.write("hosts.txt", "old 1\nnew 2 1.5 # quicker\n")
    found = pushed("plan", "--fleet", "hosts.txt", "--json").json
    assert (found["items"], found["tasks"], found["slots"]) == (3, 6, 3)
    assert {row["host"] for row in found["order"]} == {"old", "new"}
    with open_project(pushed.folder) as project:
        assert project.plan(fleet="1").slots == 1


def test_each_host_of_a_described_fleet_has_its_own_slots_of_a_pool(lab):
    text = (lab.folder / "stoker.toml").read_text()
    step = "[pipelines.count.steps.text]\n"
    text = text.replace(step, step + "pools = { gpu = 1 }\n")
    text = text.replace("[pools]\n", '[pools]\ngpu = { slots = ["0", "1"], per = "host" }\n')
    (lab.folder / "stoker.toml").write_text(text)
    for n in range(8):
        lab.write(f"data/{n}.txt")

    def at_once(fleet):
        order = lab("plan", "count", "data", "--fleet", fleet, "--json").json["order"]
        starts = [one["start_s"] for one in order if one["step"] == "text"]
        return starts.count(min(starts))

    assert (at_once("1x8"), at_once("4x8")) == (2, 8)
    lab("push", "count", "data")
    lab("pool", "set", "gpu", "1")
    assert at_once("4x8") == 4
    (lab.folder / "stoker.toml").write_text(text.replace('["0", "1"]', '["0", "1", "2"]'))
    assert at_once("2x8") == 6, "the file says something new of the pool"


@pytest.mark.parametrize("by", ["pipeline", "user", None])
def test_a_plan_divides_the_slots_as_the_shares_say(lab, monkeypatch, by):
    pipelines = "".join(
        f'[pipelines.{name}]\nitems = "records"\n[pipelines.{name}.steps.s]\nrun = "true"\n'
        for name in ("many", "few")
    )
    lab.write("stoker.toml", pipelines + (f'[shares]\nby = "{by}"\n' if by else ""))
    for user, name, n in (("anna", "many", 40), ("ben", "few", 4)):
        monkeypatch.setenv("LOGNAME", user)
        lab("push", name, *(f"{name}{at}" for at in range(n)))
    order = lab("plan", "--slots", "2", "--json").json["order"]
    of_few = [at for at, one in enumerate(order) if one["pipeline"] == "few"]
    assert of_few == ([40, 41, 42, 43] if by is None else [1, 3, 5, 7])


def test_each_slot_has_one_task_at_a_time_and_every_cpu_of_a_task_a_slot(lab):
    text = (lab.folder / "stoker.toml").read_text()
    step = "[pipelines.count.steps.text]\n"
    (lab.folder / "stoker.toml").write_text(text.replace(step, step + "cpus = 3\n"))
    for n in range(9):
        lab.write(f"data/{n}.txt", "1\n" * (n * 1000 + 1))
    found = lab("plan", "count", "data", "--fleet", "2x4", "--out", "p.svg", "--json").json
    taken = {}
    for one in sorted(found["order"], key=lambda one: one["start_s"]):
        assert len(set(one["slots"])) == (3 if one["step"] == "text" else 1)
        for slot in one["slots"]:
            assert 0 <= slot < 4
            assert taken.get((one["host"], slot), 0) <= one["start_s"]
            taken[one["host"], slot] = one["end_s"]
    tree = ET.parse(lab.folder / "p.svg")
    bars = [one for one in tree.iter(f"{SVG}rect") if one.find(f"{SVG}title") is not None]
    assert len(bars) >= len(found["order"])
    assert {round(float(bar.get("height"))) for bar in bars} >= {23, 75}, "of one slot, of three"
    words = " ".join(one.text for one in tree.iter(f"{SVG}text"))
    assert "lengths are guessed" in words
    assert "lower bound" not in words, "where lengths are guessed there is none"


def test_a_chart_of_many_slots_and_tasks_stays_small():
    order = [
        PlannedTask(
            pipeline="p", item=f"<{n}>", step="s", start_s=n // 960 * 1.0, end_s=n // 960 + 1.0,
            host=f"h{n % 960 // 8}", slots=(n % 8,),
        )
        for n in range(96_000)
    ]  # fmt: skip
    text = gantt.draw(order, gantt.Caption(heading="a & b", note=""))
    ET.fromstring(text)
    assert len(text) < 60_000
    assert "48 of 960 used slots drawn" in text
    assert "100 tasks, s: 0 s to 1 min 40 s" in text


def test_what_fits_nowhere_is_said(lab):
    text = (lab.folder / "stoker.toml").read_text()
    (lab.folder / "stoker.toml").write_text(
        text.replace("[pipelines.count.steps.text]\n", "[pipelines.count.steps.text]\ncpus = 8\n")
    )
    lab.write("data/a.txt")
    ended = lab("plan", "count", "data", "--slots", "2")
    assert "1 task needs more than any host or pool here has" in ended.err


@pytest.mark.parametrize("words", [("--slots", "2", "--fleet", "3"), ("--fleet", "0x4")])
def test_a_fleet_that_is_none_is_refused(lab, words):
    lab("plan", *words, code=2)
    lab("plan", "--fleet", "nowhere.txt", code=3)


def test_a_fleet_says_what_its_hosts_have(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("old 2\nnew 4 1.5 16G\nbig 8 64G matlab gpu\n")
    names, hosts = fleet_from(str(file))
    assert names == ["old", "new", "big"]
    assert [host.memory_bytes for host in hosts] == [0, 16 << 30, 64 << 30]
    assert [host.tags for host in hosts] == [set(), set(), {"matlab", "gpu"}]
    file.write_text("old 2\nnew 4 1.5\n")
    assert all(host.memory_bytes is None and host.tags is None for host in fleet_from(str(file))[1])


def test_a_plan_goes_by_memory_and_tags(lab):
    text = (lab.folder / "stoker.toml").read_text()
    step = "[pipelines.count.steps.lines]\n"
    more = 'memory = "12G"\nneeds = ["matlab"]\n'
    (lab.folder / "stoker.toml").write_text(text.replace(step, step + more))
    for name in "abcd":
        lab.write(f"data/{name}.txt")
    lab.write("hosts", "small 8 16G\nbig 8 32G matlab\n")
    found = lab("plan", "count", "data", "--fleet", "hosts", "--json").json["order"]
    lines = [one for one in found if one["step"] == "lines"]
    assert {one["host"] for one in lines} == {"big"}
    assert len({one["start_s"] for one in lines}) == 2, "two go at once"
    lab.write("hosts", "small 8 16G other\n")
    ended = lab("plan", "count", "data", "--fleet", "hosts")
    assert "8 tasks need more than any host or pool here has, or a tag that none has" in ended.err


@pytest.mark.parametrize(
    "line",
    ["old", "old many", "old 2 Fast", "old 2 1 1.5 16G", "old 2 1 1", "old -1", "old 2 0", ""],
)
def test_a_line_that_describes_no_host_is_named(tmp_path, line):
    file = tmp_path / "hosts"
    file.write_text(f"{line}\n")
    with pytest.raises(UserError, match="NAME SLOTS"):
        fleet_from(str(file))


def test_a_run_ends_with_how_busy_the_slots_were(lab):
    for n in range(8):
        lab.write(f"data/{n}.txt")
    ended = lab("run", "--slots", "2")
    assert "slots busy " in ended.err
    lab.write("data/more.txt")
    found = lab("run", "--slots", "2", "--json").json
    assert 0 < found["slots_busy"] <= 1
    assert found["worked_s"] > 0
    assert found["equal_split_s"] is None
    again = lab("run", "--json").json
    assert again["slots_busy"] is None


def test_the_time_to_go_is_a_field_with_its_interval(run):
    run.write("data/later.txt")
    run("push", "count", "data")
    status = run("status", "--json").json["pipelines"]["count"]
    assert status["eta_s"] is None  # nobody works
    assert status["eta_interval_s"] is None
    rows = [json.loads(row) for row in run("tasks", "--json").out.splitlines()]
    expected = {row["step"]: row["expected_s"] for row in rows if row["item"] == "later.txt"}
    assert all(one is not None for one in expected.values())
    assert run("show", "later.txt", "--json").json["eta_s"] is None
