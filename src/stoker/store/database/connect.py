"""Opening a store: the connection, the schema's version, and which site this is."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import select

from stoker.errors import Refused
from stoker.rights import ACCESS
from stoker.store import tables
from stoker.store.database import schema
from stoker.store.dialects import dialect_for
from stoker.store.dialects.dialect import OWN_SITE
from stoker.store.unit import Store, as_a_whole


def open_store(
    url: str,
    *,
    site_name: str = "",
    create: bool = True,
    folder: str | None = None,
    password_file: str | None = None,
    access: str = "private",
) -> Store:
    """Return the store at `url`, made or brought to this release's schema if need be.

    NotFound where there is none and `create` is false. Refused where the file belongs to another
    host, or was written by a later release. `folder` is where this host keeps logs and scratch of a
    store on a server. `access` says who may read and write what is made here: `private` or `group`.
    """
    store = _store(url, folder=folder, password_file=password_file, access=access)
    try:
        store.rights.take_effect(store.folder)
        schema.bring_up(store, create=create)
        _identify(store, site_name)
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def bare(
    url: str,
    *,
    folder: str | None = None,
    password_file: str | None = None,
    access: str = "private",
) -> Iterator[Store]:
    """Yield the store at `url` as it is, for the verbs that make, change and move stores themselves.

    Neither its schema nor whose it is has been looked at, and nothing has been made.
    """
    store = _store(url, folder=folder, password_file=password_file, access=access)
    try:
        yield store
    finally:
        store.close()


def _store(url: str, *, folder: str | None, password_file: str | None, access: str) -> Store:
    rights = ACCESS[access]
    return Store(url, dialect_for(url), folder=folder, password_file=password_file, rights=rights)


@contextmanager
def opened(url: str, *, site_name: str = "") -> Iterator[Store]:
    """`open_store` as a block, closing at its end."""
    store = open_store(url, site_name=site_name)
    try:
        yield store
    finally:
        store.close()


def machine() -> str:
    """Return what identifies this host: its machine id where there is one, else its name."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            found = Path(path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found
    return socket.gethostname()


MOVED, BACKUP = "moved to ", "backup of "  # how `site.set_aside` begins


def aside(store: Store, said: str) -> str:
    """Return what to tell who opens a store that is not to be worked on any more, or not yet."""
    if said.startswith(BACKUP):
        return (
            f"`{store.url}` is a backup, made {said.removeprefix(BACKUP)}; `stoker store restore` "
            "makes the project's store from it"
        )
    return (
        f"the store `{store.url}` was moved to `{said.removeprefix(MOVED)}`: set `[store] url` to "
        "that; here nothing is recorded any more"
    )


@as_a_whole
def _identify(store: Store, site_name: str) -> None:
    """Learn which site this is, making it known in a new store; refuse another host's file."""
    own = tables.site
    with store.reading() as unit:
        row = unit.execute(select(own).where(own.c.id == OWN_SITE)).one_or_none()
    if row is None:
        with store.writing(alone=True) as unit:
            row = unit.execute(select(own).where(own.c.id == OWN_SITE)).one_or_none()
            if row is None:
                unit.execute(
                    own.insert().values(
                        id=OWN_SITE,
                        uid=str(uuid4()),
                        name=site_name or socket.gethostname(),
                        epoch=1,
                        machine=machine(),
                        path=os.fsencode(store.folder),
                        created_us=unit.now_us,
                    )
                )
                unit.execute(tables.head.insert().values(origin=OWN_SITE, epoch=1, seq=0))
            uid = unit.execute(select(own.c.uid).where(own.c.id == OWN_SITE)).scalar_one()
        store.identity.uid = uid
        return
    store.site, store.epoch, store.identity.uid = row.id, row.epoch, row.uid
    if row.set_aside is not None:
        raise Refused(aside(store, row.set_aside))
    refuse_foreign(store, row.machine)


def refuse_foreign(store: Store, of_machine: str) -> None:
    """Raise Refused where the store is a file that belongs to another machine than this one."""
    if of_machine != machine() and store.dialect.is_one_host:
        raise Refused(
            f"the store `{store.url}` belongs to another host: SQLite serves one host only. "
            "Run Stoker there, put the store on a database server, or, if the file was moved "
            "here for good, say so with `stoker doctor --moved`"
        )
