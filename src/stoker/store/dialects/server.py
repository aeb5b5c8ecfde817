"""What the databases on servers have in common: their address, the password, broken connections."""

import os
import re
import socket
from contextlib import suppress
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from stoker.errors import Refused, UserError
from stoker.spec.credentials import expanded, password_in

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 30
STATEMENT_TIMEOUT_S = 900  # tasks of a new step for millions of items are one statement
IDLE_TIMEOUT_S = 120  # a transaction that nobody goes on with holds everybody up
# A peer that is gone without a word (a cut cable, a rebooted router) is noticed after eight seconds:
# early enough in a worker's lease of twenty to try anew.
KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVES, UNACKED_S = 4, 2, 2, 8

# What a user reads, before the server's own words.
BUSY = "others changed the same rows of the store, again and again; try again"
LOCKED = f"somebody has locked the store's tables for over {LOCK_TIMEOUT_S} s; try again"
REFUSES = "the store's database refuses"
DOWN = "the store's database does not serve now; try again"

ITEM_BLOCK = 2_048  # item ids that one number of the sequence stands for

_UNTRUSTED = re.compile(r"(?i)certificate|SSL (was|is) required|does not match host name")


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
    """Whoever waits on this socket is told that the other side has gone; the socket stays open."""
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _resolved(url: str, password_file: str | None) -> URL:
    """Return the URL with its `${NAME}` from the environment, and the password from its file."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(
            "`[store] url` is no URL; write `SCHEME://USER@HOST/DATABASE`, and `%40` for an `@` in "
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
