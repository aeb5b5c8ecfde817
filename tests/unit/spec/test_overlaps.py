"""Outputs that would be published inside each other are found in their templates."""

import pytest

from stoker.errors import SpecError
from stoker.spec.load import load_project
from stoker.spec.overlaps import find_overlaps


def pipelines(tmp_path, *outputs, whens=()):
    """Return what the pipelines have whose steps, `s1` and on, each publish one of these."""
    lines = []
    for number, output in enumerate(outputs, 1):
        pipeline = "p" if isinstance(output, str) else output[0]
        text = output if isinstance(output, str) else output[1]
        if f"[pipelines.{pipeline}]" not in lines:
            lines += [f"[pipelines.{pipeline}]", 'items = "records"']
        lines += [f"[pipelines.{pipeline}.steps.s{number}]", 'run = "true"', f"outputs.o = {text}"]
        lines += [f"when = '{whens[number - 1]}'"] if whens else []
    (tmp_path / "stoker.toml").write_text("\n".join(lines))
    return load_project(tmp_path / "stoker.toml").pipelines.values()


INSIDE = [
    ('"res/{key}/"', '"res/{key}/plot.png"'),
    ('"res/{key}/plot.png"', '"res/{key}/"'),
    ('"res/{key}/"', '"./res//{key}/a/../b/{meta.x}.png"'),
    ('"res/"', '"res/{key}.txt"'),
    ('"res/{key}/"', '{ from = "*.log", to = "res/{key}/" }'),
    ('"res/{key}/"', '{ from = "*.log", to = "res/{key}/logs/" }'),
    ('{ from = "*.log", to = "res/{key}" }', '"res/{key}/x"'),
]
APART = [
    ('"res/{key}/"', '"res/{key}.png"'),
    ('"res/{key}/"', '"res/{name}/plot.png"'),
    ('"res/{key}/frames/"', '"res/{key}/plot.png"'),
    ('{ from = "*.log", to = "logs/" }', '{ from = "*.txt", to = "logs/" }'),
    ('{ from = "*.log", to = "res/{key}/" }', '"res/{key}/frames/"'),
    ('"{dir}/res/"', '"res/x"'),
    ('"res/{meta.a}/"', '"res/{{meta.a}}/x"'),
]


@pytest.mark.parametrize("outputs", INSIDE)
def test_an_output_inside_anothers_is_a_mistake(tmp_path, outputs):
    with pytest.raises(SpecError) as error:
        pipelines(tmp_path, *outputs)
    (problem,) = error.value.problems
    assert "is published inside output `o`" in str(problem)
    assert "separate paths" in str(problem)


@pytest.mark.parametrize("outputs", APART)
def test_outputs_beside_each_other_are_none(tmp_path, outputs):
    assert list(find_overlaps(pipelines(tmp_path, *outputs))) == []


def test_two_steps_with_one_path_are_a_mistake_unless_their_conditions_part_them(tmp_path):
    outputs = ('"res/{key}"', '"res/{key}"')
    with pytest.raises(SpecError) as error:
        pipelines(tmp_path, *outputs)
    assert "output `o` of step `s2` has the path of output `o` of step `s1`" in str(
        error.value.problems[0]
    )
    conditions = ('key == "a"', 'key != "a"')
    (overlap,) = find_overlaps(pipelines(tmp_path, *outputs, whens=conditions))
    assert not overlap.is_certain


@pytest.mark.parametrize("to", ['"res/{key}/plot.png"', '"res/{key}/"'])
def test_of_two_pipelines_it_is_told_and_no_mistake(tmp_path, to):
    """Their items may have different keys."""
    (overlap,) = find_overlaps(pipelines(tmp_path, '"res/{key}/"', ("q", to)))
    assert not overlap.is_certain
    assert "output `o` of step `s2` of pipeline `q`" in overlap.message
