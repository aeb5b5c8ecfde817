"""What a worker has room for: the cpus and memory of its place, less what others fill of them.

The *place* of a worker is its host, or the part of it that its batch job or a control group has been
given. Workers of one place share its memory, and of its cpus those that both may run on.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import and_, func, literal_column, select, union_all

from stoker.errors import StaleAttempt
from stoker.model.states import AttemptState, WorkerState
from stoker.store import tables
from stoker.store.catalog import NEWEST_VERSION
from stoker.store.unit import Prepared, Unit, param, param_list

_NAME = 200  # characters of a column that names something
_T, _L, _W, _A = tables.task, tables.lane, tables.worker, tables.attempt

# The states as words of the text, not as parameters: only then do the indexes of such rows serve.
_alive = _W.c.state == literal_column(str(WorkerState.ALIVE.value))
is_running = _A.c.state == literal_column(str(AttemptState.RUNNING.value))
_of_worker = (
    _W.c.id, _W.c.state, _W.c.host, _W.c.cpus, _W.c.memory_bytes, _W.c.slots, NEWEST_VERSION,
    _W.c.tags, _W.c.room_key, _W.c.cpu_mask, _W.c.batch_id,
)  # fmt: skip
_own_host = select(_W.c.host).where(_W.c.id == param("worker_id")).scalar_subquery()
_own_key = select(_W.c.room_key).where(_W.c.id == param("worker_id")).scalar_subquery()
_HERE = Prepared(
    union_all(
        select(*_of_worker).where(_W.c.id == param("worker_id")),
        select(*_of_worker).where(
            _alive,
            _W.c.host == _own_host,
            _W.c.room_key == _own_key,
            _W.c.id != param("worker_id"),
        ),
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
_PLACE = Prepared(
    select(_W.c.id)
    .where(_alive, _W.c.host == param("host"), _W.c.room_key == param("room_key"))
    .order_by(_W.c.id)
    .with_for_update()
)


class Room(NamedTuple):
    """What one task of a worker may need: just now, and (`most`) with nothing else running.

    With them, as it costs no statement of its own, the id of the newest version of a pipeline.
    """

    host: str
    place: str
    batch_id: str | None
    tags: frozenset[str]
    cpus: int
    memory_bytes: int
    most_cpus: int
    most_bytes: int
    newest: int | None


def room(unit: Unit, worker_id: int, cpus_free: int, memory_free: int | None) -> Room:
    """Return the room of a worker that has these cpus and bytes free of its own."""
    here = {row[0]: row for row in unit.run(_HERE, worker_id=worker_id).fetchall()}
    own = here.pop(worker_id)
    _, state, host, cpus, memory, slots, newest, tags, room_key, mask, batch_id = own
    if state != WorkerState.ALIVE:
        raise StaleAttempt(
            f"worker {worker_id} was declared dead as it had not renewed its lease; "
            "it begins anew as another"
        )
    most_bytes = memory
    cpus = max(cpus, slots)  # whoever asks for more slots than there are cpus means it
    if here:
        if unit.store.dialect.locks_rows:
            unit.run(_PLACE, host=host, room_key=room_key).fetchall()  # one at a time
        for other, (used, held) in held_by(unit, list(here)).items():
            cpus -= shared_cpus(min(used, here[other][5]), here[other][9], mask)
            memory -= held
    return Room(
        host=host,
        place=place_of(host, room_key),
        batch_id=batch_id,
        tags=frozenset(json.loads(tags) if tags else ()),
        cpus=min(cpus_free, cpus - (slots - cpus_free)),
        memory_bytes=memory if memory_free is None else memory_free - (most_bytes - memory),
        most_cpus=slots,
        most_bytes=most_bytes,
        newest=newest,
    )


class Free(NamedTuple):
    """What a worker could begin just now: a room's `cpus` and `memory_bytes`."""

    cpus: int
    memory_bytes: int


def free_of(worker: Any, alive: Sequence[Any], held: Mapping[int, tuple[int, int]]) -> Free:
    """Return what a worker among those alive could begin; `held` are cpus and bytes by worker."""
    cpus, memory = max(worker.cpus, worker.slots), worker.memory_bytes
    own = 0
    for one in alive:
        used, bytes_ = held.get(one.id, (0, 0))
        if one.id == worker.id:
            own = used
            cpus -= used
            memory -= bytes_
        elif (one.host, one.room_key) == (worker.host, worker.room_key):
            cpus -= shared_cpus(min(used, one.slots), one.cpu_mask, worker.cpu_mask)
            memory -= bytes_
    return Free(min(cpus, worker.slots - own), memory)


def held_by(unit: Unit, workers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return the cpus and bytes that the attempts of these workers hold."""
    if not workers:
        return {}
    rows = unit.run(_HELD, workers=list(workers)).fetchall()
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def place_of(host: str, room_key: str) -> str:
    """Return what names a place, for people too."""
    return f"{host} ({room_key})"[:_NAME] if room_key else host


def shared_cpus(used: int, theirs: str, ours: str) -> int:
    """Return how many cpus that others use are lost to us, by the masks of what each may run on.

    What they may put on cpus that are not ours they are taken to have put there. An empty mask, of
    a worker whose cpus are not known, takes in all.
    """
    if theirs == ours or not theirs or not ours:
        return used
    their_cpus, our_cpus = int(theirs, 16), int(ours, 16)
    if not their_cpus & our_cpus:
        return 0
    return max(0, used - (their_cpus & ~our_cpus).bit_count())
