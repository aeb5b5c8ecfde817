"""Pipelines of groups in `stoker.toml`: what they mean, and every mistake with its line."""

import pytest

from stoker.errors import SpecError
from stoker.model.pipeline import ItemKind
from stoker.model.source import Group
from stoker.spec.group_sources import SETTLE_S, group_key
from stoker.spec.load import load_project
from stoker.spec.membership import Membership, end_of

RUNS = """
[pipelines.runs]
items = "records"
[pipelines.runs.params]
lab = { type = "string" }
[pipelines.runs.steps.quant]
run = "true > {out.tpm}"
outputs.tpm = "quant/{key}"
"""
SUMS = """
[pipelines.sums]
items = "groups"
[pipelines.sums.sources.members]
pipeline = "runs"
"""
STEP = """
[pipelines.sums.steps.merge]
argv = ["merge", "{members.quant.tpm}", "{members.quant.values}", "{members}", "{key}"]
"""


def load(tmp_path, text, **files):
    (tmp_path / "stoker.toml").write_text(text)
    for name, content in files.items():
        (tmp_path / f"{name}.toml").write_text(content)
    return load_project(tmp_path / "stoker.toml")


def problems(tmp_path, text):
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text)
    return "\n".join(map(str, caught.value.problems))


def group_of(tmp_path, keys=""):
    loaded = load(tmp_path, RUNS + SUMS + keys + STEP)
    return loaded.pipelines["sums"].sources[0].group


def test_a_pipeline_of_groups_needs_no_more_than_whose_items_it_gathers(tmp_path):
    loaded = load(tmp_path, RUNS + SUMS + STEP)
    sums = loaded.pipelines["sums"]
    assert sums.items is ItemKind.GROUPS
    assert sums.sources[0].group == Group(pipeline="runs", settle_s=SETTLE_S)
    assert group_key(sums, "all") == "all"


@pytest.mark.parametrize(
    ("keys", "settle_s"),
    [
        ("count = 12", None),
        ('count = "{meta.files}"', None),
        ('group_by = "{day}"', None),
        ('group_by = "{meta.x}"', SETTLE_S),
        ('complete_when = "in/.complete"', None),
        ('count = 3\nsettle = "30m"', 1800.0),
    ],
)
def test_time_is_waited_for_where_nothing_else_says_when(tmp_path, keys, settle_s):
    assert group_of(tmp_path, keys).settle_s == settle_s


def test_paths_are_relative_to_the_file(tmp_path):
    found = group_of(
        tmp_path, 'group_by = "{meta.x}"\nmembers = "meta/{key}_content"\noverdue = "7d"'
    )
    assert found.members == f"{tmp_path}/meta/{{key}}_content"
    assert found.overdue_s == 7 * 86_400


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('step = "quannt"', "has no step `quannt`; did you mean `quant`?"),
        ('group_by = "{params.labb}"', "`{params.labb}` is not a parameter"),
        ('group_by = "{out.x}"', "`{out.x}` has no value in a key"),
        ('group_by = "{week}"', "`{week}` is not a name that Stoker knows"),
        ('where = "values.quant.x > 1"', "`where` has no name `values`"),
        ('where = "params.labb == 1"', "there is no parameter `labb`"),
        ('where = "=="', "`where` is not a condition"),
        ("count = 0", "`count` is a number of at least 1"),
        ('count = "many"', "`count` is a number, or one name of the members"),
        ('count = "{meta.a}{meta.b}"', "`count` is a number, or one name of the members"),
        ('members = "{meta.x}"', "`{meta.x}` is not known here"),
        ('group_by = "{meta.x}"\nmembers = "list"', "every group would have the same file"),
        ('group_by = "{meta.x}"\ncomplete_when = "done"', "every group would have the same file"),
        ("max_open = 3", "`max_open` is not for groups"),
        ('glob = "*"', "`glob` is for a source with a `folder`"),
        ('folder = "data"', "must have one place to look at"),
        ('pack = ["outputs.quant.tpm"]', "`pack` is for volumes"),
        ('volume = "1T"', "`pack` says which outputs go into a volume"),
        ('volume = "1T"\npack = ["quant.tpm"]', "`quant.tpm` does not name an output"),
        ('volume = "1T"\npack = ["outputs.quant.tmp"]', "has no output `tmp`"),
        ('volume = "1T"\npack = ["outputs.quant.tpm"]\ncount = 3', "`count` is not for volumes"),
        (
            'volume = "1T"\npack = ["outputs.quant.tpm"]\nsettle = "1m"',
            "`settle` is not for volumes",
        ),
        ('volume = "lots"\npack = ["outputs.quant.tpm"]', "`lots` is not a size"),
    ],
)
def test_mistakes_of_a_source_are_told(tmp_path, keys, message):
    assert message in problems(tmp_path, RUNS + SUMS + keys + STEP).replace("\n", " ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SUMS.replace('"runs"', '"ruins"') + STEP, "there is no pipeline `ruins`; did you mean `runs`?"),
        (SUMS.replace('"runs"', '"sums"') + STEP, "`sums` cannot be a group of its own items"),
        (SUMS.replace('"groups"', '"files"') + STEP, "only a pipeline of groups follows another"),
        ('[pipelines.sums]\nitems = "groups"\n' + STEP, "a pipeline of groups has one source"),
        (SUMS.replace('"groups"', '"groups"\nkey = "x"') + STEP, "the same key"),
        (SUMS.replace('"groups"', '"groups"\nkey = "{number}"') + STEP, "`{number}` is not known here"),
        (SUMS + STEP.replace("{key}", "{item}"), "`{item}` is a path, and groups have none"),
        (SUMS + STEP.replace("tpm}", "tmp}"), "step `quant` of pipeline `runs` has no output `tmp`"),
        (SUMS + STEP.replace("members.quant.tpm", "members.qu.tpm"), "`runs` has no step `qu`"),
        (SUMS + STEP.replace("{members}", "{members.x}"), "has the wrong number of parts"),
        (SUMS + "[pipelines.sums.params]\np = { required = true }" + STEP, "nothing gives a group"),
        (
            '[pipelines.sums]\nitems = "groups"\nsources.m.pipeline = "more"\n[pipelines.more]\n'
            'items = "groups"\nsources.m.pipeline = "sums"\nsteps.s.run = "true"\n' + STEP,
            "follow each other in a circle: sums → more → sums",
        ),
        (STEP.replace("sums", "other"), "`{members.quant.tpm}` is for groups"),
    ],
)  # fmt: skip
def test_mistakes_of_a_pipeline_of_groups_are_told(tmp_path, text, message):
    assert message in problems(tmp_path, RUNS + text)


def test_a_mistake_in_an_included_file_disables_only_its_own_groups(tmp_path):
    wrong = SUMS.replace('"runs"', '"ruins"') + STEP
    loaded = load(tmp_path, 'include = ["more.toml"]\n' + RUNS, more=wrong)
    assert list(loaded.pipelines) == ["runs"]
    assert "ruins" in str(loaded.broken["sums"][0])


def test_groups_of_a_pipeline_that_is_broken_say_nothing_of_it(tmp_path):
    wrong = RUNS.replace("true >", "{nosuch} >")
    loaded = load(tmp_path, 'include = ["more.toml"]\n' + SUMS + STEP, more=wrong)
    assert list(loaded.pipelines) == ["sums"]
    assert list(loaded.broken) == ["runs"]


def place(group, key="r1", **more):
    facts = {"path": None, "params": {}, "meta": {}, "registered_us": 1_764_500_000_000_000}
    return Membership(group, RUNS_PIPELINE).place(key, **facts | more)


@pytest.fixture(autouse=True)
def _runs(tmp_path):
    global RUNS_PIPELINE  # noqa: PLW0603 - made once for each test, from the file above
    RUNS_PIPELINE = load(tmp_path, RUNS).pipelines["runs"]


RUNS_PIPELINE = None


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc", "", "a/../b", "x" * 1001], ids=lambda name: name[:8]
)
def test_a_hostile_group_is_none(name):
    placed = place(Group(pipeline="runs", by="{meta.x}"), meta={"x": name})
    assert placed.group is None
    assert "`r1`" in placed.fault


@pytest.mark.parametrize(
    ("name", "group"),
    [("$(rm -rf ~)", "$(rm -rf ~)"), ("-rf", "-rf"), ("a\nb", "a%0Ab"), ("ä/b", "ä/b"), (7, "7")],
)
def test_an_odd_group_is_a_key_like_any_other(name, group):
    assert place(Group(pipeline="runs", by="{meta.x}"), meta={"x": name}).group == group


def test_a_value_that_is_missing_is_told():
    assert "no `meta.x`" in place(Group(pipeline="runs", by="{meta.x}")).fault


@pytest.mark.parametrize("value", ["0", "-3", "1.5", "many", "", True, 1.0, 10**12, "٣"])
def test_a_number_of_members_is_a_whole_number(value):
    placed = place(Group(pipeline="runs", count="{meta.n}"), meta={"n": value})
    assert placed.expected is None
    assert "`count` is" in placed.fault


def test_a_day_and_a_month_end_by_the_clock_of_the_host(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Vienna")
    __import__("time").tzset()
    try:
        at_us = 1_774_737_000_000_000  # 2026-03-28 23:30 in Vienna; the next day has 23 hours
        group = Group(pipeline="runs", by="{day}")
        assert place(group, registered_us=at_us).group == "2026-03-28"
        assert end_of("day", at_us) == at_us + 30 * 60_000_000
        later_us = at_us + 3600 * 1_000_000
        assert end_of("day", later_us) - end_of("day", at_us) == 23 * 3600 * 1_000_000
        assert end_of("month", 1_796_000_000_000_000) == 1_796_079_600_000_000
    finally:
        monkeypatch.undo()
        __import__("time").tzset()
