"""`tables` in the file: what a table may be, and what `check` says against one."""

import pytest

from stoker.errors import SpecError
from stoker.model.pipeline import ValueTable
from stoker.spec.canon import dump_pipeline, load_pipeline
from stoker.spec.load import load_project
from stoker.spec.value_tables import steps_needed

FILE = """
[pipelines.p]
items = "records"
tables.t = {table}
[pipelines.p.params]
x = {{}}
[pipelines.p.steps.a]
run = "true > {{out.o}}"
outputs.o = "o/{{key}}"
[pipelines.p.steps.b]
run = "true"
"""


def load(tmp_path, table):
    (tmp_path / "stoker.toml").write_text(FILE.format(table=table))
    return load_project(tmp_path / "stoker.toml").pipelines["p"]


def test_short_and_long_form(tmp_path):
    pipeline = load(tmp_path, '"r/all.csv"')
    assert pipeline.tables == (ValueTable(name="t", to=f"{tmp_path}/r/all.csv"),)
    assert load_pipeline(dump_pipeline(pipeline)) == pipeline
    columns = '["key", "params.x", "meta.m", "values.a.n", "outputs.a.o"]'
    where = "values.a.n > 75 && has(meta.m)"
    long = load(tmp_path, f'{{ to = "/r/all.sqlite", columns = {columns}, where = "{where}" }}')
    assert (long.tables[0].to, len(long.tables[0].columns)) == ("/r/all.sqlite", 5)
    assert steps_needed(long, long.tables[0].columns, where) == {"a"}
    assert steps_needed(long, ("key",), "values.b.z == 1") == {"b"}
    assert steps_needed(long, (), None) is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("{}", "table `t` has no path"),
        ("7", "must be a table"),
        ('"all.xls"', "is not the name of a table"),
        ('"{key}.csv"', "takes no names in braces"),
        ('{ to = "a.csv", columns = ["kye"] }', "`kye` is not a column"),
        ('{ to = "a.csv", columns = ["params.y"] }', "there is no parameter `y`"),
        ('{ to = "a.csv", columns = ["values.c.n"] }', "there is no step `c`"),
        ('{ to = "a.csv", columns = ["values.a"] }', "wrong number of parts"),
        ('{ to = "a.csv", columns = ["outputs.a.p"] }', "has no output `p`"),
        ('{ to = "a.csv", columns = ["key", "key"] }', "is there twice"),
        ('{ to = "a.csv", where = "values.z.n > 1" }', "there is no step `z`"),
        ('{ to = "a.csv", where = "1 +" }', "`where` is not a condition"),
        ('{ to = "a.csv", where = "nmae == 1" }', "`where` has no name `nmae`"),
        ('"a.csv"\ntables.u = "./a.csv"', "have one path"),
    ],
)
def test_what_cannot_be(tmp_path, table, words):
    with pytest.raises(SpecError) as caught:
        load(tmp_path, table)
    assert words in "\n".join(map(str, caught.value.problems))
