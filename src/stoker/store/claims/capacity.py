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
    _W.c.tags, _W.c.room_key, _W.c.cpu_mask, _W.c.batch_id, _W.c.name,
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
# All workers of a place lock the same row, that of the oldest one, or of the next if that one has
# just ended. A lock is a write: with one for each of them every claim would write as many.
_PLACE = Prepared(
    select(_W.c.id)
    .where(_alive, _W.c.host == param("host"), _W.c.room_key == param("room_key"))
    .order_by(_W.c.id)
    .limit(1)
    .with_for_update()
)


class _Here(NamedTuple):
    """A worker of the place, as `_HERE` reads it."""

    worker_id: int
    state: int
    host: str
    cpus: int
    memory_bytes: int
    slots: int
    newest_version: int | None
    tags: str
    room_key: str
    cpu_mask: str
    batch_id: str | None
    name: str


class Room(NamedTuple):
    """What one task of a worker may need: just now, and (`most`) with nothing else running.

    `name` is the worker's. With them, as it costs no statement of its own, the id of the newest version of a pipeline.
    """

    host: str
    name: str
    place: str
    batch_id: str | None
    tags: frozenset[str]
    cpus: int
    memory_bytes: int
    most_cpus: int
    most_bytes: int
    newest: int | None
    crowding: float  # see `model.worker.Grant`


def room(unit: Unit, worker_id: int, cpus_free: int, memory_free: int | None) -> Room:
    """Return the room of a worker that has these cpus and bytes free of its own."""
    rows = map(_Here._make, unit.run(_HERE, worker_id=worker_id).fetchall())
    here = {row.worker_id: row for row in rows}
    own = here.pop(worker_id)
    _, state, host, cpus, memory, slots, newest, tags, room_key, mask, batch_id, name = own
    if state != WorkerState.ALIVE:
        raise StaleAttempt(
            f"worker {worker_id} was declared dead as it had not renewed its lease; "
            "it starts again as another"
        )
    most_bytes = memory
    cpus = max(cpus, slots)  # a person who asks for more slots than there are cpus means it
    sharing = [row.slots for row in here.values() if have_in_common(row.cpu_mask, mask)]
    crowding = max(1.0, (slots + sum(sharing)) / cpus)
    if here:
        if unit.store.dialect.locks_rows:
            unit.run(_PLACE, host=host, room_key=room_key).fetchall()  # one at a time
        for other, (used, held) in held_by(unit, list(here)).items():
            cpus -= shared_cpus(min(used, here[other].slots), here[other].cpu_mask, mask)
            memory -= held
    return Room(
        host=host,
        name=name,
        place=place_of(host, room_key),
        batch_id=batch_id,
        tags=frozenset(json.loads(tags) if tags else ()),
        cpus=min(cpus_free, cpus - (slots - cpus_free)),
        memory_bytes=memory if memory_free is None else memory_free - (most_bytes - memory),
        most_cpus=slots,
        most_bytes=most_bytes,
        newest=newest,
        crowding=crowding,
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


def have_in_common(theirs: str, ours: str) -> bool:
    """Whether there is a cpu on which both may run, by their masks; an empty one takes in all."""
    return not theirs or not ours or bool(int(theirs, 16) & int(ours, 16))


def shared_cpus(used: int, theirs: str, ours: str) -> int:
    """Return how many cpus that others use are lost to us, by the masks of what each may run on.

    What they may put on cpus that are not ours they are taken to have put there. An empty mask, of
    a worker whose cpus are not known, takes in all.
    """
    if theirs == ours or not theirs or not ours:
        return used
    if not have_in_common(theirs, ours):
        return 0
    their_cpus, our_cpus = int(theirs, 16), int(ours, 16)
    return max(0, used - (their_cpus & ~our_cpus).bit_count())
