"""The indexes of some rows, or of one kind of database: for migrations to be held against.

Migrations make them; no verb needs to know of them. Apart from the tables, because naming another
database's options makes SQLAlchemy load that database's dialect, which every start would wait for.
"""

import functools

from sqlalchemy import Column, Index, MetaData, text

from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.dialects.constructs import PARTIAL_INDEXES, WHOLE_INDEXES
from stoker.store.journal import SELDOM

_I, _T, _A, _J = tables.item, tables.task, tables.attempt, tables.journal
_OFTEN = (AttemptState.RUNNING, AttemptState.SUCCEEDED)  # the first has an index of its own


@functools.cache
def complete() -> MetaData:
    """Return the tables with all their indexes."""
    Index("item_state", _I.c.pipeline_id, _I.c.state, _I.c.id)
    Index("task_state", _T.c.step_id, _T.c.state, _T.c.id, _T.c.number)
    _partial("item_path", _I.c.path_digest, _I.c.pipeline_id, where="path_digest IS NOT NULL")
    _partial("item_source", _I.c.source_id, _I.c.state, where="source_id IS NOT NULL")
    _partial("task_lane", _T.c.lane, _T.c.okey, _T.c.id, where="lane IS NOT NULL")
    _partial("task_not_before", _T.c.not_before_us, where="not_before_us IS NOT NULL")
    running = f"state = {AttemptState.RUNNING.value}"
    _partial("attempt_running", _A.c.state, _A.c.worker_id, where=running)
    # In words in which SQLite recognizes each single state.
    ended = " OR ".join(f"state = {state.value}" for state in AttemptState if state not in _OFTEN)
    _partial("attempt_ended", _A.c.state, _A.c.id, where=ended, only=True)
    _partial("temporary_there", tables.temporary.c.task_id, where="removed_us IS NULL", only=True)
    _partial("worker_alive", tables.worker.c.host, where="state = 0")
    numbered = "seq IS NOT NULL"
    _partial("journal_seq", _J.c.origin, _J.c.epoch, _J.c.seq, where=numbered, unique=True)
    _partial("journal_unsequenced", _J.c.id, where="seq IS NULL", only=True)
    _partial("journal_seldom", _J.c.pipeline, _J.c.key, where=SELDOM, only=True)
    Index("journal_seq_id", _J.c.seq, _J.c.id).ddl_if(dialect=WHOLE_INDEXES)
    return tables.metadata


def _partial(
    name: str, *columns: Column[object], where: str, unique: bool = False, only: bool = False
) -> None:
    """An index of the few rows that are looked for.

    Where the database has no such index, it is one of all rows; or, with `only`, is not there.
    """
    of = text(where)
    index = Index(name, *columns, unique=unique, sqlite_where=of, postgresql_where=of)
    if only:
        index.ddl_if(dialect=PARTIAL_INDEXES)
