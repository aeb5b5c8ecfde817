"""Who may publish where, and what was published there: rule O.

A path, at its place, belongs to the task that first published there, and so does all that is inside a published
folder. A path at which nothing is any more belongs to nobody, and a step that was removed gives its
paths to the other steps of the item; neither while a task that owns them runs. What may be replaced is known by its content: a reservation records what the attempt is about
to publish, beside what was there before, so that after a crash between publishing and recording both
are known as the task's own, and nothing else is.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, insert, select, update

from stoker.errors import OutputConflict, StaleAttempt
from stoker.failpoints import hit
from stoker.model.id_types import HERE, AttemptId, TaskId
from stoker.model.states import TaskState
from stoker.store import tables
from stoker.store.holdings.places import digest_at
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.model.task import Content, Wanted
    from stoker.store.unit import Store

_P, _T, _F = tables.publication, tables.task, tables.folder_part
_BATCH = 500  # digests in a statement
_CHUNK = 64 * 1024  # bytes of digests in a row
HEAD_BYTES = 255
_FIELDS = (
    "task_id", "attempt", "head", "size_bytes", "checksum", "was_size_bytes", "was_checksum",
)  # fmt: skip
_OWNERS = Prepared(
    select(
        _P.c.path, _P.c.task_id, _P.c.size_bytes, _P.c.checksum, _P.c.was_size_bytes,
        _P.c.was_checksum, _P.c.attempt,
    ).where(_P.c.digest.in_(param_list("digests")))
)  # fmt: skip
_OWN = Prepared(
    insert(_P).values(**{name: param(name) for name in ("digest", "path", "place", *_FIELDS)})
)
_OWN_AGAIN = Prepared(
    update(_P).where(_P.c.digest == param("digest_")).values({f: param(f) for f in _FIELDS})
)


@as_a_whole
def reserve(
    store: "Store",
    attempt: AttemptId,
    task_id: TaskId,
    wanted: Sequence["Wanted"],
    *,
    place: int = HERE,
) -> None:
    """The task owns these paths, at that place, and what it is about to publish there is recorded.

    Called before anything is published, and in the same transaction as the fence: StaleAttempt if
    the task has moved on; OutputConflict if a path is another task's, inside or around one, or has
    something that is not the task's. Nothing is reserved then.
    """
    with store.writing() as unit:
        query = select(_T.c.state, _T.c.attempt).where(_T.c.id == task_id).with_for_update()
        row = unit.execute(query).one_or_none()
        if row is None or row.state != TaskState.RUNNING or row.attempt != attempt:
            raise StaleAttempt("the task was given to another attempt; this one publishes nothing")
        take(unit, attempt, task_id, wanted, place=place)
        hit("reserve.before_commit")


def take(
    unit: Unit,
    attempt: bytes,
    task_id: int,
    wanted: Sequence["Wanted"],
    *,
    place: int = HERE,
    own: Collection[int] | None = None,
) -> None:
    """As `reserve`, within a transaction that has found the task in order.

    The task may take the paths of those in `own`, by default its own and those of removed steps.
    """
    _lock(unit, wanted)
    names = {os.fsencode(name) for one in wanted for name in one.names}
    around = names.union(*map(_folders_around, names))
    if own is None:
        own = {task_id, *givers(unit, task_id)}
    claims = _Claims(unit, own, place, _owners(unit, around, place))
    new, known = [], []
    for one in wanted:
        for name, reach in zip(one.names, one.reach or one.names, strict=True):
            raw = os.fsencode(name)
            claims.check(raw, one, is_there=len(os.fsencode(reach)))
            row = {
                "task_id": task_id,
                "attempt": attempt,
                "head": raw[:HEAD_BYTES],
                "size_bytes": one.content.size_bytes,
                "checksum": one.content.checksum,
                "was_size_bytes": one.found.size_bytes if one.found else None,
                "was_checksum": one.found.checksum if one.found else None,
            }
            digest = digest_at(raw, place)
            if raw in claims.owners:
                known.append({"digest_": digest, **row})
            else:
                new.append({"digest": digest, "path": raw, "place": place, **row})
            _keep_parts(unit, digest, one, is_known=raw in claims.owners)
    _delete(unit, claims.stale, place)
    unit.run_many(_OWN, new)
    unit.run_many(_OWN_AGAIN, known)


def _lock(unit: Unit, wanted: Sequence["Wanted"]) -> None:
    """Nobody takes a path around or inside one of these until the transaction ends.

    Only a folder can be around another path: a caller that takes one does so alone.
    """
    if unit.store.dialect.locks_rows:
        is_folder = any(one.content.parts is not None for one in wanted)
        row = select(tables.site.c.id).where(tables.site.c.id == unit.store.site)
        unit.execute(row.with_for_update(read=not is_folder, key_share=is_folder)).fetchall()


def _owners(unit: Unit, paths: Iterable[bytes], place: int) -> dict[bytes, Any]:
    """Return the rows of those paths at a place that belong to a task, by path."""
    found = {}
    digests = sorted(digest_at(path, place) for path in paths)
    for at in range(0, len(digests), _BATCH):
        for row in unit.run(_OWNERS, digests=digests[at : at + _BATCH]).fetchall():
            found[bytes(row[0])] = row
    return found


def _folders_around(path: bytes) -> Iterator[bytes]:
    while (folder := os.path.dirname(path)) != path:
        yield folder
        path = folder


class _Claims:
    """Decides whether a task may have a path; `stale` are others' paths that its own make void."""

    def __init__(
        self, unit: Unit, own: Collection[int], place: int, owners: Mapping[bytes, Any]
    ) -> None:
        self.owners = owners
        self.stale: set[bytes] = set()
        self._unit = unit
        self._place = place
        self._own = own
        self._running: dict[int, bool] = {}

    def check(self, path: bytes, wanted: "Wanted", *, is_there: int) -> None:
        """OutputConflict if the task may not have the path, of which so many bytes are there."""
        shown = os.fsdecode(path)
        owner = self.owners.get(path)
        if owner is not None and self._stays(owner[1], is_gone=is_there < len(path)):
            raise OutputConflict(
                f"`{shown}` was published by {_name(self._unit, owner[1])} and stays its own; "
                "make the step's output path differ, for example by `{key}`"
            )
        for folder in _folders_around(path):
            other = self.owners.get(folder)
            if other is None or other[1] in self._own:
                continue
            if self._stays(other[1], is_gone=is_there < len(folder)):
                raise OutputConflict(
                    f"`{shown}` is inside `{os.fsdecode(folder)}`, which was published by "
                    f"{_name(self._unit, other[1])} and stays its own; publish the two at separate "
                    "paths"
                )
            self.stale.add(folder)
        if wanted.content.parts is not None:
            self._check_inside(path, is_gone=is_there < len(path))
        if wanted.refusal is not None:
            raise OutputConflict(wanted.refusal)

    def _check_inside(self, folder: bytes, *, is_gone: bool) -> None:
        for row in self._inside(folder, None if is_gone else 1):
            if self._stays(row.task_id, is_gone=is_gone):
                raise OutputConflict(
                    f"inside of `{os.fsdecode(folder)}` is `{os.fsdecode(bytes(row.path))}`, which was "
                    f"published by {_name(self._unit, row.task_id)}; publish the two at separate paths"
                )
            self.stale.add(bytes(row.path))

    def _inside(self, folder: bytes, most: int | None) -> Iterator[Any]:
        """Yield the paths inside of `folder` that are other tasks', up to so many."""
        low, high = folder + b"/", folder + b"0"  # the byte that follows the slash
        is_here = _P.c.place == self._place
        query = select(_P.c.path, _P.c.task_id).where(_P.c.task_id.not_in(self._own), is_here)
        if len(low) <= HEAD_BYTES:
            query = query.where(_P.c.head >= low, _P.c.head < high).limit(most)
            yield from self._unit.execute(query).fetchall()
            return
        for row in self._unit.execute(query.where(_P.c.head == low[:HEAD_BYTES])):
            if bytes(row.path).startswith(low):
                yield row

    def _stays(self, owner: int, *, is_gone: bool) -> bool:
        """Whether what another task published stays its own; it is locked if it does not."""
        if owner in self._own:
            return False
        if not is_gone:
            return True
        if owner not in self._running:
            query = select(_T.c.state).where(_T.c.id == owner).with_for_update()
            state = self._unit.execute(query).scalar_one_or_none()
            self._running[owner] = state == TaskState.RUNNING
        return self._running[owner]


def givers(unit: Unit, task_id: int) -> Sequence[int]:
    """Return the tasks of the same item whose step is no longer in the pipeline, and that do not run."""
    own, step = _T.alias("own"), tables.step
    query = (
        select(_T.c.id)
        .join(own, own.c.item_id == _T.c.item_id)
        .join(step, step.c.id == _T.c.step_id)
        .where(own.c.id == task_id, step.c.is_removed, _T.c.state != TaskState.RUNNING.value)
    )
    found: Sequence[int] = unit.execute(query).scalars().all()
    return found


def _keep_parts(unit: Unit, digest: bytes, wanted: "Wanted", *, is_known: bool) -> None:
    """The parts of the folder that is to come are recorded, beside those of the one that is there."""
    content = wanted.content
    if content.parts is None:
        return
    if is_known:
        kept = [one.checksum for one in (content, wanted.found) if one is not None]
        unit.execute(delete(_F).where(_F.c.digest == digest, _F.c.checksum.not_in(kept)))
        same = select(_F.c.position).where(_F.c.digest == digest, _F.c.checksum == content.checksum)
        if unit.execute(same.limit(1)).first() is not None:
            return
    chunks = range(0, max(len(content.parts), 1), _CHUNK)  # an empty folder has a row, too
    rows = [
        {
            "digest": digest, "checksum": content.checksum, "position": position,
            "digests": content.parts[at : at + _CHUNK],
        }
        for position, at in enumerate(chunks)
    ]  # fmt: skip
    unit.execute(insert(_F), rows)


def contents_of(
    store: "Store", task_id: TaskId, paths: Iterable[str], *, place: int = HERE
) -> dict[str, tuple["Content", ...]]:
    """Return what the task may have published at these paths, by path: the last, and the one before.

    So may the removed steps of its item. Paths of others are left out.
    """
    with store.reading() as unit:
        return contents_in(unit, {task_id, *givers(unit, task_id)}, paths, place=place)


def contents_in(
    unit: Unit, own: Collection[int], paths: Iterable[str], *, place: int = HERE
) -> dict[str, tuple["Content", ...]]:
    """Return what the tasks in `own` may have published at these paths, by path."""
    from stoker.model.task import Content

    found = {}
    for path, row in _owners(unit, map(os.fsencode, paths), place).items():
        if row[1] in own:
            contents = [(row[2], row[3]), (row[4], row[5])]
            found[os.fsdecode(path)] = tuple(
                Content(
                    size_bytes=size,
                    checksum=checksum,
                    parts=parts_of(unit, path, checksum, place=place),
                )
                for size, checksum in contents
                if checksum is not None
            )
    return found


class Owner(NamedTuple):
    """Whose a published path is."""

    pipeline: str
    item: str
    step: str


def owners(store: "Store", paths: Iterable[str]) -> dict[str, Owner]:
    """Return the owners of these paths at this place; paths without an owner are left out."""
    item, step, pipeline = tables.item, tables.step, tables.pipeline
    joined = (
        _P.join(_T, _T.c.id == _P.c.task_id)
        .join(item, item.c.id == _T.c.item_id)
        .join(step, step.c.id == _T.c.step_id)
        .join(pipeline, pipeline.c.id == item.c.pipeline_id)
    )
    query = select(_P.c.path, pipeline.c.name, item.c.key, step.c.name.label("step"))
    query = query.select_from(joined)
    digests = sorted(digest_at(os.fsencode(path), HERE) for path in paths)
    found = {}
    with store.reading() as unit:
        for at in range(0, len(digests), _BATCH):
            some = digests[at : at + _BATCH]
            for row in unit.execute(query.where(_P.c.digest.in_(some))):
                found[os.fsdecode(bytes(row.path))] = Owner(row.name, row.key, row.step)
    return found


def parts_of(unit: Unit, path: bytes, checksum: str, *, place: int = HERE) -> bytes | None:
    """Return the digests of all parts of a folder that was published; None for a file."""
    digest = digest_at(path, place)
    query = select(_F.c.digests).where(_F.c.digest == digest, _F.c.checksum == checksum)
    rows = unit.execute(query.order_by(_F.c.position)).scalars().all()
    return b"".join(map(bytes, rows)) if rows else None


def forget(unit: Unit, tasks: Sequence[int]) -> None:
    """Nobody owns the paths of these tasks any more."""
    own = select(_P.c.digest).where(_P.c.task_id.in_(tasks))
    unit.execute(delete(_F).where(_F.c.digest.in_(own)))
    unit.execute(delete(_P).where(_P.c.task_id.in_(tasks)))


def _delete(unit: Unit, paths: Iterable[bytes], place: int) -> None:
    digests = sorted(digest_at(path, place) for path in paths)
    for at in range(0, len(digests), _BATCH):
        for table in (_F, _P):
            some = digests[at : at + _BATCH]
            unit.execute(delete(table).where(table.c.digest.in_(some)))


def last_attempt_at(unit: Unit, path: str, *, place: int = HERE) -> bytes | None:
    """Return the attempt that last reserved the path at that place."""
    raw = os.fsencode(path)
    row = _owners(unit, [raw], place).get(raw)
    return bytes(row[6]) if row is not None else None


def _name(unit: Unit, task_id: int) -> str:
    item, step = tables.item, tables.step
    row = unit.execute(
        select(item.c.key, step.c.name)
        .select_from(_T.join(item, item.c.id == _T.c.item_id).join(step, step.c.id == _T.c.step_id))
        .where(_T.c.id == task_id)
    ).one_or_none()
    return f"step `{row.name}` of `{row.key}`" if row else "an item that was pruned since"
