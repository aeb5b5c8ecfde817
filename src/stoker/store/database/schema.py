"""The store's schema and its version: making it, and bringing it up by Alembic's migrations.

Opening a store makes the tables of an empty one, and changes no other: a store of an earlier release
is brought up when somebody asks for it, having seen the plan.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import DBAPIError

from stoker.errors import NotFound, Refused
from stoker.store.unit import translated

if TYPE_CHECKING:
    from stoker.store.unit import Store

HEAD = "0011"  # the newest migration; a test holds that it is
MIGRATIONS = Path(__file__).parents[1] / "migrations"
COPYING = "copying"  # stands for a version while a copy is being made, so that nobody opens it
_one_at_a_time = Lock()  # Alembic keeps what it works on in global variables


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One step of the schema: its number, and what it does in one sentence."""

    number: str
    text: str


def bring_up(store: "Store", *, create: bool = True) -> None:
    """Make the tables of an empty store. Returns at once where they are as this release needs them.

    Without `create` NotFound for an empty one.

    A migration is one transaction with the note of its version, so that a crash leaves all or
    nothing; where the database cannot do that, a migration that was cut short can be run again.
    Processes that come at once wait for the first to be through. Refused for a store of another
    release, and for one that is only half copied.
    """
    version = version_in(store)
    if version == HEAD:
        return
    if version is not None:
        refuse_version(store, version)
    if not create:
        raise NotFound(
            f"there is no store at `{store.url}` yet; `stoker push` or `stoker run` makes it"
        )
    migrate(store)


def refuse_version(store: "Store", version: str) -> None:
    """Raise Refused with the remedy: the store is not of this release."""
    if version == COPYING:
        raise Refused(
            f"the copy into `{store.url}` was not finished; run `stoker store copy` or "
            "`stoker store restore` again, or delete it"
        )
    if is_earlier(version):
        raise Refused(
            f"the store `{store.url}` is of an earlier release of Stoker (schema {version}, this "
            f"release needs {HEAD}); `stoker store upgrade` shows what that changes, and does it"
        )
    raise Refused(
        f"the store `{store.url}` is of a later release of Stoker than this one (schema {version}, "
        f"this release knows {HEAD}); install that release here"
    )


def is_earlier(version: str) -> bool:
    """Whether this release can bring up a store of that version."""
    return version.isdecimal() and version < HEAD


def version_in(store: "Store") -> str | None:
    """Return the version noted in the store; None for an empty one. Makes nothing."""
    if not store.dialect.exists(store.engine):
        return None  # to look into a file would make it
    with translated(store.dialect), store.connected() as connection:
        return _version(connection)


def _version(connection: Connection) -> str | None:
    """Return the version by one question, as every command begins with it; more only if that fails."""
    asked = "SELECT version_num FROM alembic_version"
    try:
        row = connection.exec_driver_sql(asked).one_or_none()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        if not inspect(connection).has_table("alembic_version"):
            return None
        row = connection.exec_driver_sql(asked).one_or_none()  # somebody has just made it
    return row[0] if row else None


def note_version(store: "Store", version: str) -> None:
    """The store says that it is of this version; its tables stay as they are."""
    with store.writing() as unit:
        unit.cursor.execute(f"UPDATE alembic_version SET version_num = '{version}'")


def plan(version: str | None) -> list[Revision]:
    """Return the steps from that version to this release's, in order."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(MIGRATIONS))
    steps = [
        Revision(number=script.revision, text=(script.doc or "").partition("\n")[0])
        for script in scripts.walk_revisions()
    ]
    return [step for step in reversed(steps) if version is None or step.number > version]


def migrate(store: "Store") -> None:
    """Bring the schema to this release's; nothing happens where another process has just done so."""
    from alembic import command

    store.dialect.make(store.rights)
    with _one_at_a_time, translated(store.dialect), _configured(store) as config:
        command.upgrade(config, "head")


@contextmanager
def _configured(store: "Store") -> Iterator[Any]:
    """Yield Alembic's configuration while no other process changes the schema."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.connect() as connection:
        driver = connection.connection.driver_connection
        if driver is None:
            return
        cursor = driver.cursor()
        store.dialect.lock_schema(cursor)
        try:
            config.attributes["connection"] = connection
            config.attributes["transactional_ddl"] = store.dialect.transactional_ddl
            yield config
        finally:
            store.dialect.unlock_schema(cursor)
