"""The columns of a table of values: which there are, and their types."""

import pytest

from stoker.errors import UserError
from stoker.model.pipeline import Argv, Param, Pipeline, Step
from stoker.project.value_tables.columns import MOST_COLUMNS, Columns, Kind, kind_of, widened
from stoker.store.reports.value_rows import ValueRow

PIPELINE = Pipeline(
    name="p",
    folder="/f",
    params=(Param(name="x"),),
    steps=tuple(Step(name=name, action=Argv(words=("true",))) for name in ("b", "a")),
)


def table(*rows, columns=()):
    made = Columns(PIPELINE, columns)
    taken = [made.take(row) for row in rows]
    return made.names, made.kinds, made.cells(taken)


def row(key="k", *, x=None, meta=None, **values):
    return ValueRow(key, {} if x is None else {"x": x}, meta or {}, values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((None, None), Kind.TEXT),
        ((1, None), Kind.INTEGER),
        ((1, 2.5), Kind.NUMBER),
        ((True, None), Kind.BOOLEAN),
        ((True, 1), Kind.TEXT),
        ((1, "a"), Kind.TEXT),
        ((1.5, [1]), Kind.TEXT),
        ((2**63, 1), Kind.TEXT),
        ((-(2**63), 1), Kind.INTEGER),
    ],
)
def test_a_column_has_the_narrowest_type_of_its_values(values, kind):
    rows = [row(str(n), a={"v": value}) for n, value in enumerate(values)]
    names, kinds, cells = table(*rows)
    assert names == ("key", "params.x", "values.a.v")
    assert kinds[2] is kind
    assert all(one[2] is None or kind_of(one[2]) is kind for one in cells)
    assert widened(kind_of(values[1]), kind_of(values[0])) in (kind, Kind.NOTHING)


def test_all_values_that_there_are_by_the_order_of_steps():
    names, _, cells = table(row("1", a={"z": 1}, b={"y": 2}), row("2", x="p", a={"w": 3}))
    assert names == ("key", "params.x", "values.b.y", "values.a.w", "values.a.z")
    assert cells == [["1", None, 2, None, 1], ["2", "p", None, 3, None]]


def test_named_columns_in_their_order():
    columns = ("values.a.z", "meta.m", "key", "outputs.a.o")
    one = row("1", meta={"m": [1, "ü"]}, a={"z": True})
    one.outputs = {"a": {"o": ["/x", "/y"]}}
    two = row("2")
    two.outputs = {"a": {"o": ["/z"]}}
    _, kinds, cells = table(one, two, columns=columns)
    assert cells == [[True, '[1,"ü"]', "1", '["/x","/y"]'], [None, None, "2", "/z"]]
    assert kinds[0] is Kind.BOOLEAN


def test_text_is_utf8_whatever_it_was():
    _, _, cells = table(row("k", x="a\udcffb"))
    assert cells[0][1] == "a\\xffb"


def test_too_many_columns_are_refused_with_the_remedy():
    made = Columns(PIPELINE, ())
    with pytest.raises(UserError, match="name those that the table is to have in `columns`"):
        made.take(row("k", a={f"v{n}": n for n in range(MOST_COLUMNS)}))
