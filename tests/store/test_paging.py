"""Lists in pages: complete, in order, and each page found without a look at what is not on it."""

import re
from contextlib import contextmanager
from itertools import product

import pytest
from sqlalchemy import event

from stoker.errors import UserError
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import paging, picking, selection, tables
from stoker.store.actor import Actor
from stoker.store.forecasts import ready_sample
from stoker.store.orders import verbs
from stoker.store.reports import attempts, lists

ME = Actor("tester")
ALL = Selection()
TASKS, ITEMS, ATTEMPTS = lists.tasks, lists.items, attempts.attempts
PAGE_OF = {
    TASKS: lists.page_of_tasks,
    ITEMS: lists.page_of_items,
    ATTEMPTS: attempts.page_of_attempts,
}


@pytest.fixture
def busy(rig, pipeline):
    """Forty items of two pipelines, with tasks in every state that comes of work and of people."""
    for name in ("line", "other"):
        line = pipeline(one=(), two=("one",))
        rig.apply(type(line)(name=name, folder="/project", steps=line.steps))
    keys = [f"k{number:02}" for number in range(20)]
    rig.push(*keys)
    rig.push(*keys, pipeline="other")
    worker = rig.worker(slots=64)
    ends = (AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.TIMED_OUT)
    for number, task in enumerate(rig.claim(worker, limit=24, cpus=64)):
        if state := (*ends, None)[number % 4]:
            rig.end(task, state, reason="a reason" if number % 3 else "another", cause="c")
    verbs.hold(rig.store, Selection(pipeline="line", keys=("k1[5-9]",)), ME)
    verbs.cancel(rig.store, Selection(pipeline="other", keys=("k19",)), ME)
    return rig


def names(rows):
    return [(row.pipeline, row.item, getattr(row, "step", None), row.state) for row in rows]


@pytest.mark.parametrize(
    ("listing", "states"),
    [
        (TASKS, ("blocked", "ready", "running", "held", "done", "failed", "cancelled")),
        (ITEMS, ("running", "held", "failed", "cancelled", "waiting")),
        (ATTEMPTS, ("running", "succeeded", "failed", "timed_out")),
    ],
)
def test_what_is_selected_is_listed_whole_and_in_order(busy, monkeypatch, listing, states):
    """In pages of three, however they are picked, as if all had been listed and then looked at."""
    for module, size in ((paging, "PAGE"), (paging, "_LEAST"), (paging, "_MOST")):
        monkeypatch.setattr(module, size, 3)
    every = names(listing(busy.store, ALL))
    assert {state for *_, state in every} == set(states)
    ranges = ({}, {"keys": ("k03", "k1*")}, {"from_key": "k04", "to_key": "k16"}, {"by": "nobody"})
    for few, of_states, pipeline, steps, of_keys in product(
        (2, 5_000), ((), *zip(states), states[:2], ("failed",) * 2), (None, "other"), ((), ("two",)),
        ranges,
    ):  # fmt: skip
        if few == 2 and not of_keys:
            continue
        monkeypatch.setattr(picking, "_FEW", few)
        chosen = Selection(states=of_states, pipeline=pipeline, steps=steps, **of_keys)
        if chosen.keys and pipeline is None:
            continue  # an item of two pipelines
        assert names(listing(busy.store, chosen)) == [
            (of, key, step, state)
            for of, key, step, state in every
            if (not of_states or state in of_states)
            and pipeline in (None, of)
            and (not steps or step in (None, *steps))
            and (not chosen.keys or key == "k03" or key.startswith("k1"))
            and (chosen.from_key is None or "k04" <= key <= "k16")
            and chosen.by is None
        ], chosen


@pytest.mark.parametrize("listing", PAGE_OF)
def test_pages_one_after_the_other_are_the_list(busy, monkeypatch, listing):
    """Whatever picks them, and whatever is left out of them for what is asked of each row."""
    monkeypatch.setattr(paging, "PAGE", 5)
    monkeypatch.setattr(paging, "_LEAST", 2)
    monkeypatch.setattr(paging, "_MOST", 7)
    for few, among in ((5_000, 20_000), (2, 0)):
        monkeypatch.setattr(picking, "_FEW", few)
        monkeypatch.setattr(picking, "_AMONG", among)
        monkeypatch.setattr(picking, "_are_often_tried", lambda *_: False)
        for chosen in (
            ALL,
            Selection(states=("failed",)),
            Selection(states=("failed", "running"), pipeline="line"),
            Selection(steps=("one",)),
            Selection(pipeline="line", keys=("k0*",)),
            Selection(where="key > 'k08'"),
            Selection(where="key == 'k19'", pipeline="other"),
            Selection(match="another"),
            Selection(states=("cancelled",), where="false"),
        ):
            every = list(listing(busy.store, chosen))
            for limit in (1, 4, len(every), 10_000):
                if limit:
                    assert pages_of(busy.store, listing, chosen, limit) == every, chosen
    assert every == []


def pages_of(store, listing, chosen, limit):
    """All rows, by one page after the other."""
    rows, after = [], None
    for _ in range(200):
        page = PAGE_OF[listing](store, chosen, after=after, limit=limit)
        assert len(page.rows) <= limit
        rows += page.rows
        if page.next is None:
            return rows
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", page.next)
        after = page.next
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("listing", PAGE_OF)
def test_a_page_looks_at_a_bounded_number_of_rows(busy, monkeypatch, listing):
    monkeypatch.setattr(paging, "_MOST", 4)
    page = PAGE_OF[listing](busy.store, Selection(where="false"), after=None, limit=3)
    assert page.rows == []
    assert page.next is not None


@pytest.mark.parametrize("listing", PAGE_OF)
def test_a_place_that_no_page_gave_is_refused(busy, listing):
    page_of, chosen = PAGE_OF[listing], Selection(pipeline="line")
    good = page_of(busy.store, chosen, after=None, limit=2).next
    others = [PAGE_OF[other](busy.store, chosen, after=None, limit=2).next
              for other in PAGE_OF if other is not listing]  # fmt: skip
    for after in (
        "", "a", "=", good + "=", good[:-1], good + "A", good[:-1] + "~", "+" + good[1:], good * 9,
        "A" * 100_000, "../../etc", "' OR 1=1 --", "\udcff", "\0", "ü" * 22, 7, b"AAAA", [good], *others,
    ):  # fmt: skip
        with pytest.raises(UserError, match="not a place in this list") as raised:
            page_of(busy.store, chosen, after=after, limit=2)
        assert len(str(raised.value)) < 300
        assert str(raised.value).isascii()
    with pytest.raises(UserError, match="same selection"):
        page_of(busy.store, Selection(pipeline="other"), after=good, limit=2)
    for limit in (0, -1, 10_001, True, "5", None, 2.5):
        with pytest.raises(UserError, match="`limit`"):
            page_of(busy.store, chosen, after=None, limit=limit)


@pytest.mark.parametrize(
    ("listing", "chosen", "index"),
    [
        (TASKS, ALL, None),
        (TASKS, Selection(states=("ready",)), "task_state"),
        (TASKS, Selection(states=("failed",), match="a reason"), "task_state"),
        (TASKS, Selection(steps=("two",)), "task_state"),
        (ITEMS, ALL, None),
        (ITEMS, Selection(pipeline="other"), "item_state"),
        (ATTEMPTS, ALL, None),
        (ATTEMPTS, Selection(states=("failed",)), "attempt_ended|attempt_running"),
    ],
)
def test_a_later_page_begins_behind_its_place(busy, database, listing, chosen, index):
    """By an index, with none of the rows before it read or counted, and few more than it has."""
    if database == "postgresql":  # which goes by how many rows there are
        busy.push(*(f"m{number:04}" for number in range(2_000)))
        with busy.store.connected() as connection:
            connection.exec_driver_sql("ANALYZE")
    after = PAGE_OF[listing](busy.store, chosen, after=None, limit=2).next
    assert after is not None

    def second(store, chosen):
        return PAGE_OF[listing](store, chosen, after=after, limit=3).rows

    seen = [one for one in statements(busy.store, second, chosen) if "LIMIT" in one[0]]
    begins = [one for one in seen if "range0" in one[0]] if index else seen
    begins = [one for one in begins if re.search(r"\bid > ", one[0])]
    assert begins
    for text, values in begins:
        steps = plan(busy.store, text, values)
        assert not [step for step in steps if reads_all(step)], steps
        if index:
            assert [step for step in steps if re.search(index, step)], steps
            assert not [step for step in steps if "filesort" in step] or listing is ATTEMPTS, steps


def test_a_range_of_keys_includes_what_begins_with_its_end(rig, pipeline):
    """Bytewise, whatever the database makes of text; globs that begin with a text likewise."""
    last = "\U0010ffff"
    keys = [
        "a", "a ", "a%FF", "a%FF.dat", "a%FG", "a/1", "ab", "aé", "aü", "a" + last,
        "a" + last + "x", "b", "\ud7ffx", "\ue000", last, last * 2,
    ]  # fmt: skip
    rig.apply(pipeline(one=()))
    rig.push(*keys)
    for end in [*keys, "\ud7ff", "A", "a%F"]:
        found = {row.item for row in ITEMS(rig.store, Selection(to_key=end))}
        assert found == {key for key in keys if key.encode() <= end.encode() or key.startswith(end)}
        globbed = {row.item for row in ITEMS(rig.store, Selection(keys=(end + "*",)))}
        assert globbed == {key for key in keys if key.startswith(end)}


@pytest.mark.parametrize("among", [20_000, 0])
@pytest.mark.parametrize("chosen", [{"steps": ("one",)}, {"pipeline": "other"}])
def test_attempts_of_steps_that_were_seldom_tried_are_listed_whole(
    busy, monkeypatch, among, chosen
):
    every = list(attempts.attempts(busy.store, ALL))
    monkeypatch.setattr(picking, "_are_often_tried", lambda *_: False)
    monkeypatch.setattr(picking, "_AMONG", among)
    found = list(attempts.attempts(busy.store, Selection(**chosen)))
    assert found == [
        one for one in every
        if one.step in chosen.get("steps", (one.step,))
        and one.pipeline == chosen.get("pipeline", one.pipeline)
    ]  # fmt: skip
    assert found


def test_attempts_of_a_step_are_found_among_the_ids_of_its_tasks(busy, monkeypatch):
    monkeypatch.setattr(picking, "_are_often_tried", lambda *_: False)
    seen = statements(busy.store, ATTEMPTS, Selection(steps=("one",)))
    ends = [one for one in seen if "LIMIT" in one[0] and one[0].count("ORDER BY") > 8]
    within = [one for one in seen if "BETWEEN" in one[0]]
    assert len(ends) == len(within) == 1
    for text, values in (*ends, *within):
        steps = plan(busy.store, text, values)
        assert not [step for step in steps if reads_all(step) or "filesort" in step], steps
    for step in plan(busy.store, *ends[0]):
        assert "task_state" in step or not re.search(r"\btask\b", step), step


@pytest.mark.parametrize(
    ("listing", "chosen", "index"),
    [
        (TASKS, Selection(states=("failed",)), "task_state"),
        (TASKS, Selection(states=("held",), pipeline="line"), "task_state"),
        (TASKS, Selection(states=("cancelled",), steps=("two",)), "task_state"),
        (TASKS, Selection(states=("failed",), match="a reason"), "task_state"),
        (TASKS, Selection(states=("running",)), "task_state"),
        (TASKS, Selection(states=("ready",)), "task_state"),
        (TASKS, Selection(states=("done",), pipeline="line"), "task_state"),
        (TASKS, Selection(steps=("two",)), "task_state"),
        (TASKS, Selection(pipeline="line"), "task_state"),
        (ITEMS, Selection(states=("waiting",)), "item_state"),
        (ITEMS, Selection(pipeline="other"), "item_state"),
        (ITEMS, Selection(steps=("one",)), "item_state"),
        (ITEMS, Selection(states=("failed",)), "item_state"),
        (ITEMS, Selection(states=("held", "cancelled"), pipeline="other"), "item_state"),
        (ATTEMPTS, Selection(states=("failed",)), "attempt_ended|attempt_running"),
        (ATTEMPTS, Selection(states=("lost", "timed_out")), "attempt_ended|attempt_running"),
        (ATTEMPTS, Selection(states=("running",), steps=("two",)), "attempt_running"),
    ],
)  # fmt: skip
def test_a_page_is_picked_by_an_index_and_nothing_else_read(busy, listing, chosen, index):
    for text, values in picks(busy.store, listing, chosen):
        steps = plan(busy.store, text, values)
        assert [step for step in steps if re.search(index, step)], steps
        assert not [step for step in steps if reads_all(step)], steps
        assert listing is ATTEMPTS or not [step for step in steps if "filesort" in step], steps


@pytest.mark.parametrize(
    ("listing", "chosen"),
    [
        (TASKS, Selection(from_key="k04", to_key="k05")),
        (TASKS, Selection(keys=("k04",), pipeline="line")),
        (ITEMS, Selection(keys=("k0[1-3]*",))),
        (ATTEMPTS, Selection(from_key="k04", to_key="k05", states=("failed",))),
    ],
)
def test_what_few_items_have_is_found_by_these(busy, listing, chosen):
    for text, values in picks(busy.store, listing, chosen):
        steps = plan(busy.store, text, values)
        assert not [step for step in steps if reads_all(step)], steps


@pytest.mark.parametrize(
    ("listing", "table", "chosen"),
    [
        (TASKS, "task", ALL),
        (ATTEMPTS, "every", ALL),
        (TASKS, "task", Selection(states=("failed",), pipeline="line")),
        (TASKS, "task", Selection(pipeline="line")),
        (ITEMS, "item", Selection(states=("failed",), pipeline="line", steps=("one",))),
        (ATTEMPTS, "every", Selection(states=("failed",), pipeline="line", steps=("one",))),
    ],
)
def test_a_page_begins_with_what_is_listed(busy, database, monkeypatch, listing, table, chosen):
    """By its ids: what is joined to it is read for the page, and nothing sorted but the page."""
    if database == "postgresql":  # which goes by how many rows there are
        monkeypatch.setattr(paging, "PAGE", 20)
        busy.push(*(f"m{number:04}" for number in range(2_000)))
        tried = busy.claim(busy.worker(slots=500), limit=500, cpus=500)
        busy.link.finish([busy.result(task) for task in tried])
        with busy.store.connected() as connection:
            connection.exec_driver_sql("ANALYZE")
    seen = statements(busy.store, listing, chosen)
    whole = [one for one in seen if f"FROM {'attempt AS ' if table == 'every' else ''}{table} " in one[0]
             and "pipeline.name AS pipeline" in one[0]]  # fmt: skip
    assert whole
    for text, values in whole:
        steps = plan(busy.store, text, values)
        if database == "postgresql":
            # Where few are in the state, that is as good a way to the page as its ids.
            name = "attempt" if table == "every" else table
            by_ids = rf"Index Scan (using|on) {name}_(pkey|state|ended)\b"
            assert [step for step in steps if re.search(by_ids, step)], "\n".join(steps)
            assert not [step for step in steps if reads_all(step)], steps
        else:
            by_ids = rf"\b{table}\b.*(PRIMARY|state=. AND id=)"
            assert re.search(by_ids, steps[0], re.IGNORECASE), steps[0]


@pytest.mark.parametrize("query", [selection.task_query, selection.item_query])
def test_a_key_is_found_by_the_index_and_nothing_else_read(busy, database, query):
    if database != "sqlite":  # the others go by how many rows there are
        busy.push(*(f"m{number:04}" for number in range(2_000)))
        how = "ANALYZE" if database == "postgresql" else "ANALYZE TABLE"
        with busy.store.connected() as connection:
            for table in ("item", "task"):
                connection.exec_driver_sql(f"{how} {table}")
    id_ = (tables.task if query is selection.task_query else tables.item).c.id
    seen = []
    with busy.store.reading() as unit, listening(busy.store.engine, seen):
        unit.execute(query(Selection(keys=("k07",)), id_).order_by(id_))
    (one,) = seen
    steps = plan(busy.store, *one)
    by_key = r"pipeline_id=\? AND key=\?|item_pipeline_id_key_key"
    assert [step for step in steps if re.search(by_key, step)], steps
    assert not [step for step in steps if reads_all(step) or "rowid>" in step], steps


def test_some_of_many_tasks_are_found_by_their_ids(busy):
    """Not in the index of lanes, and with no look through all for the first and the last of them."""
    seen = []
    with busy.store.reading() as unit, listening(busy.store.engine, seen):
        ready_sample.some_ready(unit)
    assert len(seen) == 2
    piece = ready_sample._READY.arguments(busy.store, {"first": 1, "last": 5})
    for text, values in (*seen, piece):
        steps = plan(busy.store, text, values)
        assert not [one for one in steps if reads_all(one) or "task_lane" in one], steps


def statements(store, listing, chosen):
    """What is executed for a list, with the values."""
    seen = []
    with listening(store.engine, seen):
        list(listing(store, chosen))
    return seen


def picks(store, listing, chosen):
    """The statements that pick ids for a list."""
    found = [one for one in statements(store, listing, chosen) if "range0" in one[0]]
    assert found
    return found


def plan(store, text, values):
    """The steps by which the database would go, each as a line."""
    with store.writing(dry_run=True) as unit:
        if store.dialect.name == "postgresql":
            unit.cursor.execute("SET LOCAL enable_seqscan = off")  # a small table is read whole
        how = "EXPLAIN QUERY PLAN" if store.dialect.name == "sqlite" else "EXPLAIN"
        unit.cursor.execute(f"{how} {text}", values)
        return [" ".join(map(str, row)) for row in unit.cursor.fetchall()]


def reads_all(step):
    """Whether the step reads a whole table."""
    return re.search(r"SCAN (task|item|attempt)\b(?!.*_running)|Seq Scan on (task|item|attempt)\b"
                     r"|\b(task|item|attempt) ALL\b", step)  # fmt: skip


@contextmanager
def listening(engine, seen):
    """What is executed in the block, with its values, is in `seen`."""

    def hear(_connection, _cursor, text, values, _context, _is_many):
        seen.append((text, values))

    event.listen(engine, "before_cursor_execute", hear)
    yield
    event.remove(engine, "before_cursor_execute", hear)
