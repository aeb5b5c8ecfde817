"""Makes a store large in seconds: one finished item is copied inside the database, a million times.

For benchmarks only. The copies have rows of items, tasks and attempts, and are counted; they have no
journal, as if it had been pruned.
"""

from sqlalchemy import Table, select, update

from stoker.model.states import TaskState
from stoker.store import journal_fold, tables
from stoker.store.unit import Store, Unit

BASE = 1_000_000_000  # ids of copies begin here, far from all others

_SERIES = {
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {0}) "
    "SELECT n FROM s) series",
    "postgresql": "generate_series(1, {0}) series(n)",
    "mariadb": "(SELECT seq AS n FROM seq_1_to_{0}) series",
}
_KEY = {
    "sqlite": "'copy-' || substr('0000000' || series.n, -8)",
    "postgresql": "'copy-' || lpad(series.n::text, 8, '0')",
    "mariadb": "concat('copy-', lpad(series.n, 8, '0'))",
}
_DIGITS = "series.n * 100 + task.step_id"
_ATTEMPT = {  # sixteen digits, as the sixteen bytes of an id
    "sqlite": f"CAST(printf('%016d', {_DIGITS}) AS BLOB)",
    "postgresql": f"convert_to(lpad(({_DIGITS})::text, 16, '0'), 'UTF8')",
    "mariadb": f"CAST(lpad({_DIGITS}, 16, '0') AS BINARY)",
}
_PATIENCE = {
    "postgresql": "SET LOCAL statement_timeout = 0",
    "mariadb": "SET SESSION max_statement_time = 0",
}
_ANALYZE = {"postgresql": "VACUUM ANALYZE", "mariadb": "ANALYZE TABLE item, task, attempt"}


def multiply(store: Store, key: str, copies: int) -> None:
    """There are so many more items like the one with that key, all of whose tasks are done."""
    journal_fold.fold(store)
    kind = store.dialect.name
    series = f"CROSS JOIN {_SERIES[kind].format(copies)}"
    copied = f"{BASE} + series.n"
    with store.writing(alone=True) as unit:
        query = select(tables.item.c.id).where(tables.item.c.key == key)
        first = unit.execute(query).scalar_one()
        if kind in _PATIENCE:
            unit.cursor.execute(_PATIENCE[kind])
        for text in (
            _insert(unit, tables.item, id=copied, key=_KEY[kind])
            + f"FROM item {series} WHERE item.id = {first}",
            _insert(unit, tables.task, id=None, item_id=copied, attempt=_ATTEMPT[kind])
            + f"FROM task {series} WHERE task.item_id = {first}",
            _insert(unit, tables.attempt, id="task.attempt", task_id="task.id")
            + "FROM task JOIN task one ON one.step_id = task.step_id "
            f"AND one.item_id = {first} JOIN attempt ON attempt.id = one.attempt "
            f"WHERE task.item_id > {BASE}",
        ):
            unit.cursor.execute(text)
        tally, items = tables.tally, tables.item_tally
        done = (tally.c.state == TaskState.DONE.value, tally.c.n > 0)
        unit.execute(update(tally).where(*done).values(n=tally.c.n + copies))
        unit.execute(update(items).where(items.c.n > 0).values(n=items.c.n + copies))
    if kind in _ANALYZE:
        with store.connected() as connection:
            connection.exec_driver_sql(_ANALYZE[kind])


def _insert(unit: Unit, table: Table, **other: str | None) -> str:
    """The head of an INSERT … SELECT of a table's own columns, but for these; None: left to the table."""
    quote = unit.store.engine.dialect.identifier_preparer.quote
    columns = [one.name for one in table.columns if other.get(one.name, "") is not None]
    names = ", ".join(map(quote, columns))
    values = ", ".join(other.get(name) or f"{table.name}.{quote(name)}" for name in columns)
    return f"INSERT INTO {table.name} ({names}) SELECT {values} "
