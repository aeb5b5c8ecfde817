"""Moving a store to another database, putting a copy by, and making a store from such a copy.

At any time there is one store of a project that can be worked on. A store that was moved away, and
a backup, say of themselves what they are, and are refused by everything but the verbs here. A copy
that is not finished is refused by its version.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from stoker.errors import Bug, Conflict, NotFound, Refused, UserError
from stoker.failpoints import hit
from stoker.model.states import WorkerState
from stoker.rights import PRIVATE
from stoker.store import journal_fold, tables
from stoker.store.database import copying, integrity, rebuild, schema
from stoker.store.database.connect import (
    BACKUP,
    MOVED,
    aside,
    bare,
    machine,
    refuse_foreign,
)
from stoker.store.database.copying import Content, OnTable
from stoker.store.dialects.dialect import OWN_SITE
from stoker.store.ends.reap import reap
from stoker.store.journal import Entry, append, last_seq, to_json
from stoker.store.times import moment
from stoker.store.unit import Store, Unit

_SITE = tables.site
_OWN = _SITE.c.id == OWN_SITE


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocated:
    """What was copied, or would be: where to, and how many rows of each table.

    `replayed` counts the items that were made again from the journal, for comparison.
    """

    to: str
    tables: dict[str, int]
    replayed: int = 0

    @property
    def rows(self) -> int:
        """How many rows of all tables."""
        return sum(self.tables.values())


def move(
    source: Store,
    target: Store,
    *,
    named: str,
    on_table: OnTable | None = None,
    dry_run: bool = False,
) -> Relocated:
    """The project's store is in `target`, with its whole history; `source` is closed for good.

    `named` is what stands for the target in `[store] url`. All rows have been compared, and so has
    what the journal says of them. Nobody records anything in the source meanwhile; a live worker is
    a reason to refuse. Cut short, the source is as it was, unless all was compared already; the
    target is refused by every verb until the same move is made again.
    """
    if source.url == target.url:
        raise UserError(f"`{source.url}` is where the store is already")
    said = _whose(source).set_aside
    is_resumed = said == MOVED + named and schema.version_in(target) == schema.COPYING
    if said is not None and not is_resumed:
        raise Refused(aside(source, said))
    _refuse_used(target)
    with source.reading() as unit:
        if not is_resumed:
            integrity.refuse_workers(unit, "move its store")
        if dry_run:
            return Relocated(to=named, tables=copying.count_rows(unit))
    if not is_resumed:
        reap(source)
        journal_fold.fold(source)
    _make_empty(target)
    with source.reading() if is_resumed else _shutting(source, MOVED + named) as unit:
        contents = copying.copy_rows(unit, target, on_table=on_table)
        copying.compare(target, contents)
        replayed = _replay(target)
    hit("source_shut")
    _settle(target)
    return Relocated(to=named, tables=_counts(contents), replayed=replayed)


def back_up(
    source: Store, path: Path, *, on_table: OnTable | None = None, dry_run: bool = False
) -> Relocated:
    """`path` is a backup of the store as it was at one moment; work goes on meanwhile.

    It is an SQLite file, whatever database holds the store, and appears whole or not at all.
    """
    if path.exists():
        raise Conflict(f"`{path}` is there already; name a new file")
    if not path.parent.is_dir():
        raise NotFound(f"there is no folder `{path.parent}` for the backup")
    if dry_run:
        with source.reading() as unit:
            return Relocated(to=str(path), tables=copying.count_rows(unit))
    making = path.absolute().with_name(f".{path.name}.part")
    making.unlink(missing_ok=True)
    PRIVATE.make_file(making)
    try:
        with source.connected() as connection:
            is_copied = source.dialect.copy_file(connection, making)
        with bare(f"sqlite:///{making}") as target:
            if not is_copied:
                schema.migrate(target)
                with source.reading() as unit:
                    contents = copying.copy_rows(unit, target, on_table=on_table)
                copying.compare(target, contents)
            counts = _put_by(target)
        os.rename(making, path)
    finally:
        making.unlink(missing_ok=True)
    return Relocated(to=str(path), tables=counts)


def restore(
    backup: Path, target: Store, *, on_table: OnTable | None = None, dry_run: bool = False
) -> Relocated:
    """`target`, where there was no store, is the project's store as it was when `backup` was made.

    Its journal goes on in a new epoch, so that nobody who had seen more takes new rows for those that
    were lost. What ran then is lost, and ready again. Cut short, it can be made again.
    """
    if not backup.is_file():
        raise NotFound(f"there is no backup `{backup}`")
    _refuse_used(target)
    with bare(f"sqlite:///{backup.absolute()}") as source:
        site = _whose(source)
        if not (site.set_aside or "").startswith(BACKUP):
            raise UserError(f"`{backup}` is a store, not a backup; `stoker store backup` makes one")
        with source.reading() as unit:
            if dry_run:
                return Relocated(to=target.url, tables=copying.count_rows(unit))
            _make_empty(target)
            contents = copying.copy_rows(unit, target, on_table=on_table)
        copying.compare(target, contents)
        replayed = _replay(target)
    _begin_epoch(target, site)
    _settle(target)
    return Relocated(to=target.url, tables=_counts(contents), replayed=replayed)


def _whose(source: Store) -> Any:
    """Return the row of the site whose store this is; Refused for one of another release or host.

    A backup is of no host.
    """
    version = schema.version_in(source)
    if version is None:
        raise NotFound(f"there is no store at `{source.url}`")
    if version != schema.HEAD:
        schema.refuse_version(source, version)
    with source.reading() as unit:
        row = unit.execute(select(_SITE).where(_OWN)).one()
    if not (row.set_aside or "").startswith(BACKUP):
        refuse_foreign(source, row.machine)
    source.epoch = row.epoch
    return row


def _refuse_used(target: Store) -> None:
    """Raise Refused unless there is no store at the target, an empty one, or an unfinished copy."""
    version = schema.version_in(target)
    if version in (None, schema.COPYING):
        return
    if version != schema.HEAD:
        schema.refuse_version(target, version or "")
    if not copying.is_empty(target):
        raise Refused(f"`{target.url}` holds a store already; name an empty database or a new file")


def _make_empty(target: Store) -> None:
    """The target has all tables, without a row, and is refused by everybody."""
    if schema.version_in(target) is None:
        schema.migrate(target)
    schema.note_version(target, schema.COPYING)
    copying.clear(target)


@contextmanager
def _shutting(source: Store, said: str) -> Iterator[Unit]:
    """Yield the source while nobody else writes; with the end of the block nobody does any more."""
    with source.writing(alone=True) as unit:
        integrity.refuse_workers(unit, "move its store")
        source.dialect.shut(unit.cursor)
        yield unit
        unit.execute(update(_SITE).where(_OWN).values(set_aside=said))


def _replay(target: Store) -> int:
    """Compare what the journal says with the tables, part by part; return the number of items."""
    replayed = 0
    with target.reading() as unit:
        for part in rebuild.parts(unit):
            journal, store = rebuild.replay(unit, part), rebuild.snapshot(unit, part)
            for difference in rebuild.differences(journal, store):
                raise Refused(
                    f"the journal says otherwise than the tables ({difference}); "
                    "`stoker store check --journal` names all such places"
                )
            replayed += len(store.items)
    return replayed


def _put_by(target: Store) -> dict[str, int]:
    """The file says that it is a backup, and of when; return how many rows it has."""
    with target.reading() as unit:
        wrong = target.dialect.quick_check(unit.connection)
        counts = copying.count_rows(unit)
        said = f"{BACKUP}{moment(unit.now_us):%Y-%m-%d %H:%M:%S} UTC"
    if wrong:
        raise Bug(f"the backup is not whole, and was deleted ({wrong[0]})")
    with target.writing() as unit:
        unit.execute(update(_SITE).where(_OWN).values(set_aside=said))
    return counts


def _begin_epoch(target: Store, site: Any) -> None:
    """The journal of a restored store goes on in an epoch of its own, and none of its workers lives."""
    target.epoch = site.epoch
    worker = tables.worker
    alive = select(worker.c.id).where(worker.c.state == WorkerState.ALIVE.value)
    with target.reading() as unit:
        dead = unit.execute(alive).scalars().all()
    reap(target, dead_workers=dead)
    journal_fold.fold(target)
    with target.writing(alone=True) as unit:
        data = {"epoch": site.epoch, "seq": last_seq(unit), "from": site.set_aside}
        target.epoch = site.epoch + 1
        unit.execute(update(_SITE).where(_OWN).values(epoch=target.epoch))
        unit.execute(insert(tables.head).values(origin=OWN_SITE, epoch=target.epoch, seq=0))
        append(unit, [Entry("restore", n=0, data=to_json(data))])
    journal_fold.fold(target)


def _settle(target: Store) -> None:
    """The target is this host's store, and can be opened."""
    with target.writing() as unit:
        place = {"machine": machine(), "path": os.fsencode(target.folder)}
        unit.execute(update(_SITE).where(_OWN).values(**place))
    schema.note_version(target, schema.HEAD)


def _counts(contents: dict[str, Content]) -> dict[str, int]:
    return {name: content.rows for name, content in contents.items()}
