"""The package keeps the rules of `checks.py`, and each rule finds what breaks it."""

import pytest

from architecture import checks
from architecture.checks import Source

RULES = [
    checks.long_modules,
    checks.long_functions,
    checks.empty_names,
    checks.missing_docstrings,
    checks.bare_todos,
    checks.databases_outside_store,
    checks.coroutines_outside_web,
    checks.second_state_writers,
]

BREAKS = [
    (checks.long_modules, "work/slot.py", "x = 1\n" * 401),
    (checks.long_functions, "work/slot.py", "def f():\n" + "    x = 1\n" * 51),
    (checks.long_functions, "work/slot.py", "async def f():\n  if x:\n" + "    y = 1\n" * 50),
    (checks.empty_names, "store/utils.py", ""),
    (checks.empty_names, "common/clock.py", ""),
    (checks.empty_names, "work/_base.py", ""),
    (checks.missing_docstrings, "work/slot.py", "x = 1\n"),
    (checks.missing_docstrings, "work/__init__.py", ""),
    (checks.bare_todos, "work/slot.py", "x = 1  # TODO\n"),
    (checks.bare_todos, "work/slot.py", "# FIXME: later\n"),
    (checks.databases_outside_store, "work/slot.py", "import sqlalchemy as sa\n"),
    (checks.databases_outside_store, "cli/main.py", "def f():\n    from sqlite3 import connect\n"),
    (checks.coroutines_outside_web, "work/slot.py", "async def f():\n    pass\n"),
    (checks.second_state_writers, "store/ends/reap.py", "update(task).values(state=1)\n"),
    (checks.second_state_writers, "store/ends/reap.py", "task.update().where(x).values(state=1)\n"),
    (checks.second_state_writers, "store/ends/reap.py", "statement.values(lane=None, state=1)\n"),
    (checks.second_state_writers, "store/ends/reap.py", "update(task).values({'state': 1})\n"),
    (checks.second_state_writers, "store/ends/reap.py", "update(t).values({t.c.state: 1})\n"),
    (
        checks.second_state_writers,
        "store/ends/reap.py",
        "u.ordered_values((t.c.state, 1), (t.c.x, 2))\n",
    ),
    (
        checks.second_state_writers,
        "store/ends/reap.py",
        "q = 'UPDATE task SET state = 1 WHERE id = 2'\n",
    ),
    (
        checks.second_state_writers,
        "store/ends/reap.py",
        "q = f'''update worker\n set seen = {now}, worker.state = 2'''\n",
    ),
]

KEEPS = [
    (checks.long_functions, "work/slot.py", 'def f():\n    """Doc."""\n' + "    x = 1\n" * 50),
    (checks.long_modules, "store/migrations/0001.py", "x = 1\n" * 401),
    (checks.bare_todos, "work/slot.py", "# TODO: drop when Python 3.11 is no longer supported\n"),
    (checks.bare_todos, "work/slot.py", "x = 'TODO'\n"),
    (checks.databases_outside_store, "store/unit.py", "import sqlalchemy\n"),
    (checks.coroutines_outside_web, "web/app.py", "async def f():\n    pass\n"),
    (checks.second_state_writers, "store/apply.py", "update(task).values(state=1)\n"),
    (checks.second_state_writers, "store/arrivals/register.py", "insert(task).values(state=1)\n"),
    (checks.second_state_writers, "store/ends/reap.py", "update(task).values(lane=1)\n"),
    (
        checks.second_state_writers,
        "store/ends/reap.py",
        "q = 'UPDATE task SET lane = 1 WHERE state = 2'\n",
    ),
    (checks.second_state_writers, "store/ends/reap.py", "q = 'SELECT state FROM task'\n"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    files = checks.sources()
    assert files, "no source was found: the rule would hold for nothing"
    assert [problem for source in files for problem in rule(source)] == []


@pytest.mark.parametrize(("rule", "path", "text"), BREAKS)
def test_the_rule_finds_what_breaks_it(rule, path, text):
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), KEEPS)
def test_the_rule_lets_pass_what_keeps_it(rule, path, text):
    assert list(rule(Source(path, text))) == []


def test_every_rule_is_shown_to_find_something():
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


def test_few_places_take_every_error():
    problems = [problem for source in checks.sources() for problem in checks.broad_excepts(source)]
    assert len(problems) <= checks.BROAD_EXCEPTS, problems


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("try:\n    f()\nexcept Exception:\n    pass\n", 1),
        ("try:\n    f()\nexcept (OSError, BaseException):\n    pass\n", 1),
        ("try:\n    f()\nexcept:\n    pass\n", 1),
        ("try:\n    f()\nexcept BaseException:\n    stop()\n    raise\n", 0),
        ("try:\n    f()\nexcept OSError:\n    pass\n", 0),
    ],
    ids=["all", "among_others", "bare", "passed_on", "narrow"],
)
def test_broad_excepts_are_told_from_narrow_ones(text, found):
    assert len(list(checks.broad_excepts(Source("work/slot.py", text)))) == found


def test_no_module_imports_itself_by_way_of_others():
    assert checks.import_cycle(checks.sources()) == []


def test_a_cycle_is_found():
    files = [
        Source("work/__init__.py", ""),
        Source("work/slot.py", "from stoker.work import lease\n"),
        Source("work/lease.py", "import stoker.work.slot\n"),
    ]
    assert set(checks.import_cycle(files)) == {"stoker.work.slot", "stoker.work.lease"}


def test_an_import_made_when_it_is_used_is_no_cycle():
    files = [
        Source("work/slot.py", "def f():\n    import stoker.work.lease\n"),
        Source("work/lease.py", "import stoker.work.slot\n"),
    ]
    assert checks.import_cycle(files) == []


def test_no_module_knows_itself_even_by_types():
    assert checks.import_cycle(checks.sources(), in_all=True) == []


def test_a_cycle_of_types_is_found():
    files = [
        Source("work/slot.py", "if TYPE_CHECKING:\n    from stoker.work.lease import Lease\n"),
        Source("work/lease.py", "def f():\n    import stoker.work.slot\n"),
    ]
    assert checks.import_cycle(files, in_all=True)
    assert checks.import_cycle(files) == []
