import dataclasses
import json
import subprocess
import sys

import pytest

from stoker.errors import Bug
from stoker.model.pipeline import (
    Argv,
    Cause,
    ItemKind,
    OnChange,
    Output,
    Param,
    ParamType,
    Pipeline,
    Python,
    Run,
    Step,
    Verdict,
)
from stoker.model.source import Command, Feed, Rules, Source
from stoker.spec.canon import (
    body_hash,
    dump_pipeline,
    interface_hash,
    is_same,
    load_pipeline,
    pipeline_body_hash,
)

STEP = Step(
    name="b",
    action=Argv(words=("t", ("-x", "{key}"), "ä\u2028")),
    after=("a",),
    when="key == 'x'",
    outputs=(Output(name="o", to="r/{key}", pick="*", optional=True, stage_beside=True),),
    env={"B": "1", "A": "{key}"},
    prepare="module load x",
    cpus=2,
    memory_bytes=(2**30, 2**31),
    pools={"ram": 1},
    secrets=("TOKEN",),
    timeout_s=7200.0,
    retries=2,
    backoff_s=1.5,
    exits={0: Verdict.DONE, 75: Verdict.LATER},
    error_markers=("(?i)^error",),
    causes=(Cause(match="x", say="y", do="z"),),
)
PIPELINE = Pipeline(
    name="p",
    folder="/lab/\udcff",
    title="T",
    items=ItemKind.RECORDS,
    key="{params.block}",
    on_change=OnChange.FAIL,
    priority=3,
    params=(
        Param(name="block", required=True, pattern="Pen.*"),
        Param(name="l", type=ParamType.LIST, items=ParamType.INTEGER, default=[1, 2]),
        Param(name="c", type=ParamType.CHOICE, choices=("a", "b"), default="a"),
        Param(name="g", type=ParamType.NUMBER, minimum=0.0, maximum=1e10, default=1.0),
    ),
    extract=("exiftool", "{item}"),
    rules=Rules(min_bytes=1, magic="ff00", command=("file", "{item}")),
    sources=(
        Source(name="s", folder="/data", exclude=("*.tmp",)),
        Source(name="t", table="/t.tsv"),
        Source(name="c", command=Command(text="ls", every_s=5.0), parts={"a": "b"}, max_open=3),
        Source(name="f", feed=Feed(url="http://x", selector={"a": [1, None, {"b": 2.5}]})),
    ),
    steps=(
        Step(name="a", action=Run(text="echo {key}\n")),
        STEP,
        Step(name="c", action=Python(function="m:f", interpreter="/x/python"), after=("a",)),
        Step(name="d", action=Python(function="m:f")),
    ),
)


def test_text_leads_back_to_the_same_pipeline():
    text = dump_pipeline(PIPELINE)
    assert load_pipeline(text) == PIPELINE
    assert dump_pipeline(load_pipeline(text)) == text
    assert interface_hash(load_pipeline(text)) == interface_hash(PIPELINE)
    assert pipeline_body_hash(load_pipeline(text)) == pipeline_body_hash(PIPELINE)
    assert [type(step.action) for step in load_pipeline(text).steps] == [Run, Argv, Python, Python]


def test_whole_numbers_do_for_others_and_what_is_not_known_is_left_out():
    text = """{"folder": "/f", "name": "p", "later": 1, "extract": "m:f", "params": [
        {"name": "g", "minimum": 0, "default": 1}
    ], "steps": [{"name": "a", "action": {"text": ":", "shell": "zsh"}, "timeout_s": 60}]}"""
    step = Step(name="a", action=Run(text=":"), timeout_s=60.0)
    param = Param(name="g", minimum=0.0, default=1)
    assert load_pipeline(text) == Pipeline(
        name="p", folder="/f", extract="m:f", params=(param,), steps=(step,)
    )


def test_a_pipeline_is_read_without_what_checks_it():
    code = "import sys; from stoker.spec.canon import load_pipeline as load; load(sys.argv[1])"
    look = f"{code}; sys.exit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", look, dump_pipeline(PIPELINE)], check=True)


def test_text_is_canonical_and_leaves_defaults_out():
    small = Pipeline(name="p", folder="/f", steps=(Step(name="a", action=Run(text=":")),))
    assert dump_pipeline(small) == (
        '{"folder":"/f","name":"p","steps":[{"action":{"text":":"},"name":"a"}]}'
    )
    assert json.loads(dump_pipeline(PIPELINE))["steps"][1]["exits"] == {"0": "done", "75": "later"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"name":"n","folder":"/","steps":[{"name":"a","action":{}}]}',
        '{"name":1,"folder":"/","steps":[]}',
    ],
)
def test_text_of_something_else_is_a_bug(text):
    with pytest.raises(Bug, match="cannot be read"):
        load_pipeline(text)


CHANGES = {
    "action": Argv(words=("other",)),
    "prepare": None,
    "outputs": (dataclasses.replace(STEP.outputs[0], to="elsewhere/{key}"),),
    "env": {"A": "2"},
    "when": None,
    "exits": {},
    "error_markers": (),
}
HARMLESS = {
    "cpus": 8,
    "memory_bytes": (),
    "disk_bytes": 1,
    "open_files": 99,
    "pools": {},
    "needs": ("matlab",),
    "together": "disk",
    "secrets": (),
    "timeout_s": None,
    "retries": 0,
    "backoff_s": 2.0,
    "causes": (),
    "after": (),
    "renamed_from": "old",
}


@pytest.mark.parametrize("field", CHANGES)
def test_body_changes_with_what_decides_on_results(field):
    changed = dataclasses.replace(STEP, **{field: CHANGES[field]})
    assert body_hash(changed) != body_hash(STEP)
    steps = tuple(changed if step is STEP else step for step in PIPELINE.steps)
    other = dataclasses.replace(PIPELINE, steps=steps)
    assert pipeline_body_hash(other) != pipeline_body_hash(PIPELINE)
    assert interface_hash(other) == interface_hash(PIPELINE)


@pytest.mark.parametrize("field", HARMLESS)
def test_body_stays_with_everything_else(field):
    assert body_hash(dataclasses.replace(STEP, **{field: HARMLESS[field]})) == body_hash(STEP)


def test_every_field_of_a_step_is_on_one_side():
    names = {field.name for field in dataclasses.fields(Step)}
    assert names == {"name", "site", *CHANGES, *HARMLESS}


def test_the_site_of_a_step_is_a_matter_of_the_interface():
    """Sites must agree on it, and nothing that is done is outdated by it."""
    elsewhere = dataclasses.replace(STEP, site="lyon")
    steps = tuple(elsewhere if step is STEP else step for step in PIPELINE.steps)
    other = dataclasses.replace(PIPELINE, steps=steps)
    assert interface_hash(other) != interface_hash(PIPELINE)
    assert body_hash(elsewhere) == body_hash(STEP)
    assert load_pipeline(dump_pipeline(other)) == other


def test_kinds_of_action_differ():
    run = Step(name="a", action=Run(text="x"))
    assert body_hash(run) != body_hash(dataclasses.replace(run, action=Python(function="x")))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "q"},
        {"key": None},
        {"items": ItemKind.FILES},
        {"params": PIPELINE.params[:2]},
        {"params": (dataclasses.replace(PIPELINE.params[0], pattern=None), *PIPELINE.params[1:])},
        {"steps": PIPELINE.steps[:3]},
        {"steps": (*PIPELINE.steps[:3], dataclasses.replace(PIPELINE.steps[3], after=("a",)))},
        {"steps": (PIPELINE.steps[0], dataclasses.replace(STEP, outputs=()), *PIPELINE.steps[2:])},
    ],
)
def test_interface_changes(changes):
    assert interface_hash(dataclasses.replace(PIPELINE, **changes)) != interface_hash(PIPELINE)


@pytest.mark.parametrize(
    "changes",
    [
        {"folder": "/moved"},
        {"title": "other"},
        {"priority": 0},
        {"on_change": OnChange.RERUN},
        {"sources": ()},
        {"steps": (PIPELINE.steps[3], *PIPELINE.steps[:3])},
        {"params": PIPELINE.params[::-1]},
    ],
)
def test_interface_stays(changes):
    other = dataclasses.replace(PIPELINE, **changes)
    assert interface_hash(other) == interface_hash(PIPELINE)
    assert pipeline_body_hash(other) == pipeline_body_hash(PIPELINE)


def test_hashes_are_what_stores_already_hold():
    """Changing how hashes are made would call every task of every store outdated."""
    assert interface_hash(PIPELINE) == "2:ca70132ef8822f89"
    assert body_hash(STEP) == "ad204562e9898226"
    assert pipeline_body_hash(PIPELINE) == "831ba9eb342cec11"


def test_a_hash_under_other_names_is_that_of_the_renamed_step():
    """In its name, its templates and its condition; a word that only looks like a name stays."""
    old = Step(
        name="a",
        action=Run(text='plot {in.b.x} {in.bc.y} in.b.x "{in.b.values.n:,}" {item}'),
        when="values.b.n > 1.0 && meta.b == values.bc.n",
        env={"B": "{in.b.x}"},
    )
    new = Step(
        name="z",
        action=Run(text='plot {in.q.x} {in.bc.y} in.b.x "{in.q.values.n:,}" {item}'),
        when="values.q.n > 1.0 && meta.b == values.bc.n",
        env={"B": "{in.q.x}"},
    )
    assert body_hash(old, {"a": "z", "b": "q"}) == body_hash(new) != body_hash(old)
    assert body_hash(old, {"a": "a"}) == body_hash(old)
    other = dataclasses.replace(new, action=Run(text="other {in.q.x}"))
    assert body_hash(old, {"a": "z", "b": "q"}) != body_hash(other)


def test_the_same_pipeline_in_another_folder_is_the_same():
    moved = dataclasses.replace(PIPELINE, folder="/elsewhere")
    other = dataclasses.replace(PIPELINE, priority=4)
    assert is_same(dump_pipeline(PIPELINE), dump_pipeline(moved))
    assert not is_same(dump_pipeline(PIPELINE), dump_pipeline(other))
    assert not is_same(dump_pipeline(other), dump_pipeline(PIPELINE))
