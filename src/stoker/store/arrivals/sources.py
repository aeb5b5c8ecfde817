"""What a source of items remembers between looks, and how it stands.

A cursor is stored after what it has passed is registered, never before: after a crash the next look
finds some of it again, which is known then, and skips nothing.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, delete, func, insert, select, update

from stoker.errors import NotFound
from stoker.failpoints import hit
from stoker.model.saying import has_content, merged
from stoker.model.states import ItemState
from stoker.model.words import shown
from stoker.store import tables
from stoker.store.brief_waits import if_free
from stoker.store.catalog import catalog
from stoker.store.ids import digest_of
from stoker.store.journal import Entry, append, to_json
from stoker.store.reading_first import reading_first
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.model.item import NewItem
    from stoker.store.unit import Store

_S, _F, _I, _P = tables.source, tables.source_folder, tables.item, tables.pipeline
_PAGE = 2_000
_UNREAD = 100
_OPEN = (ItemState.RUNNING, ItemState.HELD, ItemState.WAITING)
_FINGERPRINTS = Prepared(
    select(_I.c.key, _I.c.fingerprint).where(
        _I.c.pipeline_id == param("pipeline_id"), _I.c.key.in_(param_list("keys"))
    )
)
_CHECKSUM = Prepared(
    update(_I)
    .where(_I.c.id == param("item_id"), _I.c.fingerprint == param("as_taken"))
    .values(checksum=param("read"))
)
_TROUBLE_LIMIT = 4_000  # characters of it that are kept

Folder = tuple[bytes, str | None]  # path within the source's folder; its stamp, None to forget it


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSource:
    """A source's row: its ids, and the cursor from which the next look goes on."""

    id: int
    pipeline_id: int
    cursor: Mapping[str, Any]


def find_source(store: "Store", pipeline: str, name: str, *, kind: str) -> KnownSource:
    """The source has a row; return it. One whose kind has changed starts from scratch."""
    query = (
        select(_S.c.id, _S.c.pipeline_id, _S.c.kind, _S.c.cursor)
        .join(_P, _P.c.id == _S.c.pipeline_id)
        .where(_P.c.name == pipeline, _S.c.name == name)
    )
    with store.reading() as unit:
        row = unit.execute(query).one_or_none()
    if row is None or row.kind != kind:
        return _begin(store, pipeline, name, kind)
    return KnownSource(id=row.id, pipeline_id=row.pipeline_id, cursor=json.loads(row.cursor))


@as_a_whole
def _begin(store: "Store", pipeline: str, name: str, kind: str) -> KnownSource:
    """The source has a row in which nothing is remembered."""
    with store.writing() as unit:
        pipeline_id = catalog(unit).pipeline_ids.get(pipeline)
        if pipeline_id is None:
            raise NotFound(f"the store has no pipeline `{pipeline}`; `stoker apply` adds it")
        is_it = and_(_S.c.pipeline_id == pipeline_id, _S.c.name == name)
        source_id = unit.execute(select(_S.c.id).where(is_it)).scalar()
        if source_id is None:
            values = {"kind": kind, "cursor": "{}", "taken": 0, "pending": 0}
            done = unit.execute(insert(_S).values(pipeline_id=pipeline_id, name=name, **values))
            source_id = done.inserted_primary_key[0]
        else:
            unit.execute(update(_S).where(is_it).values(kind=kind, cursor="{}"))
            unit.execute(delete(_F).where(_F.c.source_id == source_id))
    return KnownSource(id=source_id, pipeline_id=pipeline_id, cursor={})


@reading_first
def advance(
    store: "Store",
    source: KnownSource,
    *,
    cursor: Mapping[str, Any] | None = None,
    folders: Sequence[Folder] = (),
) -> None:
    """The next look begins at `cursor`, and passes over `folders` while their stamps hold.

    What they have passed is registered already. Only what is new is written.
    """
    if cursor is None and not folders:
        return
    with store.writing() as unit:
        if cursor is not None:
            text = to_json(cursor)
            is_it = _S.c.id == source.id
            if unit.execute(select(_S.c.cursor).where(is_it)).scalar() != text:
                unit.execute(update(_S).where(is_it).values(cursor=text))
        for at in range(0, len(folders), _PAGE):
            _note_folders(unit, source, folders[at : at + _PAGE])
        hit("source.before_commit")


def _note_folders(unit: Unit, source: KnownSource, folders: Sequence[Folder]) -> None:
    """These folders have these stamps; those without one are to be read again."""
    given = {digest_of(path): (path, stamp) for path, stamp in folders}
    where = and_(_F.c.source_id == source.id, _F.c.digest.in_(given))
    rows = unit.execute(select(_F.c.digest, _F.c.stamp).where(where))
    known = {bytes(row.digest): row.stamp for row in rows}
    news = {
        digest: (path, stamp)
        for digest, (path, stamp) in given.items()
        if known.get(digest) != stamp
    }
    old = [digest for digest in news if digest in known]
    if old:
        unit.execute(delete(_F).where(_F.c.source_id == source.id, _F.c.digest.in_(old)))
    rows = [
        {"source_id": source.id, "digest": digest, "path": path, "stamp": stamp}
        for digest, (path, stamp) in news.items()
        if stamp is not None
    ]
    if rows:
        unit.execute(insert(_F), rows)


def conclude(
    store: "Store",
    source: KnownSource,
    *,
    taken: int,
    pending: int,
    pending_for_s: float | None,
    trouble: str | None,
) -> None:
    """A look has ended: how many items it brought, how much was not complete, what went wrong.

    If all that is new is when it looked, it does not wait for somebody who has locked the store.
    """
    trouble = None if trouble is None else shown(trouble)[:_TROUBLE_LIMIT]
    is_news = bool(taken or pending) or _told(store, source) != (0, trouble)
    with if_free(store, wanted=not is_news):
        _conclude(store, source, taken, pending, pending_for_s, trouble)


def _told(store: "Store", source: KnownSource) -> tuple[int, str | None]:
    """Return what the source's last look left over, and what went wrong in it."""
    with store.reading() as unit:
        found = unit.execute(select(_S.c.pending, _S.c.trouble).where(_S.c.id == source.id))
        return tuple(found.one())


@as_a_whole
def _conclude(
    store: "Store",
    source: KnownSource,
    taken: int,
    pending: int,
    pending_for_s: float | None,
    trouble: str | None,
) -> None:
    with store.writing() as unit:
        since = None if pending_for_s is None else unit.now_us - int(pending_for_s * 1e6)
        values: dict[str, Any] = {
            "pending": pending,
            "pending_us": since,
            "trouble": trouble,
            "looked_us": unit.now_us,
        }
        if taken:
            values |= {"taken": _S.c.taken + taken, "took_us": unit.now_us}
        unit.execute(update(_S).where(_S.c.id == source.id).values(**values))


def folders_of(store: "Store", source: KnownSource) -> Iterator[list[tuple[bytes, str]]]:
    """Yield the folders that the source passes over, with their stamps, in pages."""
    last = b""
    while True:
        query = select(_F.c.digest, _F.c.path, _F.c.stamp).where(
            _F.c.source_id == source.id, _F.c.digest > last
        )
        with store.reading() as unit:
            rows = unit.execute(query.order_by(_F.c.digest).limit(_PAGE)).fetchall()
        if not rows:
            return
        yield [(bytes(row.path), row.stamp) for row in rows]
        last = bytes(rows[-1].digest)


def stamps_of(store: "Store", source: KnownSource, paths: Sequence[bytes]) -> dict[bytes, str]:
    """Return the stamps of those of these folders that the source passes over."""
    digests = [digest_of(path) for path in paths]
    where = and_(_F.c.source_id == source.id, _F.c.digest.in_(digests))
    if not digests:
        return {}
    with store.reading() as unit:
        rows = unit.execute(select(_F.c.path, _F.c.stamp).where(where)).fetchall()
    return {bytes(path): stamp for path, stamp in rows}


def fingerprints(store: "Store", pipeline_id: int, keys: Sequence[str]) -> dict[str, str]:
    """Return the fingerprints of those of these items that the store has."""
    if not keys:
        return {}
    with store.reading() as unit:
        rows = unit.run(_FINGERPRINTS, pipeline_id=pipeline_id, keys=list(keys)).fetchall()
    return {os.fsdecode(key) if isinstance(key, bytes) else key: found for key, found in rows}


def may_be_touched(store: "Store", pipeline_id: int, item: "NewItem") -> bool:
    """Whether the item is known with a checksum, this size and these parameters, and another time."""
    query = select(_I.c.size_bytes, _I.c.checksum, _I.c.params, _I.c.said, _I.c.fingerprint)
    with store.reading() as unit:
        row = unit.execute(
            query.where(_I.c.pipeline_id == pipeline_id, _I.c.key == item.key)
        ).one_or_none()
    if row is None or row.checksum is None or has_content(row.fingerprint, item.content):
        return False
    params = json.loads(row.params)
    said = json.loads(row.said or "{}")
    stand, _ = merged(item.params, item.saying, known_params=params, known_said=said)
    return bool(row.size_bytes == item.size_bytes and stand == params)


class Unread(NamedTuple):
    """An item whose files have not been read for their checksum."""

    pipeline: str
    id: int
    key: str
    path: str
    fingerprint: str
    meta: Mapping[str, Any]


def unread(store: "Store", pipeline: str, *, after: int) -> list[Unread]:
    """Return some items of files or folders that have no checksum, with ids after the one given."""
    query = (
        select(_I.c.id, _I.c.key, _I.c.path, _I.c.fingerprint, _I.c.meta)
        .join(_P, _P.c.id == _I.c.pipeline_id)
        .where(_P.c.name == pipeline, _I.c.id > after, _I.c.path.is_not(None))
        .where(_I.c.checksum.is_(None), _I.c.reason.is_(None))
        .order_by(_I.c.id)
    )
    with store.reading() as unit:
        rows = unit.execute(query.limit(_UNREAD)).fetchall()
    return [
        Unread(
            pipeline,
            row.id,
            row.key,
            os.fsdecode(row.path),
            row.fingerprint,
            json.loads(row.meta),
        )
        for row in rows
    ]


@as_a_whole
def note_checksums(store: "Store", read: Sequence[tuple[Unread, str]]) -> None:
    """The items have these checksums, unless they have other content by now."""
    with store.writing() as unit:
        entries = []
        for one, checksum in read:
            done = unit.run(_CHECKSUM, item_id=one.id, as_taken=one.fingerprint, read=checksum)
            if done.rowcount:
                data = to_json({"checksum": checksum})
                entries.append(Entry("checksum", one.pipeline, one.key, n=0, data=data))
        append(unit, entries)


def open_items(store: "Store", source: KnownSource, *, most: int) -> int:
    """Return how many items that count for the source are not at an end; at most `most`."""
    states = [state.value for state in _OPEN]
    inner = select(_I.c.id).where(_I.c.source_id == source.id, _I.c.state.in_(states)).limit(most)
    with store.reading() as unit:
        found = unit.execute(select(func.count()).select_from(inner.subquery())).scalar_one()
    return int(found)
