"""Attempts for people and programs: lists, one by its id, and the one that made a file."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, and_, select

from stoker.errors import NotFound, UserError
from stoker.model.id_types import HERE
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import selection as selections
from stoker.store import tables
from stoker.store.holdings.publications import last_attempt_at
from stoker.store.ids import id_of, text_of
from stoker.store.outposts.entries import Entry, entries
from stoker.store.paging import Listed, page, pages
from stoker.store.picking import pick_attempts
from stoker.store.reports.places import Place
from stoker.store.rows import AttemptRow, MakerRow, OutputRow, Page, Rows, StreamRow
from stoker.store.times import moment
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_T, _I, _P, _S, _W, _V, _O = (
    tables.task, tables.item, tables.pipeline, tables.step, tables.worker, tables.version,
    tables.output,
)  # fmt: skip
_X = tables.attempt.alias("every")  # every attempt, not a task's latest one only
_PILOT = (
    select(tables.pilot.c.uid)
    .join(tables.pilot_worker, tables.pilot_worker.c.pilot_id == tables.pilot.c.id)
    .where(tables.pilot_worker.c.worker_id == _X.c.worker_id)
    .scalar_subquery()
)
_KINDS = ("run", "adopted")
_SECONDS = 1e6

_COLUMNS = (
    _X.c.id, _X.c.kind, _X.c.number, _X.c.state, _X.c.node, _X.c.pid, _X.c.batch_id, _X.c.command,
    _X.c.claimed_us, _X.c.started_us, _X.c.publishing_us, _X.c.ended_us, _X.c.exit_code, _X.c.signal, _X.c.user_us,
    _X.c.system_us, _X.c.max_rss_bytes, _X.c.step_values, _X.c.reason,
    _X.c.cause, _PILOT.label("pilot"),
    _X.c.stdout_size, _X.c.stdout_truncated, _X.c.stdout_path,
    _X.c.stderr_size, _X.c.stderr_truncated, _X.c.stderr_path,
    _P.c.name.label("pipeline"), _I.c.key, _I.c.params, _I.c.meta, _I.c.size_bytes, _T.c.item_id,
    _S.c.name.label("step"), tables.site.c.name.label("site"), _W.c.name.label("worker"),
    _W.c.host, _V.c.number.label("version"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStream:
    """What is kept of a stream: its text, or the file that has it; neither while it runs."""

    size_bytes: int
    truncated: bool
    path: str | None
    text: bytes | None


def attempts(store: "Store", selection: Selection) -> Iterator[AttemptRow]:
    """Yield the attempts of the selected tasks, oldest first. `states` are those of attempts."""
    for rows in pages(store, _attempts(store, selection)):
        yield from _attempt_rows(store, rows)


def page_of_attempts(
    store: "Store", selection: Selection, *, after: str | None, limit: int
) -> Page[AttemptRow]:
    """Return the attempts behind the page whose `next` is `after`, in the same order."""
    place = Place("attempts", selection, after=after, limit=limit)
    rows, last = page(store, _attempts(store, selection), after=place.id, limit=limit)
    return Page(rows=Rows(_attempt_rows(store, rows)), next=place.next(last))


def _attempt_rows(store: "Store", rows: Sequence[Any]) -> Iterator[AttemptRow]:
    with store.reading() as unit:
        outputs = outputs_of(unit, [row.id for row in rows])
    for row in rows:
        yield _attempt_row(row, outputs)


def _attempts(store: "Store", selection: Selection) -> Listed:
    of_tasks = replace(selection, states=(), match=None)
    with store.reading() as unit:
        selections.check(unit, of_tasks)
        states = _states(selection.states)
        picked = pick_attempts(unit, selection)
    where = selections.where_filter(selection)
    query = _joined(*selections.task_conditions(replace(picked.rest, states=(), match=None)))
    if picked.steps is not None:
        of_step = _T.c.step_id + 0  # no column, so that nobody begins with the steps
        query = query.where(of_step.in_(picked.steps))
    if selection.cause is not None:
        query = query.outerjoin(tables.attempt, tables.attempt.c.id == _T.c.attempt)
    if states:
        query = query.where(selections.in_states(_X.c.state, states))
    if selection.match is not None:
        query = query.where(selections.says(selection.match, _X.c.cause, _X.c.reason))
    sifts = not selection.is_everything
    return Listed(
        query, _X.c.id, where, kind=AttemptState, first=b"", pick=picked.pick, sifts=sifts
    )


def attempts_of_item(unit: Unit, item_id: int) -> list[AttemptRow]:
    """Return all attempts of an item, of removed steps too, oldest first."""
    query = _joined(_T.c.item_id == item_id).order_by(_X.c.id)
    rows = unit.execute(query).fetchall()
    outputs = outputs_of(unit, [row.id for row in rows])
    return [_attempt_row(row, outputs) for row in rows]


def last_of_tasks(unit: Unit, item_ids: Sequence[int]) -> list[AttemptRow]:
    """Return for each task of these items the attempt that carries it, or that did so last."""
    is_last = and_(_T.c.item_id.in_(item_ids), _X.c.id == _T.c.attempt)
    rows = unit.execute(_joined(is_last)).fetchall()
    outputs = outputs_of(unit, [row.id for row in rows])
    return [_attempt_row(row, outputs) for row in rows]


def maker_of(store: "Store", path: str) -> MakerRow:
    """Return the attempt that made what is published at `path`, a file in a published folder too.

    With the volumes that hold what it published there, also after it was deleted here. `SITE:PATH` is a
    path at another site; another path is looked for here first, then there.

    NotFound if no attempt of this store did.
    """
    whole = os.path.abspath(path)
    with store.reading() as unit:
        known = entries(unit, everything=True)
        for candidate, place in _where_it_may_be(known, path, whole):
            found = _maker_at(unit, candidate, place)
            if found is not None:
                return found
        named = next((one for one in known if path.startswith(f"{one.name}:")), None)
    if named is not None and not os.path.lexists(whole):
        whole = os.path.join(named.outpost.folder, path.partition(":")[2])
        whole = f"{named.name}:{os.path.normpath(whole)}"
    raise NotFound(
        f"no attempt of this project published `{whole}`; outputs are known by the path at which "
        "they were published"
    )


def _where_it_may_be(sites: Sequence[Entry], path: str, whole: str) -> Iterator[tuple[str, int]]:
    """Yield the paths that may be meant, each with its place."""
    name, colon, inside = path.partition(":")
    for site in sites:
        if colon and site.name == name:
            there = os.path.normpath(os.path.join(site.outpost.folder, inside))
            yield from ((one, site.place) for one in _with_parents(there))
    real = os.path.realpath(whole)
    yield from ((one, HERE) for one in _with_parents(whole))
    if real != whole:
        yield from ((one, HERE) for one in _with_parents(real))
    for site in sites:
        yield from ((one, site.place) for one in _with_parents(whole))


def _maker_at(unit: Unit, path: str, place: int) -> MakerRow | None:
    # Only here, as no list needs them.
    from stoker.store.groups.made_of import made_of
    from stoker.store.groups.volume_members import volumes_of

    owner = last_attempt_at(unit, path, place=place)
    if owner is None:
        return None
    query = (
        select(_O.c.attempt)
        .where(_O.c.path == os.fsencode(path), _O.c.place == place)
        .order_by(_O.c.attempt.desc())
        .limit(1)
    )
    found = unit.execute(query).scalar() or owner
    row = unit.execute(_joined(_X.c.id == found)).one_or_none()
    if row is None:
        return None
    made = _attempt_row(row, outputs_of(unit, [row.id]))
    fields = {name: getattr(made, name) for name in AttemptRow.__slots__}
    volumes = tuple(volumes_of(unit, row.item_id, bytes(row.id)))
    return MakerRow(**fields, volumes=volumes, members=made_of(unit, bytes(row.id)))


def attempt_by_id(store: "Store", name: str) -> AttemptRow:
    """Return the attempt of that id, or of the only one that begins so."""
    with store.reading() as unit:
        row = unit.execute(_joined(_X.c.id == _find(unit, name))).one()
        return _attempt_row(row, outputs_of(unit, [row.id]))


def streams_of(store: "Store", name: str) -> Mapping[str, StoredStream]:
    """Return what is kept of an attempt's `stdout` and `stderr`."""
    table = tables.attempt
    with store.reading() as unit:
        row = unit.execute(select(table).where(table.c.id == _find(unit, name))).one()
    return {
        stream: StoredStream(
            size_bytes=getattr(row, f"{stream}_size") or 0,
            truncated=bool(getattr(row, f"{stream}_truncated")),
            path=_text(getattr(row, f"{stream}_path")),
            text=getattr(row, f"{stream}_text"),
        )
        for stream in ("stdout", "stderr")
    }


def outputs_of(unit: Unit, attempt_ids: Sequence[bytes]) -> dict[bytes, list[OutputRow]]:
    """Return the outputs of these attempts, by attempt."""
    found: dict[bytes, list[OutputRow]] = {}
    if not attempt_ids:
        return found
    query = (
        select(_O)
        .where(_O.c.attempt.in_(attempt_ids))
        .order_by(_O.c.attempt, _O.c.name, _O.c.position)
    )
    for row in unit.execute(query):
        found.setdefault(row.attempt, []).append(
            OutputRow(
                name=row.name,
                path=os.fsdecode(row.path),
                size_bytes=row.size_bytes,
                checksum=row.checksum,
            )
        )
    return found


def _find(unit: Unit, name: str) -> bytes:
    table = tables.attempt
    digits = name.replace("-", "").lower()
    try:
        low = bytes.fromhex(digits.ljust(32, "0"))
        high = bytes.fromhex(digits.ljust(32, "f"))
        exact = id_of(name) if len(digits) == 32 else None
    except ValueError:
        raise UserError(
            f"`{name}` is not the id of an attempt; `stoker attempts` lists them, and the beginning of one "
            "is enough"
        ) from None
    query = select(table.c.id).where(table.c.id.between(exact or low, exact or high)).limit(2)
    found = unit.execute(query).scalars().all()
    if not found:
        raise NotFound(f"there is no attempt `{name}`; `stoker attempts` lists them")
    if len(found) > 1:
        raise UserError(f"several attempts begin with `{name}`; write more of the id")
    return bytes(found[0])


def _joined(*conditions: Any) -> Select[Any]:
    joined = (
        _X.join(_T, _T.c.id == _X.c.task_id)
        .join(_I, _I.c.id == _T.c.item_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .outerjoin(_W, _W.c.id == _X.c.worker_id)
        .outerjoin(_V, _V.c.id == _X.c.version_id)
        .outerjoin(tables.site, tables.site.c.id == _X.c.site)
    )
    return select(*_COLUMNS).select_from(joined).where(*conditions)


def _with_parents(path: str) -> Iterator[str]:
    """Yield the path and the folders that contain it."""
    while True:
        yield path
        parent = path.rpartition("/")[0] or "/"
        if parent == path:
            return
        path = parent


def _states(words: Sequence[str]) -> list[int]:
    try:
        return [AttemptState.of(word).value for word in words]
    except KeyError as error:
        raise UserError(
            f"`{str(error).strip(chr(39)).lower()}` is not a state of an attempt; they are "
            f"{', '.join(AttemptState.words())}"
        ) from None


def _attempt_row(row: Any, outputs: Mapping[bytes, Sequence[OutputRow]]) -> AttemptRow:
    return AttemptRow(
        id=text_of(row.id),
        kind=_KINDS[row.kind],
        pipeline=row.pipeline,
        item=row.key,
        step=row.step,
        number=row.number,
        state=AttemptState(row.state).word,
        site=row.site,
        worker=row.worker,
        host=row.host,
        node=row.node,
        pid=row.pid,
        batch_id=row.batch_id,
        pilot=row.pilot,
        command=row.command,
        claimed_at=moment(row.claimed_us),
        started_at=moment(row.started_us),
        publishing_at=moment(row.publishing_us),
        ended_at=moment(row.ended_us),
        exit_code=row.exit_code,
        signal=row.signal,
        user_s=_seconds(row.user_us),
        system_s=_seconds(row.system_us),
        max_rss_bytes=row.max_rss_bytes or None,
        stdout=_stream(row.stdout_size, row.stdout_truncated, row.stdout_path),
        stderr=_stream(row.stderr_size, row.stderr_truncated, row.stderr_path),
        outputs=tuple(outputs.get(row.id, ())),
        values=json.loads(row.step_values) if row.step_values else {},
        reason=row.reason,
        cause=row.cause,
        pipeline_version=row.version,
    )


def _stream(size_bytes: int | None, truncated: int | None, path: bytes | None) -> StreamRow:
    return StreamRow(size_bytes=size_bytes or 0, truncated=bool(truncated), path=_text(path))


def _text(path: bytes | None) -> str | None:
    return os.fsdecode(path) if path is not None else None


def _seconds(us: int | None) -> float | None:
    return us / _SECONDS if us is not None else None
