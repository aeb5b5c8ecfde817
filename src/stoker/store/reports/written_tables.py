"""What is known of the tables of values that are kept current: when each was written, and with what.

A copy, never the record: a lost row here costs one more writing.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, select, update

from stoker.model.id_types import VersionId
from stoker.model.pipeline import Pipeline
from stoker.model.task import Content
from stoker.store import tables
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_V, _P, _J, _N = tables.value_table, tables.pipeline, tables.journal, tables.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One table as it was written last. `known` are checksums of what may be at its path of ours."""

    path: str
    spec: str
    known: frozenset[str]
    epoch: int
    seq: int
    n: int
    written_us: int | None
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The end of the journal: what is recorded later is not in a table that is read now."""

    epoch: int
    seq: int


def moment(store: "Store") -> Moment:
    """Return the end of the journal as far as it was folded."""
    with store.reading() as unit:
        return _moment(unit)


def _moment(unit: Unit) -> Moment:
    head = tables.head
    query = select(head.c.seq).where(
        head.c.origin == unit.store.site, head.c.epoch == unit.store.epoch
    )
    return Moment(epoch=unit.store.epoch, seq=unit.execute(query).scalar_one_or_none() or 0)


def own_pipelines(store: "Store", *, file: str) -> dict[str, Pipeline]:
    """Return the pipelines whose current version is that of this host's file: their tables are here."""
    query = select(_P.c.name, _N.c.id).join(_N, _N.c.id == _P.c.version_id)
    query = query.where(_N.c.set_by_host == store.host, _N.c.set_by_path == os.fsencode(file))
    with store.reading() as unit:
        rows = unit.execute(query).fetchall()
        return {row.name: pipeline_of(unit, VersionId(row.id)) for row in rows}


def current_pipeline(store: "Store", name: str) -> Pipeline | None:
    """Return the pipeline as its current version has it; None if the store has none of that name."""
    with store.reading() as unit:
        version = catalog(unit).current.get(name)
        return None if version is None else pipeline_of(unit, version)


def find(store: "Store", pipeline: str, name: str) -> Written | None:
    """Return what is known of a table; None if it was never tried."""
    with store.reading() as unit:
        row = unit.execute(select(_V).where(_is(unit, pipeline, name))).one_or_none()
    if row is None:
        return None
    known = frozenset(one for one in (row.checksum, row.was_checksum) if one is not None)
    return Written(
        path=os.fsdecode(bytes(row.path)),
        spec=row.spec,
        known=known,
        epoch=row.epoch,
        seq=row.seq,
        n=row.n,
        written_us=row.written_us,
        trouble=row.trouble,
    )


def has_changed(store: "Store", pipeline: str, since: Written) -> bool:
    """Whether anything was recorded of the pipeline that the table does not have.

    If not, the next look begins with what is recorded later.
    """
    with store.reading() as unit:
        now = _moment(unit)
        if since.epoch != now.epoch:
            return True
        later = and_(
            _J.c.origin == unit.store.site, _J.c.epoch == since.epoch, _J.c.seq > since.seq
        )
        query = select(_J.c.id).where(later, _J.c.pipeline == pipeline).limit(1)
        return now.seq > since.seq and unit.execute(query).first() is not None


@as_a_whole
def note_seen(store: "Store", pipeline: str, name: str, at: Moment) -> None:
    """Nothing up to this moment has changed the table."""
    with store.writing(durable=False) as unit:
        values = {"epoch": at.epoch, "seq": at.seq}
        unit.execute(update(_V).where(_is(unit, pipeline, name)).values(values))


@as_a_whole
def begin(
    store: "Store", pipeline: str, name: str, *, path: str, spec: str, content: Content
) -> None:
    """A table with this content is about to be at the path; after a crash it, and the last, is known."""
    with store.writing() as unit:
        of = _is(unit, pipeline, name)
        row = unit.execute(select(_V.c.checksum, _V.c.path).where(of)).one_or_none()
        was = row.checksum if row is not None and bytes(row.path) == os.fsencode(path) else None
        values = {
            "path": os.fsencode(path),
            "spec": spec,
            "size_bytes": content.size_bytes,
            "checksum": content.checksum,
            "was_checksum": was,
        }
        if row is not None:
            unit.execute(update(_V).where(of).values(values))
        else:
            _add(unit, pipeline, name, values)


@as_a_whole
def note_written(store: "Store", pipeline: str, name: str, *, at: Moment, n: int) -> None:
    """The table is at its path, with so many rows, and has everything up to this moment."""
    with store.writing() as unit:
        values = {
            "epoch": at.epoch, "seq": at.seq, "n": n, "written_us": unit.now_us, "trouble": None,
        }  # fmt: skip
        unit.execute(update(_V).where(_is(unit, pipeline, name)).values(values))


@as_a_whole
def note_trouble(
    store: "Store", pipeline: str, name: str, *, path: str, spec: str, trouble: str
) -> None:
    """The table could not be written; `status` shows why."""
    with store.writing() as unit:
        of = _is(unit, pipeline, name)
        if unit.execute(select(_V.c.name).where(of)).first() is None:
            _add(unit, pipeline, name, {"path": os.fsencode(path), "spec": spec})
        unit.execute(update(_V).where(of).values(trouble=trouble))


@as_a_whole
def forget_others(store: "Store", pipeline: str, names: Sequence[str]) -> None:
    """Tables that the pipeline does not have any more are not known any more; their files stay."""
    with store.writing() as unit:
        of = _V.c.pipeline_id == catalog(unit).pipeline_ids[pipeline]
        unit.execute(delete(_V).where(of, _V.c.name.not_in(list(names))))


def known_names(store: "Store") -> dict[str, set[str]]:
    """Return the names of the tables that something is known of, by pipeline."""
    found: dict[str, set[str]] = {}
    with store.reading() as unit:
        for row in unit.execute(
            select(_P.c.name.label("of"), _V.c.name).join(_V, _V.c.pipeline_id == _P.c.id)
        ):
            found.setdefault(row.of, set()).add(row.name)
    return found


def _add(unit: Unit, pipeline: str, name: str, values: dict[str, Any]) -> None:
    unit.execute(
        insert(_V).values(
            pipeline_id=catalog(unit).pipeline_ids[pipeline],
            name=name,
            epoch=0,
            seq=0,
            n=0,
            **values,
        )
    )


def _is(unit: Unit, pipeline: str, name: str) -> Any:
    return and_(_V.c.pipeline_id == catalog(unit).pipeline_ids[pipeline], _V.c.name == name)
