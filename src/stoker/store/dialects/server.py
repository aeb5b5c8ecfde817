"""What the databases on servers have in common: their address, the password, broken connections."""

import os
import re
import socket
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from stoker.errors import Bug, Refused, UserError
from stoker.rights import Rights
from stoker.spec.credentials import expanded, password_in

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 30
STATEMENT_TIMEOUT_S = 900  # tasks of a new step for millions of items are one statement
IDLE_TIMEOUT_S = 120  # a transaction that nobody goes on with holds everybody up
# A peer that is gone without a word (a cut cable, a rebooted router) is noticed after eight seconds:
# early enough in a worker's lease of twenty to try again.
KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVES, UNACKED_S = 4, 2, 2, 8

# What a user reads, before the server's own words.
BUSY = "others changed the same rows of the store, again and again; try again"
LOCKED = f"somebody has locked the store's tables for over {LOCK_TIMEOUT_S} s; try again"
REFUSES = "the store's database refuses"
DOWN = "the store's database does not serve now; try again"

ITEM_BLOCK = 2_048  # item ids that one number of the sequence stands for

_UNTRUSTED = re.compile(r"(?i)certificate|SSL (was|is) required|does not match host name")


class ServerDialect:
    """What holds for every database on a server: the questions of `Dialect` that concern files and hosts.

    A server keeps its own files and queues, so that little is asked of it. Each kind of server answers the
    rest; `next_item_block` is its query for the next number of the sequence.
    """

    placeholder = "%s"
    locks_rows = True
    is_one_host = False
    next_item_block: str

    def make(self, rights: Rights) -> None:
        """The server's administrator makes databases."""

    def exists(self, engine: Engine) -> bool:  # noqa: ARG002 - SQLite asks it
        """The database is there, or connecting to it raises."""
        return True

    def folder(self, engine: Engine) -> None:
        """On the server."""

    def give_way(self) -> None:
        """Locks are of rows, and the server has queues for them."""

    def note_held(self, held_s: float) -> None:
        """No matter for how long."""

    def end_read(self, cursor: Any) -> None:
        """The snapshot is given up."""
        cursor.execute("COMMIT")

    def sparing(self, cursor: Any) -> AbstractContextManager[None]:  # noqa: ARG002 - SQLite asks it
        """The store is in the server's memory, not in this process's."""
        return nullcontext()

    def reserve_item_ids(self, cursor: Any, n: int) -> int:
        """A number of the sequence stands for a block of ids, of which some are never used."""
        if n > ITEM_BLOCK:
            raise Bug(f"{n} item ids were asked for at once")
        cursor.execute(self.next_item_block)
        return int(cursor.fetchone()[0]) * ITEM_BLOCK

    def copy_file(self, connection: Connection, path: Path) -> bool:  # noqa: ARG002 - SQLite has one
        """It has none."""
        return False

    def give_back(self, connection: Connection) -> bool:  # noqa: ARG002 - SQLite's is one
        """The server makes room for new rows by itself."""
        return False

    def quick_check(self, connection: Connection) -> list[str]:  # noqa: ARG002 - SQLite asks it
        """The server looks after its files."""
        return []

    def keep_open(self, driver: Any) -> None:
        """Closing does no harm."""

    def checkpoint(self, connection: Connection) -> None:
        """The server does its own."""


def engine_for(
    url: str, *, extra: str, password_file: str | None, arguments: dict[str, Any]
) -> Engine:
    """Return an engine on a server's database; UserError where its URL cannot be used.

    Transactions are begun and ended by the store, on connections that commit each statement.
    """
    try:
        return create_engine(
            _resolved(url, password_file),
            poolclass=NullPool,  # `Connections` is one
            paramstyle="format",
            isolation_level="AUTOCOMMIT",
            connect_args=arguments,
        )
    except ModuleNotFoundError as error:
        raise UserError(
            f"the store's database needs `{error.name}`, which is not installed: "
            f"`pip install 'stoker[{extra}]'`"
        ) from None
    except NoSuchModuleError:
        scheme = url.partition("://")[0]
        raise UserError(
            f"`[store] url` begins with `{scheme}`; write the one for {extra}"
        ) from None


def untrusted(words: str) -> Refused | None:
    """Return what to tell where the server is not the one that the URL asks for, or not encrypted."""
    if _UNTRUSTED.search(words) is None:
        return None
    return Refused(
        f"the store's server is not trusted ({words}): its certificate has to be vouched for by the "
        "authority that `[store] url` names, be for that host, and encryption be on there"
    )


def shut_down(descriptor: int) -> None:
    """A thread that waits on this socket sees that the other side has gone; the socket stays open."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _resolved(url: str, password_file: str | None) -> URL:
    """Return the URL with its `${NAME}` from the environment, and the password from its file."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(
            "`[store] url` is not a URL; write `SCHEME://USER@HOST/DATABASE`, and `%40` for an `@` in "
            "a name"
        ) from None
    parts = {
        name: expanded(value, of="`[store] url`")
        for name in ("username", "password", "host", "database")
        if isinstance(value := getattr(found, name), str)
    }
    if password_file is not None:
        parts["password"] = password_in(password_file, of="the store")
    query = {
        name: expanded(value, of="`[store] url`") if isinstance(value, str) else value
        for name, value in found.query.items()
    }
    return found.set(query=query, **parts)  # type: ignore[arg-type]  # the port, a number, is none of them
