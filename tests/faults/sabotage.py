"""Guards taken out on purpose, to show that the checks would notice. For tests only.

Each function takes one guard out of the process that calls it, and of those that it forks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def no_fence() -> None:
    """An attempt's end and its outputs count although the task carries another attempt."""
    from sqlalchemy import update

    from stoker.model.states import TaskState
    from stoker.model.transitions import TRANSITIONS
    from stoker.store import apply, tables
    from stoker.store.ends import finish
    from stoker.store.holdings import publications
    from stoker.store.unit import Prepared, param

    attempt = tables.attempt

    def carrying(unit: Any, results: Any) -> dict[bytes, Any]:
        tasks = sorted({int(result.task_id) for result in results})
        rows = unit.run(finish._CARRYING, tasks=tasks, running=TaskState.RUNNING.value).fetchall()
        by_task = {row[0]: finish._Carrying._make(row) for row in rows}
        return {
            result.attempt: by_task[result.task_id]
            for result in results
            if result.task_id in by_task
        }

    def reserve(store: Any, _attempt: Any, _task_id: int, wanted: Any) -> None:
        """Whoever asks may publish."""

    for transition in TRANSITIONS:
        object.__setattr__(transition, "fenced", False)
    finish._carrying = carrying
    publications.reserve = reserve
    apply._END = Prepared(
        update(attempt)
        .where(attempt.c.id == param("attempt_"))
        .values(state=param("state"), **{name: param(name) for name in apply._END_FIELDS})
    )


def no_sweep() -> None:
    """What an attempt left running is not looked for: by tree, mark, brand or group."""
    from stoker.work import cgroups, contain, warden

    contain.Strays.sweep = lambda *_: True
    contain.kill_marked = lambda **_: 0
    contain.kill_branded = lambda *_: 0
    contain.kill_group = lambda *_: None
    cgroups.enter = lambda: False  # or a worker of another test clears the group of this one
    cgroups.kill = lambda _: None
    warden._Warden._sweep = lambda *_: None


def no_lease_check() -> None:
    """A worker goes on although its lease has run out or it was declared dead."""
    from stoker.errors import StaleAttempt
    from stoker.model.worker import Renewal
    from stoker.store.claims import claim, workers
    from stoker.work import lease

    room = claim.room

    def any_room(unit: Any, worker_id: int, cpus: int, memory: int | None) -> tuple[int, int]:
        try:
            return room(unit, worker_id, cpus, memory)
        except StaleAttempt:
            return 0, 0  # claims nothing more, so that what it holds is seen alone

    lease.Lease.is_held = property(lambda _: True)
    lease.Lease.take_orders = lambda _: (frozenset(), None)
    lease.Lease._declare_dead = lambda _: None
    claim.room = any_room
    renew = workers.renew

    def always(store: Any, worker_id: Any, *, lease_s: float) -> Any:
        found = renew(store, worker_id, lease_s=lease_s)
        return Renewal(is_alive=True, running=found.running, cancel=found.cancel, lease_until_us=0)

    workers.renew = always


def no_idempotent_publish() -> None:
    """What an earlier attempt of the same task published is taken for somebody else's."""
    from stoker.store.holdings import publications

    publications.contents_of = lambda *args: {}


def journal_apart() -> None:
    """The journal is written in a transaction of its own, after the change it tells of."""
    from stoker.failpoints import hit
    from stoker.store import apply, journal
    from stoker.store.arrivals import register
    from stoker.store.database import connect
    from stoker.store.orders import adopt, verbs, versions

    append, writing = journal.append, connect.Store.writing
    waiting: dict[int, list[Any]] = {}

    def later(unit: Any, entries: Any) -> None:
        waiting.setdefault(id(unit.store), []).extend(entries)

    @contextmanager
    def apart(store: Any, **more: Any) -> Iterator[Any]:
        with writing(store, **more) as unit:
            yield unit
        entries = waiting.pop(id(store), [])
        if entries:
            hit("journal.apart")
            with writing(store) as unit:
                append(unit, entries)

    connect.Store.writing = apart
    for module in (adopt, apply, verbs, register, versions):
        if hasattr(module, "append"):
            module.append = later


GUARDS: dict[str, Callable[[], None]] = {
    "fence": no_fence,
    "sweep": no_sweep,
    "lease check": no_lease_check,
    "idempotent publish": no_idempotent_publish,
    "journal in the same transaction": journal_apart,
}
