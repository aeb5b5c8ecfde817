"""What a worker has room for: its host's cpus and memory, less what the host's other workers fill."""

import json
from typing import NamedTuple

from sqlalchemy import and_, func, literal_column, select, union_all

from stoker.errors import StaleAttempt
from stoker.model.states import AttemptState, WorkerState
from stoker.store import tables
from stoker.store.catalog import NEWEST_VERSION
from stoker.store.unit import Prepared, Unit, param, param_list

_T, _L, _W, _A = tables.task, tables.lane, tables.worker, tables.attempt

# The states as words of the text, not as parameters: only then do the indexes of such rows serve.
_alive = _W.c.state == literal_column(str(WorkerState.ALIVE.value))
is_running = _A.c.state == literal_column(str(AttemptState.RUNNING.value))
_of_worker = (
    _W.c.id, _W.c.state, _W.c.host, _W.c.cpus, _W.c.memory_bytes, _W.c.slots, NEWEST_VERSION,
    _W.c.tags,
)  # fmt: skip
_own_host = select(_W.c.host).where(_W.c.id == param("worker_id")).scalar_subquery()
_HERE = Prepared(
    union_all(
        select(*_of_worker).where(_W.c.id == param("worker_id")),
        select(*_of_worker).where(_alive, _W.c.host == _own_host, _W.c.id != param("worker_id")),
    )
)
_HELD = Prepared(
    select(
        _A.c.worker_id,
        func.coalesce(func.sum(_L.c.cpus), 0),
        func.coalesce(func.sum(_L.c.memory_bytes), 0),
    )
    .select_from(
        _A.join(_T, _T.c.id == _A.c.task_id).join(
            _L,
            and_(_L.c.step_id == _T.c.step_id, _L.c.level == _T.c.level, _L.c.share.is_(None)),
        )
    )
    .where(is_running, _A.c.worker_id.in_(param_list("workers")))
    .group_by(_A.c.worker_id)
)
_HOST = Prepared(
    select(_W.c.id).where(_alive, _W.c.host == param("host")).order_by(_W.c.id).with_for_update()
)


class Room(NamedTuple):
    """What one task of a worker may need: just now, and (`most`) with nothing else running.

    With them, as it costs no statement of its own, the id of the newest version of a pipeline.
    """

    host: str
    tags: frozenset[str]
    cpus: int
    memory_bytes: int
    most_cpus: int
    most_bytes: int
    newest: int | None


def room(unit: Unit, worker_id: int, cpus_free: int, memory_free: int | None) -> Room:
    """Return the room of a worker that has these cpus and bytes free of its own."""
    here = {row[0]: row for row in unit.run(_HERE, worker_id=worker_id).fetchall()}
    _, state, host, cpus, memory, slots, newest, tags = here.pop(worker_id)
    if state != WorkerState.ALIVE:
        raise StaleAttempt(
            f"worker {worker_id} was declared dead as it had not renewed its lease; "
            "it begins anew as another"
        )
    most_bytes = memory
    cpus = max(cpus, slots)  # whoever asks for more slots than there are cpus means it
    if here:
        if unit.store.dialect.locks_rows:
            unit.run(_HOST, host=host).fetchall()  # one at a time
        for other, used, held in unit.run(_HELD, workers=list(here)).fetchall():
            cpus -= min(int(used), here[other][5])
            memory -= int(held)
    return Room(
        host=host,
        tags=frozenset(json.loads(tags) if tags else ()),
        cpus=min(cpus_free, cpus - (slots - cpus_free)),
        memory_bytes=memory if memory_free is None else memory_free - (most_bytes - memory),
        most_cpus=slots,
        most_bytes=most_bytes,
        newest=newest,
    )
