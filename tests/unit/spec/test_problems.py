import pytest

from stoker.spec.problems import Problem, as_error, name_all, nearest, sort_problems, suggest


def test_problem_as_a_line():
    assert str(Problem("stoker.toml", 12, 3, "wrong")) == "stoker.toml:12: wrong"
    assert str(Problem("a.toml", 1, 1, "wrong", "do right")) == "a.toml:1: wrong; do right"


@pytest.mark.parametrize(
    ("word", "near"),
    [("rnu", "run"), ("Timeout", "timeout"), ("xyz", None), ("outptus", "outputs")],
)
def test_nearest(word, near):
    assert nearest(word, ["run", "argv", "timeout", "outputs"]) == near


def test_suggestions():
    assert suggest("rnu", ["run", "argv"]) == "did you mean `run`?"
    assert suggest("xyz", ["run", "argv"]) == "there is `run` and `argv`"
    assert suggest("xyz", [f"name{n}" for n in range(12)]).endswith(" and `name11`")
    assert suggest("xyz", [f"name{n}" for n in range(13)]) == ""
    assert suggest("xyz", []) == ""
    assert name_all(["a", "b", "c"]) == "`a`, `b` and `c`"


def test_problems_are_sorted_and_each_told_once():
    one, two, three = Problem("a", 2, 1, "x"), Problem("a", 10, 1, "x"), Problem("b", 1, 1, "x")
    assert sort_problems([three, two, one, two]) == (one, two, three)


def test_error_counts():
    assert "a problem" in str(as_error("f", [Problem("f", 1, 1, "x")]))
    error = as_error("f", [Problem("f", 1, 1, "x"), Problem("f", 2, 1, "x")])
    assert "2 problems" in str(error)
    assert len(error.problems) == 2
    assert error.exit_code == 2
