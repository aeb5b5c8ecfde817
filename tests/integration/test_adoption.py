"""Adopting outputs whose names the tool chose, in folders of the items' own and in shared ones."""

import os

import pytest

import stoker

STEP = """
[pipelines.spikes]
{key}
[pipelines.spikes.params]
block = {{ type = "string", default = "Pen01" }}
[pipelines.spikes.sources.blocks]
folder = "data"
[pipelines.spikes.steps.make]
run = "cp {{item}} {{out.kwd}}; cp {{item}} {{stem}}.klog"
outputs.kwd = "results/{{stem}}.kwd"
outputs.log = {{ from = "{pattern}", to = "{to}", optional = {optional} }}
"""


@pytest.fixture
def adopted(tmp_path):
    """Adopt what lies in `results`, for a step with an output like this; two items, all old."""

    def adopt(to, *, pattern="*.klog", optional=True, key=""):
        optional = str(optional).lower()
        text = STEP.format(to=to, pattern=pattern, optional=optional, key=key)
        (tmp_path / "stoker.toml").write_text(text)
        for path in ("data/Pen01.dat", "data/Pen02.dat", "results/Pen01.kwd", "results/Pen02.kwd"):
            make(path)
        with stoker.open(tmp_path) as project:
            project.push("spikes", tmp_path / "data")
            done = project.adopt("spikes")
            outputs = {
                row.item: [os.path.relpath(one.path, tmp_path / "results") for one in row.outputs]
                for row in project.attempts()
            }
        return done, outputs

    def make(path):
        whole = tmp_path / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text("x")
        os.utime(whole, (1, 1))

    adopt.make = make
    return adopt


def test_in_a_shared_folder_files_with_the_items_name_are_its(adopted):
    for name in ("Pen01.klog", "Pen02.dat.klog", "Pen02b.klog", "other.klog"):
        adopted.make(f"results/logs/{name}")
    done, outputs = adopted("results/logs/")
    assert done.total == 2
    assert outputs["Pen01.dat"] == ["Pen01.kwd", "logs/Pen01.klog"]
    assert outputs["Pen02.dat"] == ["Pen02.kwd", "logs/Pen02.dat.klog"]
    assert done.without == {}


def test_an_optional_output_that_cannot_be_told_apart_is_left_out_and_told(adopted):
    adopted.make("results/logs/Pen01.klog")
    done, outputs = adopted("results/logs/")
    assert outputs["Pen02.dat"] == ["Pen02.kwd"]
    assert done.without == {"make": {"log": 1}}


def test_an_output_that_has_to_be_there_keeps_its_task_from_being_adopted(adopted):
    adopted.make("results/logs/Pen01.klog")
    done, outputs = adopted("results/logs/", optional=False)
    assert list(outputs) == ["Pen01.dat"]
    (message,) = done.messages
    assert "there is no `Pen02.klog` or `Pen02.dat.klog`" in message


def test_a_pattern_of_several_wildcards_tells_no_names(adopted):
    adopted.make("results/logs/Pen01.1.klog")
    done, outputs = adopted("results/logs/", pattern="*.?.klog")
    assert outputs["Pen01.dat"] == ["Pen01.kwd"]
    assert done.without == {"make": {"log": 2}}


@pytest.mark.parametrize("to", ["results/{stem}/", "results/of-{key}/"])
def test_all_that_match_in_a_folder_of_its_own_are_the_items(adopted, to):
    for item in ("Pen01", "of-Pen01.dat"):
        adopted.make(f"results/{item}/b.klog")
        adopted.make(f"results/{item}/a.klog")
    done, outputs = adopted(to)
    assert [name.rpartition("/")[2] for name in outputs["Pen01.dat"]] == [
        "Pen01.kwd", "a.klog", "b.klog",
    ]  # fmt: skip
    assert done.without == {}


def test_a_folder_named_by_what_items_have_in_common_is_shared(adopted):
    adopted.make("results/Pen01/strange.klog")
    done, outputs = adopted("results/{params.block}/")
    assert outputs == {"Pen01.dat": ["Pen01.kwd"], "Pen02.dat": ["Pen02.kwd"]}
    assert done.without == {"make": {"log": 2}}
