"""Making a store on purpose, and bringing one of an earlier release up to this one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from stoker.errors import NotFound
from stoker.model.encoding import Answer
from stoker.store import tables
from stoker.store.database import integrity, schema
from stoker.store.database.connect import refuse_foreign
from stoker.store.database.schema import Revision
from stoker.store.dialects.dialect import OWN_SITE
from stoker.store.unit import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Made(Answer):
    """A store that is there now; `is_new` if it was not before."""

    url: str
    is_new: bool
    schema: str
    tables: int
    site: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What bringing a store up does, or did, in order; `backup` is the file as it was before.

    `dump_command` is how a server's own tool puts a copy by.
    """

    before: str
    after: str
    steps: Sequence[Revision]
    backup: str | None
    dump_command: str | None


def describe(store: Store, *, is_new: bool) -> Made:
    """Return what there is to say of an open store."""
    with store.reading() as unit:
        site = unit.execute(select(tables.site).where(tables.site.c.id == OWN_SITE)).one()
    return Made(
        url=store.url,
        is_new=is_new,
        schema=schema.HEAD,
        tables=len(tables.metadata.tables),
        site=site.name,
        uid=site.uid,
    )


def upgrade(store: Store, *, dry_run: bool = False) -> Upgraded:
    """The store is of this release; its file as it was before is beside it.

    Refused on another host than a file's own, and while a worker is alive: those of the earlier
    release do not know the new schema. Cut short, the store is at one version or a later one, and can
    be upgraded again.
    """
    version = schema.version_in(store)
    if version is None:
        raise NotFound(f"there is no store at `{store.url}`; `stoker store create` makes it")
    if version != schema.HEAD and not schema.is_earlier(version):
        schema.refuse_version(store, version)
    with store.reading() as unit:
        site = tables.site
        refuse_foreign(
            store, unit.execute(select(site.c.machine).where(site.c.id == OWN_SITE)).scalar_one()
        )
    steps = schema.plan(version)
    folder = store.dialect.folder(store.engine)
    backup = None
    if folder is not None and steps:
        database = str(store.engine.url.database)
        backup = _free(Path(f"{database}.before-{schema.HEAD}").absolute())
    done = Upgraded(
        before=version,
        after=schema.HEAD,
        steps=steps,
        backup=str(backup) if backup is not None else None,
        dump_command=store.dialect.dump_command(store.engine),
    )
    if not steps:
        return done
    with store.reading() as unit:
        integrity.refuse_workers(unit, "upgrade its store")
    if not dry_run:
        if backup is not None:
            _put_by(store, backup)
        schema.migrate(store)
    return done


def _free(path: Path) -> Path:
    """Return the path, numbered if it is taken: an upgrade that was cut short has left a copy there."""
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


def _put_by(store: Store, backup: Path) -> None:
    """The file as it is now is kept as `backup`, whole or not at all."""
    making = backup.with_name(f".{backup.name}.part")
    making.unlink(missing_ok=True)
    store.rights.make_file(making)
    with store.connected() as connection:
        store.dialect.copy_file(connection, making)
    making.rename(backup)
