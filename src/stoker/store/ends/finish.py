"""Ends of attempts: recorded under the fence, and what follows made ready in the same transaction.

A result may be delivered late, by another process, and twice. It counts only while the task still
carries that attempt; otherwise nothing but its slots of pools is given back.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert, select, update

from stoker.errors import Bug
from stoker.failpoints import hit
from stoker.model import retry, transitions
from stoker.model.id_types import AttemptId, VersionId
from stoker.model.pipeline import Verdict
from stoker.model.retry import Decision
from stoker.model.states import AttemptState, TaskState
from stoker.model.task import Claimed, Result, Started, Stream
from stoker.spec import canon
from stoker.store import tables
from stoker.store.apply import END_COLUMNS, Move, end_attempts, move_all
from stoker.store.catalog import NEWEST_VERSION, catalog, pipeline_of
from stoker.store.ends.successors import Of, pass_over, unblocked
from stoker.store.holdings import error_folders, places, slots, temporary
from stoker.store.holdings.places import output_rows
from stoker.store.journal import to_json
from stoker.store.lanes import lane_of
from stoker.store.locks import lock_tasks
from stoker.store.renaming import name_then, names_since
from stoker.store.steps import Catalog, StepEntry
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _A = tables.task, tables.item, tables.attempt
_CARRYING = Prepared(
    select(
        _T.c.id, _T.c.attempt, _T.c.step_id, _T.c.item_id, _T.c.tries, _T.c.level, _I.c.key,
        _I.c.generation, _A.c.cancel_requested, _T.c.lost, _A.c.version_id, _I.c.size_bytes,
        _I.c.by_user, _T.c.host, NEWEST_VERSION, _T.c.cut_off, _A.c.generation, _A.c.batch_id,
        _T.c.waiting_on,
    )
    .select_from(_T.join(_I, _I.c.id == _T.c.item_id).join(_A, _A.c.id == _T.c.attempt))
    .where(
        _T.c.id.in_(param_list("tasks")),
        _T.c.state == param("running"),
        _A.c.generation >= _T.c.generation,  # older ones were to be done again since
    )
    .order_by(_T.c.id)
)  # fmt: skip
_ENDED = Prepared(
    select(_A.c.id, _A.c.state, _A.c.ended_us, _A.c.exit_code, _A.c.reason).where(
        _A.c.id.in_(param_list("attempts"))
    )
)
_OUTPUT = Prepared(
    insert(tables.output).values(
        **{
            name: param(name)
            for name in ("attempt", "name", "position", "path", "place", "size_bytes", "checksum")
        }
    )
)
_STARTED = Prepared(
    update(_A)
    .where(_A.c.id == param("attempt_"), _A.c.state == param("running_"))
    .values(pid=param("pid"), started_us=param("started_us"), command=param("command"))
)
_PUBLISHING = Prepared(
    update(_A)
    .where(_A.c.id == param("attempt_"), _A.c.state == param("running_"))
    .values(publishing_us=param("publishing_us"))
)


class _Carrying(NamedTuple):
    """A running task with what its item and its attempt say, in the order of `_CARRYING`."""

    task_id: int
    attempt: bytes
    step_id: int
    item_id: int
    tries: int
    level: int
    key: str
    generation: int
    cancel_requested: bool
    lost: int
    version_id: int
    size_bytes: int | None
    by_user: str
    host: str | None
    newest_version: int
    cut_off: int
    claimed_generation: int
    batch_id: str | None
    waiting_on: int


@as_a_whole
def finish(store: "Store", results: Sequence[Result]) -> frozenset[AttemptId]:
    """Every result that still counts is recorded, and successors of what is done are ready.

    Returns the attempts whose results did not count any more. All in one transaction; after a crash
    before its commit, or where its answer was lost, the results may simply be delivered again: what
    is recorded already counts, once.
    """
    if not results:
        return frozenset()
    with store.writing() as unit:
        carrying = _carrying(unit, results)
        counting = [result for result in results if result.attempt in carrying]
        _record(unit, counting, carrying)
        slots.free(unit, [result.attempt for result in results])
        late = [result for result in results if result.attempt not in carrying]
        recorded = _recorded(unit, late) if late else frozenset()
        hit("finish.before_commit")
    return frozenset(result.attempt for result in late if result.attempt not in recorded)


def give_back(store: "Store", claimed: Sequence[Claimed]) -> None:
    """Tasks that were claimed and never started are ready again, for anybody."""
    finish(
        store,
        [
            Result(
                attempt=one.attempt,
                task_id=one.task_id,
                state=AttemptState.CANCELLED,
                verdict=Verdict.LATER,
                reason="given back before it started",
            )
            for one in claimed
        ],
    )


@as_a_whole
def note_started(store: "Store", started: Sequence[Started]) -> None:
    """Attempts that have been running for a while show their pid, start and command."""
    with store.writing() as unit:  # so that an attempt which brings its host down is on record
        unit.run_many(
            _STARTED,
            [
                {
                    "attempt_": one.attempt, "running_": AttemptState.RUNNING.value,
                    "pid": one.pid, "started_us": one.started_us, "command": _text(one.command),
                }
                for one in started
            ],
        )  # fmt: skip


@as_a_whole
def note_publishing(store: "Store", publishing: Mapping[AttemptId, int]) -> None:
    """Attempts whose outputs have been published for a while show since when, in microseconds."""
    with store.writing() as unit:
        unit.run_many(
            _PUBLISHING,
            [
                {
                    "attempt_": attempt, "running_": AttemptState.RUNNING.value,
                    "publishing_us": since_us,
                }
                for attempt, since_us in publishing.items()
            ],
        )  # fmt: skip


def _carrying(unit: Unit, results: Sequence[Result]) -> dict[bytes, _Carrying]:
    """Return the rows of own tasks that still carry these results' attempts, by attempt."""
    tasks = sorted({int(result.task_id) for result in results})
    lock_tasks(unit, tasks)
    rows = unit.run(_CARRYING, tasks=tasks, running=TaskState.RUNNING.value).fetchall()
    expected = {int(result.task_id): set() for result in results}  # type: dict[int, set[bytes]]
    for result in results:
        expected[int(result.task_id)].add(result.attempt)
    found = [_Carrying._make(row) for row in rows if bytes(row[1]) in expected[row[0]]]
    steps = catalog(unit, newest=found[0].newest_version).steps if found else {}
    return {bytes(row.attempt): row for row in found if not steps[row.step_id].is_foreign}


def _recorded(unit: Unit, results: Sequence[Result]) -> frozenset[bytes]:
    """Return the attempts of those results that an earlier delivery has brought in, word for word."""
    rows = unit.run(_ENDED, attempts=sorted({result.attempt for result in results})).fetchall()
    ends = {bytes(row[0]): tuple(row[1:]) for row in rows}
    return frozenset(
        result.attempt
        for result in results
        if ends.get(result.attempt)
        == (result.state.value, result.ended_us or None, result.exit_code, _text(result.reason))
    )


def _record(unit: Unit, results: Sequence[Result], carrying: Mapping[bytes, _Carrying]) -> None:
    newest = next((row.newest_version for row in carrying.values()), None)
    known = catalog(unit, newest=newest)
    moves: dict[str, list[Move]] = {}
    ends, outputs, satisfied, stopped, failed = [], [], [], [], []
    seen: set[bytes] = set()
    for result in results:
        if result.attempt in seen:
            continue
        seen.add(result.attempt)
        row = carrying[result.attempt]
        entry = known.steps[row.step_id]
        decision = _decide(entry, result, row).behind(row.waiting_on)
        if result.state not in decision.transition.attempt_ends:
            raise Bug(
                f"an attempt that ended {result.state.word} cannot {decision.transition.name}"
            )
        moves.setdefault(decision.transition.name, []).append(
            _move(unit, known, result, row, decision)
        )
        ends.append((result.attempt, result.state, _columns(result)))
        outputs += output_rows(result.attempt, result.outputs, result.place)
        if decision.transition is transitions.FAIL and result.error_folder is None:
            failed.append((entry.pipeline, result.attempt, row.task_id, row.item_id))
        if decision.transition.target.is_satisfied:
            satisfied.append((row.item_id, entry))
            if result.verdict is Verdict.STOP:
                stopped.append((row.item_id, row.key, row.generation, entry))
    end_attempts(unit, ends)
    unit.run_many(_OUTPUT, outputs)
    if failed:
        error_folders.note_failed(unit, known, failed)
    temporary.note(unit, [(carrying[r.attempt], r) for r in results if r.outputs], known)
    batch = [(transitions.BY_NAME[name], rows) for name, rows in moves.items()]
    if stopped:
        move_all(unit, batch)
        batch.clear()
        pass_over(unit, known, stopped)
    keys = {
        row.item_id: Of(row.key, row.generation, row.size_bytes, row.by_user)
        for row in carrying.values()
    }
    move_all(unit, [*batch, (transitions.UNBLOCK, unblocked(unit, known, satisfied, keys))])


def _decide(entry: StepEntry, result: Result, row: _Carrying) -> Decision:
    """What follows the result, by the step as it stands now; a removed step gets no retry."""
    if result.state is AttemptState.LOST:
        return retry.decide_lost(
            times_lost=row.lost + 1,
            cancel_requested=bool(row.cancel_requested),
            is_batch_job=row.batch_id is not None,
        )
    if row.cancel_requested and result.state is AttemptState.CANCELLED:
        return Decision(transitions.STOP)
    if entry.spec is None:
        if result.state is AttemptState.CANCELLED:
            return Decision(transitions.STOP)
        is_good = result.state is AttemptState.SUCCEEDED
        return Decision(transitions.SUCCEED if is_good else transitions.FAIL)
    if result.is_cut:
        return retry.decide_cut(times_cut=row.cut_off + 1)
    return retry.decide(entry.spec, result.state, result.verdict, tries=row.tries)


def _move(unit: Unit, known: Catalog, result: Result, row: _Carrying, decision: Decision) -> Move:
    entry = known.steps[row.step_id]
    columns: dict[str, Any] = {"worker_id": None}
    target = decision.transition.target
    level = row.level
    if decision.uses_retry:
        columns["tries"] = row.tries + 1
    if result.state is AttemptState.LOST:
        columns["lost"] = row.lost + 1
    if result.is_cut:
        columns["cut_off"] = row.cut_off + 1
    if target is TaskState.HELD:
        is_lost = result.state is AttemptState.LOST
        why = retry.OF_BATCH_JOBS.format(row.lost + 1) if is_lost else f"held: {result.reason}"
        columns["reason"] = why
    if result.state is AttemptState.OUT_OF_MEMORY and entry.spec:
        level = min(level + 1, max(len(entry.spec.memory_bytes) - 1, 0))
        columns["level"] = level
    if target is TaskState.READY:
        columns["lane"] = lane_of(unit, entry, level, row.by_user, row.host)
        if decision.wait_s > 0:
            columns["lane"] = None
            columns["not_before_us"] = unit.now_us + int(decision.wait_s * 1_000_000)
    body = None
    if target is TaskState.DONE:
        columns["body_id"], body = _body(unit, known, entry, row.version_id)
    return Move(
        row.task_id, TaskState.RUNNING, entry.pipeline, row.key, entry.name,
        row.claimed_generation, result.attempt, columns, body, _data(unit, result, row, columns),
    )  # fmt: skip


def _body(unit: Unit, known: Catalog, entry: StepEntry, version_id: int) -> tuple[int, str]:
    """The body of the step that the attempt ran: that of the version current at its claim."""
    if version_id == known.current[entry.pipeline]:
        return entry.body_id, entry.body_hash
    names = names_since(unit, VersionId(version_id), entry.pipeline)
    step = pipeline_of(unit, VersionId(version_id)).step(name_then(names, entry.name))
    table = tables.body
    hashes = {canon.body_hash(step), *(canon.body_hash(step, later) for later in names)}
    query = select(table.c.id, table.c.hash).where(table.c.step_id == entry.id)
    row = unit.execute(query.where(table.c.hash.in_(sorted(hashes)))).first()
    if row is None:
        raise Bug(f"the body of step `{entry.name}` in version {version_id} is not in the store")
    return int(row.id), str(row.hash)


def _columns(result: Result) -> dict[str, Any]:
    columns = dict(END_COLUMNS)
    columns.update(
        started_us=result.started_us,
        publishing_us=result.publishing_us,
        ended_us=result.ended_us or None,
        pid=result.pid,
        command=_text(result.command),
        exit_code=result.exit_code,
        signal=result.signal,
        user_us=result.user_us,
        system_us=result.system_us,
        max_rss_bytes=result.max_rss_bytes,
        step_values=to_json(result.values) if result.values else None,
        reason=_text(result.reason),
        cause=_text(result.cause),
        node=result.node,
    )
    _stream(columns, "stdout", result.stdout)
    _stream(columns, "stderr", result.stderr)
    return columns


def _text(words: str | None) -> str | None:
    """What every database takes as text: all of it but NUL characters."""
    return words.replace("\0", "") if words else words


def _stream(columns: dict[str, Any], name: str, stream: Stream) -> None:
    if stream.size_bytes:
        columns[f"{name}_size"] = stream.size_bytes
        columns[f"{name}_truncated"] = stream.truncated
        columns[f"{name}_path"] = os.fsencode(stream.path) if stream.path else None
        columns[f"{name}_text"] = stream.text or None


def _data(unit: Unit, result: Result, row: _Carrying, columns: Mapping[str, Any]) -> str:
    """What the journal must hold of an end so that the attempt's row can be made again."""
    data: dict[str, Any] = {"state": result.state.word}
    for name in (
        "exit_code", "signal", "started_us", "publishing_us", "ended_us", "user_us", "system_us", "max_rss_bytes",
        "reason", "cause", "node",
    ):  # fmt: skip
        value = getattr(result, name)
        if value:
            data[name] = _text(value) if isinstance(value, str) else value
    if result.exit_code == 0:
        data["exit_code"] = 0
    if result.values:
        data["values"] = dict(result.values)
    if result.outputs:
        data["outputs"] = [[o.name, o.path, o.size_bytes, o.checksum] for o in result.outputs]
        if result.place:
            data["place"] = places.name_of(unit, result.place)
    if row.batch_id is not None:
        data["batch_id"] = row.batch_id
    for name in ("tries", "lost", "cut_off", "level", "not_before_us"):
        if name in columns:
            data[name] = columns[name]
    return to_json(data)
