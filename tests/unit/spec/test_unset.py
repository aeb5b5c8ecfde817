from dataclasses import replace

from stoker.model.pipeline import Param
from stoker.model.source import Source
from stoker.spec.unset import find_unset
from unit.spec.shell_cases import pipeline_of


def unset(source, *params):
    return find_unset(replace(pipeline_of(""), params=params, sources=(source,)))


RIG = Source(name="rig", folder="in", fields="{run}_{n}.txt")


def test_a_field_of_a_name_does_not_set_the_parameter_of_that_name():
    (said,) = unset(RIG, Param(name="n"), Param(name="gain"))
    assert said.startswith("source `rig`: the field `n` sets `{meta.n}`, not the parameter `n`")


def test_a_folder_cannot_set_what_is_required():
    (said,) = unset(
        RIG, Param(name="gain", required=True), Param(name="x", required=True, default=1)
    )
    assert said.startswith("source `rig` refuses every item: parameter `gain` is required")


def test_a_table_sets_parameters():
    table = replace(RIG, folder=None, table="t.csv")
    assert unset(table, Param(name="n", required=True)) == []
