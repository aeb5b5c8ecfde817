"""The versions of pipelines as people and programs see them; their hashes say what they agree on."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.encoding import Answer
from stoker.store import tables
from stoker.store.times import moment

if TYPE_CHECKING:
    from stoker.store.unit import Store

_V, _P = tables.version, tables.pipeline
_COLUMNS = (
    _P.c.name, _V.c.number, _V.c.interface_hash, _V.c.body_hash, _V.c.set_by_host,
    _V.c.set_by_path, _V.c.at_us,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow(Answer):
    """One version of a pipeline: which file on which host set it, and when.

    Versions with the same `interface_hash` can be used by each other's steps; with the same
    `body_hash` they make the same results.
    """

    pipeline: str
    number: int
    interface_hash: str
    body_hash: str
    host: str
    path: str
    at: datetime


def current(store: "Store") -> list[VersionRow]:
    """Return the current version of each pipeline, by name."""
    query = select(*_COLUMNS).join(_P, _P.c.version_id == _V.c.id).order_by(_P.c.name)
    with store.reading() as unit:
        return [_row(row) for row in unit.execute(query).fetchall()]


def history(store: "Store", pipeline: str, *, before: int | None, limit: int) -> list[VersionRow]:
    """Return versions of a pipeline, newest first, before that number."""
    query = select(*_COLUMNS).join(_P, _P.c.id == _V.c.pipeline_id).where(_P.c.name == pipeline)
    if before is not None:
        query = query.where(_V.c.number < before)
    with store.reading() as unit:
        rows = unit.execute(query.order_by(_V.c.number.desc()).limit(limit)).fetchall()
    return [_row(row) for row in rows]


def definition(store: "Store", pipeline: str, number: int) -> str:
    """Return a version as indented JSON; NotFound if there is none of that number."""
    query = select(_V.c.spec).join(_P, _P.c.id == _V.c.pipeline_id)
    with store.reading() as unit:
        query = query.where(_P.c.name == pipeline, _V.c.number == number)
        text = unit.execute(query).scalar()
    if text is None:
        raise NotFound(f"pipeline `{pipeline[:100]}` has no version {number}")
    return in_lines(text)


def in_lines(text: str) -> str:
    """Return the text of a version, as the store has it, as indented JSON."""
    # A text that begins so is a path in the pipeline's folder.
    return json.dumps(_readable(json.loads(text)), indent=2, ensure_ascii=False, sort_keys=True)


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return f"./{value[1:].lstrip('/')}" if value.startswith("\x01") else value
    if isinstance(value, dict):
        return {name: _readable(one) for name, one in value.items() if name != "folder"}
    if isinstance(value, Sequence):
        return [_readable(one) for one in value]
    return value


def _row(row: Any) -> VersionRow:
    return VersionRow(
        pipeline=row.name,
        number=row.number,
        interface_hash=row.interface_hash,
        body_hash=row.body_hash,
        host=row.set_by_host,
        path=os.fsdecode(bytes(row.set_by_path)),
        at=moment(row.at_us),
    )
