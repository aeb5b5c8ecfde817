"""What must hold in a store at every moment, as queries; for `stoker store check` and for tests.

Each check looks at one state of the store, in a transaction of its own, so that none is held long
and nobody has to stop working. What the fold has not counted yet is counted here.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, or_, select

from stoker.model.encoding import Answer
from stoker.model.id_types import HERE
from stoker.model.outpost import host_of
from stoker.model.states import AttemptState, ItemState, TaskState
from stoker.store import journal_fold, tables
from stoker.store.catalog import catalog
from stoker.store.database import rebuild
from stoker.store.groups.checking import check_groups
from stoker.store.ids import text_of
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _A, _I, _S, _P, _J, _SLOT, _U = (
    tables.task, tables.attempt, tables.item, tables.step, tables.pipeline, tables.journal,
    tables.slot, tables.unsettled_step,
)  # fmt: skip
FOLD_LIMIT_S = 30.0
MOST = 1_000  # violations of one kind that are named
_SATISFIED = tuple(state.value for state in TaskState if state.is_satisfied)
_UNSETTLED = select(_U.c.step_id)
# The first rule of `item_state` that applies has the lowest number.
_OF_ITEM = {
    TaskState.RUNNING: ItemState.RUNNING,
    TaskState.HELD: ItemState.HELD,
    TaskState.FAILED: ItemState.FAILED,
    TaskState.CANCELLED: ItemState.CANCELLED,
    TaskState.READY: ItemState.WAITING,
    TaskState.BLOCKED: ItemState.WAITING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked(Answer):
    """One check: what it is called, the sentence that it holds, and where that is not true."""

    check: str
    promise: str
    violations: tuple[str, ...]


def check(store: "Store") -> Iterator[Checked]:
    """Yield every check with what it found; at most a thousand violations of each are named."""
    journal_fold.fold(store, limit_s=FOLD_LIMIT_S)
    for look in CHECKS:
        if look is database and not store.dialect.is_one_host:
            continue  # a server looks after its files itself
        with store.reading() as unit:
            found = tuple(islice(look(unit), MOST))
        doc = (look.__doc__ or "").partition("\n")[0]
        yield Checked(check=look.__name__, promise=doc, violations=found)


def check_journal(store: "Store") -> Checked:
    """Check that items, tasks and attempts made again from the journal alone are those of the tables.

    Part by part, each in a transaction of its own; a store of millions takes minutes.
    """
    found: list[str] = []
    with store.reading() as unit:
        parts = list(rebuild.parts(unit))
    for part in parts:
        with store.reading() as unit:
            try:
                replayed = rebuild.replay(unit, part)
            except KeyError as missing:
                found.append(f"the journal mentions {missing}, but not how it began")
                continue
            found += rebuild.differences(replayed, rebuild.snapshot(unit, part))
        if len(found) >= MOST:
            break
    promise = "Items, tasks and attempts can be rebuilt from the journal alone."
    return Checked(check="journal", promise=promise, violations=tuple(found[:MOST]))


def database(unit: Unit) -> Iterator[str]:
    """The database finds nothing wrong with its files."""
    yield from unit.store.dialect.quick_check(unit.connection)


def running(unit: Unit) -> Iterator[str]:
    """A running task carries one attempt, which runs, and no other attempt of it does.

    It was claimed since the task was last set back.
    """
    query = _tasks(_A.c.state.label("attempt_state")).outerjoin(
        _A, and_(_A.c.id == _T.c.attempt, _A.c.task_id == _T.c.id)
    )
    is_running = _A.c.state == AttemptState.RUNNING.value
    runs = _T.c.state == TaskState.RUNNING.value
    for row in unit.execute(query.where(runs, or_(_A.c.state.is_(None), ~is_running))):
        yield f"{_name(row)} runs and carries no running attempt"
    for row in unit.execute(query.where(runs, _A.c.generation < _T.c.generation)):
        yield f"{_name(row)} was set back since and runs an attempt of before"
    query = select(_A.c.id, _A.c.task_id).outerjoin(_T, _T.c.id == _A.c.task_id)
    for row in unit.execute(
        query.where(is_running, or_(_T.c.id.is_(None), ~runs, _T.c.attempt != _A.c.id))
    ):
        yield f"attempt {text_of(row.id)} runs and no running task carries it"


def done(unit: Unit) -> Iterator[str]:
    """A done task carries an attempt of its own that succeeded."""
    query = _tasks().outerjoin(
        _A,
        and_(
            _A.c.id == _T.c.attempt,
            _A.c.task_id == _T.c.id,
            _A.c.state == AttemptState.SUCCEEDED.value,
        ),
    )
    for row in unit.execute(query.where(_T.c.state == TaskState.DONE.value, _A.c.id.is_(None))):
        yield f"{_name(row)} is done and carries no attempt that succeeded"


def lanes(unit: Unit) -> Iterator[str]:
    """A task stands in a lane, of its own step and host, exactly while it is ready and due.

    One of another site's step never does; one that runs at an outpost stands in a lane for that.
    """
    lane = tables.lane
    is_due = and_(_T.c.state == TaskState.READY.value, _T.c.not_before_us.is_(None))
    query = _tasks(_T.c.state, _T.c.lane)
    is_own = _S.c.site == unit.store.site
    for row in unit.execute(query.where(_T.c.lane.is_not(None), ~is_own)):
        yield f"{_name(row)} can be claimed here and belongs to another site"
    for row in unit.execute(query.where(is_due, is_own, _T.c.lane.is_(None))):
        yield f"{_name(row)} is ready and nobody can claim it"
    for row in unit.execute(query.where(_T.c.lane.is_not(None), ~is_due)):
        yield f"{_name(row)} can be claimed and is {TaskState(row.state).word}"
    away = {
        entry.id: host_of(entry.outpost) for entry in catalog(unit).steps.values() if entry.outpost
    }
    is_elsewhere = (
        lane.c.host != case(away, value=lane.c.step_id, else_=func.coalesce(_T.c.host, ""))
        if away
        else lane.c.host != func.coalesce(_T.c.host, "")
    )
    astray = or_(lane.c.id.is_(None), lane.c.step_id != _T.c.step_id, is_elsewhere)
    query = query.outerjoin(lane, lane.c.id == _T.c.lane).where(_T.c.lane.is_not(None), astray)
    for row in unit.execute(query):
        yield f"{_name(row)} stands in lane {row.lane}, which is not of its step and host"


def predecessors(unit: Unit) -> Iterator[str]:
    """A task waits for as many predecessors as are neither done nor skipped, and only then.

    Not yet where the step's tasks are still to follow a new version; nobody claims those.
    """
    edge, before = tables.edge, _T.alias("before")
    unsatisfied = (
        select(func.count())
        .select_from(edge.join(before, before.c.step_id == edge.c.step_id))
        .where(
            edge.c.successor_id == _T.c.step_id,
            before.c.item_id == _T.c.item_id,
            before.c.state.not_in(_SATISFIED),
        )
        .scalar_subquery()
    )
    query = _tasks(_T.c.state, _T.c.waiting_on, unsatisfied.label("unsatisfied"))
    blocked, ready, held = TaskState.BLOCKED.value, TaskState.READY.value, TaskState.HELD.value
    lacks = and_(_T.c.state == blocked, _T.c.reason.is_not(None), unsatisfied == 0)
    wrong = or_(
        and_(_T.c.waiting_on != unsatisfied, ~lacks),
        and_(_T.c.state == blocked, _T.c.waiting_on == 0),
        and_(_T.c.state == ready, _T.c.waiting_on != 0),
    )
    waits = and_(
        _T.c.state.in_((blocked, ready, held, TaskState.RUNNING.value, TaskState.FAILED.value)),
        _T.c.step_id.not_in(_UNSETTLED),
        _S.c.site == unit.store.site,  # others count for themselves
    )
    for row in unit.execute(query.where(waits, wrong)):
        yield (
            f"{_name(row)} is {TaskState(row.state).word} and waits for {row.waiting_on}; "
            f"{row.unsatisfied} are not done"
        )


def tasks(unit: Unit) -> Iterator[str]:
    """Every item that was taken in has a task of every step that its pipeline has settled."""
    taken = _I.c.state != ItemState.QUARANTINED.value
    of_pipeline = select(_I.c.pipeline_id, func.count()).where(taken).group_by(_I.c.pipeline_id)
    items = _counter(unit, of_pipeline)
    there = _counter(unit, select(_T.c.step_id, func.count()).group_by(_T.c.step_id))
    settled = and_(~_S.c.is_removed, _S.c.id.not_in(_UNSETTLED))
    for step in unit.execute(select(_S).where(settled)).fetchall():
        if there[(step.id,)] == items[(step.pipeline_id,)]:
            continue
        has_one = select(_T.c.id).where(_T.c.item_id == _I.c.id, _T.c.step_id == step.id).exists()
        query = select(_I.c.key).where(_I.c.pipeline_id == step.pipeline_id, taken, ~has_one)
        for row in unit.execute(query):
            yield f"item `{row.key}` has no task of step `{step.name}`"


def slots(unit: Unit) -> Iterator[str]:
    """A slot is held by an attempt that runs, or whose processes its worker may still be ending."""
    may_live = (AttemptState.RUNNING, AttemptState.CANCELLED, AttemptState.LOST)
    is_over = _A.c.state.not_in([state.value for state in may_live])
    query = (
        select(_SLOT.c.pool, _SLOT.c.name, _A.c.id)
        .select_from(_SLOT.outerjoin(_A, _A.c.id == _SLOT.c.attempt))
        .where(_SLOT.c.attempt.is_not(None), or_(_A.c.id.is_(None), is_over))
    )
    for row in unit.execute(query):
        holder = "has ended" if row.id is not None else "is not known"
        yield f"slot `{row.name}` of pool `{row.pool}` is held by an attempt that {holder}"


def belongings(unit: Unit) -> Iterator[str]:
    """Every attempt belongs to a task, and every output to an attempt."""
    query = select(_A.c.id).outerjoin(_T, _T.c.id == _A.c.task_id).where(_T.c.id.is_(None))
    for row in unit.execute(query):
        yield f"attempt {text_of(row.id)} is of a task that is not there"
    for table in (tables.output, tables.temporary):
        query = select(table.c.attempt, table.c.name).outerjoin(_A, _A.c.id == table.c.attempt)
        for row in unit.execute(query.where(_A.c.id.is_(None))):
            attempt = text_of(row.attempt)
            yield f"output `{row.name}` is of attempt {attempt}, which is not there"
    owner = tables.publication
    query = select(owner.c.path).outerjoin(_T, _T.c.id == owner.c.task_id).where(_T.c.id.is_(None))
    for row in unit.execute(query):
        yield f"`{bytes(row.path).decode(errors='replace')}` belongs to a task that is not there"
    place = tables.place
    for table in (tables.output, tables.temporary, owner):
        query = select(table.c.path, table.c.place).outerjoin(place, place.c.id == table.c.place)
        for row in unit.execute(query.where(table.c.place != HERE, place.c.id.is_(None))):
            shown = bytes(row.path).decode(errors="replace")
            yield f"`{shown}` is at place {row.place}, which is not known"
    kept = tables.error_folder
    query = select(kept.c.attempt).outerjoin(_T, _T.c.id == kept.c.task_id)
    for row in unit.execute(query.where(_T.c.id.is_(None))):
        yield f"an error folder of attempt {text_of(row.attempt)} is of a task that is not there"
    part = tables.folder_part
    query = select(part.c.digest).outerjoin(owner, owner.c.digest == part.c.digest)
    for row in unit.execute(query.where(owner.c.digest.is_(None)).distinct()):
        yield f"parts of folder {bytes(row.digest).hex()} are recorded, which is nobody's"


def numbers(unit: Unit) -> Iterator[str]:
    """The journal's numbers are dense, but for what was pruned, and go as far as its head says."""
    head = tables.head
    own = and_(_J.c.origin == head.c.origin, _J.c.epoch == head.c.epoch, _J.c.seq.is_not(None))
    query = (
        select(
            head.c.origin, head.c.epoch, head.c.seq, head.c.pruned,
            func.count(_J.c.id).label("n"), func.max(_J.c.seq).label("last"),
        )
        .select_from(head.outerjoin(_J, own))
        .group_by(head.c.origin, head.c.epoch, head.c.seq, head.c.pruned)
    )  # fmt: skip
    for row in unit.execute(query):
        if row.n + row.pruned != row.seq or (row.last or 0) > row.seq:
            yield (
                f"epoch {row.epoch} of site {row.origin} has {row.n:,} rows and {row.pruned:,} "
                f"pruned ones, the last being {row.last}; its head says {row.seq:,}"
            )
    epochs = {
        row.epoch for row in unit.execute(select(head).where(head.c.origin == unit.store.site))
    }
    if unit.store.epoch not in epochs:
        yield f"the journal of this site has no epoch {unit.store.epoch}"


def states_of_items(unit: Unit) -> Iterator[str]:
    """An item's state follows from its tasks' states."""
    pending = journal_fold.not_counted_yet(unit)
    of_task = case(
        {state.value: of_item.value for state, of_item in _OF_ITEM.items()},
        value=_T.c.state,
        else_=ItemState.DONE.value,
    )
    should = func.coalesce(func.min(of_task), ItemState.DONE.value)
    in_pipeline = select(_S.c.id).where(~_S.c.is_removed)
    unsettled = select(_S.c.pipeline_id).where(_S.c.id.in_(_UNSETTLED))
    query = (
        select(_P.c.name, _I.c.key, _I.c.state, should.label("should"))
        .select_from(
            _I.join(_P, _P.c.id == _I.c.pipeline_id).outerjoin(
                _T, and_(_T.c.item_id == _I.c.id, _T.c.step_id.in_(in_pipeline))
            )
        )
        .where(_I.c.state != ItemState.QUARANTINED.value, _I.c.pipeline_id.not_in(unsettled))
        .group_by(_I.c.id, _P.c.name, _I.c.key, _I.c.state)
        .having(_I.c.state != should)
    )
    for row in unit.execute(query):
        if row.key not in pending.touched.get(row.name, ()):
            state, other = ItemState(row.state).word, ItemState(row.should).word
            yield f"item `{row.key}` of `{row.name}` is {state}; its tasks make it {other}"


def counts(unit: Unit) -> Iterator[str]:
    """The counts that `status` shows are what counting gives."""
    pending = journal_fold.not_counted_yet(unit)
    tasks = select(_T.c.step_id, _T.c.state, _T.c.body_id, func.count())
    by_body = _counter(unit, tasks.group_by(_T.c.step_id, _T.c.state, _T.c.body_id))
    counted: Counter[Any] = Counter()
    for (step, state, body), n in by_body.items():
        counted[step, state, body or 0 if state == TaskState.DONE else 0] += n
    told = _counter(unit, select(*tables.tally.c["step_id", "state", "body_id", "n"]))
    told.update(pending.tasks)
    names = {row.id: f"{row.pipeline}.{row.name}" for row in unit.execute(_STEPS)}
    for key in _different(counted, told):
        what = f"{TaskState(key[1]).word} tasks of step `{names.get(key[0], key[0])}`"
        yield f"there are {counted[key]:,} {what}, counted as {told[key]:,}"
    items = select(_I.c.pipeline_id, _I.c.state, func.count())
    counted = _counter(unit, items.group_by(_I.c.pipeline_id, _I.c.state))
    told = _counter(unit, select(*tables.item_tally.c["pipeline_id", "state", "n"]))
    told.update(pending.items)
    names = {row.id: row.name for row in unit.execute(select(_P.c.id, _P.c.name))}
    for key in _different(counted, told):
        what = f"{ItemState(key[1]).word} items of `{names.get(key[0], key[0])}`"
        yield f"there are {counted[key]:,} {what}, counted as {told[key]:,}"


def groups(unit: Unit) -> Iterator[str]:
    """Groups have the members that their counts say, and a member is of an item that is there."""
    yield from check_groups(unit)


CHECKS: tuple[Callable[[Unit], Iterator[str]], ...] = (
    database, running, done, lanes, predecessors, tasks, slots, belongings, numbers,
    states_of_items, counts, groups,
)  # fmt: skip

_STEPS = select(_S.c.id, _S.c.name, _P.c.name.label("pipeline")).join(
    _P, _P.c.id == _S.c.pipeline_id
)


def _tasks(*columns: Any) -> Any:
    """A query for tasks, with what names them."""
    return select(
        _I.c.key, _S.c.name.label("step"), _P.c.name.label("pipeline"), *columns
    ).select_from(
        _T.join(_I, _I.c.id == _T.c.item_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .join(_P, _P.c.id == _S.c.pipeline_id)
    )


def _name(row: Any) -> str:
    return f"step `{row.step}` of `{row.key}` ({row.pipeline})"


def _counter(unit: Unit, query: Any) -> Counter[Any]:
    """Return the rows of a query as counts by all but their last column."""
    return Counter({tuple(row[:-1]): int(row[-1]) for row in unit.execute(query)})


def _different(one: Counter[Any], other: Counter[Any]) -> list[Any]:
    return sorted(key for key in one.keys() | other.keys() if one[key] != other[key])
