"""What `status` shows beside the states: error folders, missing outputs, tables of values, messages.

One query for each, apart from the modules that keep them, so that looking does not load these.
"""

import os

from sqlalchemy import func, select

from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.status_rows import NotifyStatus, TableStatus
from stoker.store.times import moment
from stoker.store.unit import Unit

_A, _T, _I = tables.attempt, tables.task, tables.item
_FOLDER, _MISSING = tables.error_folder, tables.missing_output
_TABLE, _MESSAGE = tables.value_table, tables.message


def error_folders(unit: Unit) -> dict[int, int]:
    """Return how many items of each pipeline have an error folder, by the pipeline's id."""
    of = _FOLDER.c.pipeline_id
    n = func.count(func.distinct(_FOLDER.c.item_id))
    query = select(of, n).where(_FOLDER.c.made_us.is_not(None)).group_by(of)
    return {row[0]: row[1] for row in unit.execute(query)}


def missing_outputs(unit: Unit) -> dict[int, int]:
    """Return how many outputs are missing by what is known, by the id of the pipeline.

    It begins with what is missing and looks the rest up by ids: a join may begin with all tasks.
    """
    task = (
        select(_A.c.task_id)
        .where(_A.c.id == _MISSING.c.attempt)
        .correlate(_MISSING)
        .scalar_subquery()
    )
    item = (
        select(_T.c.item_id)
        .where(
            _T.c.id == task,
            _T.c.attempt == _MISSING.c.attempt,
            _T.c.state == TaskState.DONE.value,
        )
        .correlate(_MISSING)
        .scalar_subquery()
    )
    of = select(_I.c.pipeline_id).where(_I.c.id == item).correlate(_MISSING).scalar_subquery()
    each = select(of.label("pipeline_id")).select_from(_MISSING).subquery()
    query = select(each.c.pipeline_id, func.count()).group_by(each.c.pipeline_id)
    rows = unit.execute(query.where(each.c.pipeline_id.is_not(None)))
    return {row[0]: row[1] for row in rows}


def value_tables(unit: Unit) -> dict[int, dict[str, TableStatus]]:
    """Return how each table stands, by the id of its pipeline and its name."""
    found: dict[int, dict[str, TableStatus]] = {}
    for row in unit.execute(select(_TABLE).order_by(_TABLE.c.pipeline_id, _TABLE.c.name)):
        found.setdefault(row.pipeline_id, {})[row.name] = TableStatus(
            path=os.fsdecode(bytes(row.path)),
            rows=row.n,
            written_at=moment(row.written_us),
            trouble=row.trouble,
        )
    return found


def notifiers(unit: Unit) -> dict[str, NotifyStatus]:
    """Return how each entry of `[notify]` stands: the last message, what waits, and why."""
    found: dict[str, NotifyStatus] = {}
    columns = (_MESSAGE.c.name, _MESSAGE.c.n, _MESSAGE.c.sent_us, _MESSAGE.c.trouble)
    for row in unit.execute(select(*columns).order_by(_MESSAGE.c.name, _MESSAGE.c.recipient)):
        known = found.get(row.name)
        sent_at = moment(row.sent_us)
        times = [at for at in (sent_at, known.sent_at if known else None) if at is not None]
        found[row.name] = NotifyStatus(
            sent_at=max(times, default=None),
            pending=row.n + (known.pending if known else 0),
            trouble=row.trouble or (known.trouble if known else None),
        )
    return found
