"""Bringing a store's schema to this release's version, by Alembic's migrations."""

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect

from stoker.errors import Refused
from stoker.store.unit import translated

if TYPE_CHECKING:
    from stoker.store.connect import Store

HEAD = "0001"  # the newest migration; a test holds that it is
_one_at_a_time = Lock()  # Alembic keeps what it works on in global variables


def bring_up(store: "Store") -> None:
    """Make the schema what this release needs. Returns at once where it already is.

    Each migration is one transaction with the note of its version, so that a crash leaves the store
    at one version or the next; where the database cannot do that, a migration that was cut short
    can be run again. Processes that come at once wait for the first to be through.
    """
    with translated(store.dialect):
        with store.engine.connect() as connection:
            if version_of(connection) == HEAD:
                return
        with _one_at_a_time:
            _upgrade(store)


def version_of(connection: Connection) -> str | None:
    """Return the version noted in the store; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").one_or_none()
    return row[0] if row else None


def _upgrade(store: "Store") -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with store.engine.connect() as connection:
        driver = connection.connection.driver_connection
        if driver is None:
            return
        cursor = driver.cursor()
        store.dialect.lock_schema(cursor)
        try:
            config.attributes["connection"] = connection
            config.attributes["transactional_ddl"] = store.dialect.transactional_ddl
            command.upgrade(config, "head")
        except CommandError as error:
            raise Refused(
                f"the store is of a later release of Stoker than this one ({error}); "
                "install that release here"
            ) from error
        finally:
            store.dialect.unlock_schema(cursor)
