import tomllib

import pytest

from stoker.spec.locate import Locator

TEXT = '''\
top = 1
dotted.a.b = 2
"quoted key" = 3
[table]
x = { one = 1, "two" = [1, 2], deep = { er = 1 } }
list = [
  "a",
  # a comment
  ["b"],
]
[table."node*".inner]  # more
y = """
first
second"""
z = """first
second"""
lit = \'\'\'
first\'\'\'
[[many]]
n = 1
[[many]]
n = 2
[many.sub]
s = 1
[[many.more]]
t = 1
[[many.more]]
t = 2
[late]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("dotted",), 2),
        (("dotted", "a", "b"), 2),
        (("quoted key",), 3),
        (("table",), 4),
        (("table", "x", "one"), 5),
        (("table", "x", "two", 1), 5),
        (("table", "x", "deep", "er"), 5),
        (("table", "list", 0), 7),
        (("table", "list", 1), 9),
        (("table", "list", 1, 0), 9),
        (("table", "node*", "inner", "y"), 12),
        (("table", "node*"), 11),
        (("many", 0, "n"), 20),
        (("many", 1, "n"), 22),
        (("many", 1, "sub", "s"), 24),
        (("many", 1, "more", 0, "t"), 26),
        (("many", 1, "more", 1, "t"), 28),
        (("late",), 29),
        (("late", "missing"), 29),
        (("nowhere",), 1),
        ((), 1),
    ],
)
def test_line(path, line):
    assert Locator(TEXT).place(path)[0] == line


def test_columns():
    locator = Locator(TEXT)
    assert locator.place(("table", "x", "one")) == (5, 7)
    assert locator.place(("table",)) == (4, 2)


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [("y", 1, 13), ("y", 2, 14), ("z", 1, 15), ("z", 2, 16), ("lit", 1, 18), ("gone", 1, 11)],
)
def test_lines_within_texts(name, line, expected):
    assert Locator(TEXT).text_line(("table", "node*", "inner", name), line) == expected


def test_every_key_of_a_file_has_a_place():
    locator = Locator(TEXT)

    def paths(value, path=()):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield (*path, key)
                yield from paths(inner, (*path, key))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from paths(inner, (*path, index))

    for path in paths(tomllib.loads(TEXT)):
        line, column = locator.place(path)
        assert str(path[-1]) in TEXT.splitlines()[line - 1][column - 1 :]


@pytest.mark.parametrize(
    "text", ["", "[", "a =", "= 1", "[[x]", "\0", "[a]\n[a]", "é = 1", '"\\q" = 1']
)
def test_broken_text_is_located_without_a_fault(text):
    assert Locator(text).place(("a", 0, "b"))[0] >= 1
