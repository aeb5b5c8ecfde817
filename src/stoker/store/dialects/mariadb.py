"""MariaDB, by PyMySQL: many hosts, many writers."""

import functools
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import pymysql
from sqlalchemy import Engine, event

from stoker.errors import StokerError, StoreGone, Unavailable, UserError
from stoker.store.dialects import server
from stoker.store.dialects.dialect import IS_EMPTY, OWN_SITE, WAS_MOVED, BrokenOff
from stoker.store.dialects.server import BUSY, DOWN, LOCKED, REFUSES

_CLOCK = "CAST(unix_timestamp(sysdate(6)) * 1000000 AS SIGNED)"
# The row of this site is what all that writes locks, shared except for who is alone.
_WRITE = f"SELECT {_CLOCK}, set_aside FROM site WHERE id = {OWN_SITE} LOCK IN SHARE MODE"
_WRITE_ALONE = f"SELECT {_CLOCK}, set_aside FROM site WHERE id = {OWN_SITE} FOR UPDATE"
_SCHEMA_LOCK = "concat('stoker ', database())"

_GONE = {0, 1040, 1053, 1077, 1079, 1129, 1158, 1159, 1160, 1161, 1203, 1317, 1927, 1969}
_GONE |= {2002, 2003, 2006, 2013, 2014, 2026, 2055, 4031}
_AT_CONNECT = {2003, 2026}  # among them what is wrong with the server's certificate
_FULL = {1021, 1114, 1290, 1836}
_NO_ROOM = re.compile(
    r"(?i)\b(?:errno|errcode|error):? 28\b"
)  # ENOSPC, under any code of the server
# By the server's and the driver's codes. 1062: a rival inserted the same; look again.
_MEANINGS: tuple[tuple[frozenset[int], type[StokerError], str], ...] = (
    (frozenset({1213, 1020, 1062}), BrokenOff, BUSY),
    (frozenset({1205}), Unavailable, LOCKED),
    (frozenset({1044, 1045, 1049, 1142, 1698}), UserError, REFUSES),
    (frozenset(_GONE | _FULL), Unavailable, DOWN),
)
_NO_TABLE = 1146
_BY_KEY = "STRAIGHT_JOIN {} FORCE INDEX (PRIMARY)"
_PIECE = 500  # rows that one statement updates


class MariadbDialect(server.ServerDialect):
    """MariaDB 10.6 or later, in READ COMMITTED with locked rows."""

    name = "mariadb"
    next_item_block = "SELECT nextval(item_block)"
    driver_errors: tuple[type[Exception], ...] = (pymysql.Error,)
    ask_connections: str | None = "SELECT @@max_connections"
    transactional_ddl = False

    def engine(self, url: str, *, password_file: str | None = None) -> Engine:
        """Return an engine on the database, which has to exist; TLS is as the URL's `ssl_…` say."""
        engine = server.engine_for(
            url,
            extra="mariadb",
            password_file=password_file,
            arguments={
                "connect_timeout": server.CONNECT_TIMEOUT_S,
                "read_timeout": server.CONNECT_TIMEOUT_S,  # for the greeting; see `_configure`
                "charset": "utf8mb4",
            },
        )
        event.listen(engine, "do_connect", _encode_password)
        event.listen(engine, "do_connect", _arrange_tls)
        event.listen(engine, "connect", _configure)
        return engine

    def begin_write(
        self,
        cursor: Any,
        *,
        alone: bool,
        waits: bool = True,
        durable: bool = True,  # noqa: ARG002 - always, as workers outlive the server
    ) -> int:
        """Begin, and ask the clock while taking the lock that keeps who is alone apart."""
        cursor.execute("START TRANSACTION")
        cursor.execute((_WRITE_ALONE if alone else _WRITE) + ("" if waits else " NOWAIT"))
        return _clock(cursor)

    def begin_read(self, cursor: Any) -> int:
        """Begin on a snapshot."""
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT")
        cursor.execute(f"SELECT {_CLOCK}")
        return _clock(cursor)

    def sever(self, driver: Any) -> None:
        """Shut its socket down."""
        if driver.open:
            server.shut_down(driver._sock.fileno())  # noqa: SLF001 - PyMySQL has no name for it

    def roll_back(self, cursor: Any) -> bool:
        """Undo the transaction, if the connection still lives."""
        connection = cursor.connection
        if connection is None or not connection.open:
            return False
        try:
            cursor.execute("ROLLBACK")
        except pymysql.Error:
            return False
        return bool(connection.open)

    def lock_schema(self, cursor: Any) -> None:
        """Take a lock by name: a change of the schema ends every transaction."""
        cursor.execute(f"SELECT get_lock({_SCHEMA_LOCK}, {server.STATEMENT_TIMEOUT_S})")
        if cursor.fetchone()[0] != 1:
            raise Unavailable("another process has been changing the store's schema for too long")

    def unlock_schema(self, cursor: Any) -> None:
        """Let others change the schema; a connection that died has done so already."""
        with suppress(pymysql.Error):
            cursor.execute(f"SELECT release_lock({_SCHEMA_LOCK})")

    def run_many(
        self, cursor: Any, text: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """One statement for hundreds of rows: the driver would make a round trip of every update."""
        if len(rows) == 1:
            return int(cursor.execute(text, [rows[0][name] for name in names]))
        if not text.startswith("UPDATE "):
            cursor.executemany(text, [[row[name] for name in names] for row in rows])
            return int(cursor.rowcount)
        found = 0
        head, joined, tail, columns = _update_of_many(text, tuple(names))
        for at in range(0, len(rows), _PIECE):
            piece = rows[at : at + _PIECE]
            values = [[row[name] for name in columns] for row in piece]
            union = " UNION ALL ".join([head, *[joined] * (len(piece) - 1)])
            found += cursor.execute(f"UPDATE ({union}) {tail}", list(chain.from_iterable(values)))
        return found

    def translate(self, error: Exception) -> StokerError | None:
        """Tell what may be tried again from what a person must put right, by the server's codes."""
        original = getattr(error, "orig", error)
        if not isinstance(original, pymysql.Error):
            return None
        code = original.args[0] if original.args else None
        words = str(original.args[-1]) if original.args else type(original).__name__
        if code in _AT_CONNECT and (refused := server.untrusted(words)):
            return refused
        for codes, kind, meaning in _MEANINGS:
            if code in codes:
                return kind(f"{meaning} ({words})")
        if _NO_ROOM.search(words):
            return Unavailable(f"{DOWN} ({words})")
        if code == _NO_TABLE:
            return StoreGone(IS_EMPTY.format(words))
        return None if isinstance(code, int) else Unavailable(f"{DOWN} ({words})")

    def shut(self, cursor: Any) -> None:
        """The next writer reads in the site's row that the store was set aside."""
        cursor.execute("SET SESSION idle_transaction_timeout = 0")

    def continue_ids(self, cursor: Any) -> None:
        """Tables go on behind the highest id by themselves; the blocks of item ids do not."""
        cursor.execute(f"SELECT coalesce(max(id), 0) DIV {server.ITEM_BLOCK} + 1 FROM item")
        cursor.execute(f"SELECT setval(item_block, {int(cursor.fetchone()[0])}, 0)")

    def dump_command(self, engine: Engine) -> str:
        """`mariadb-dump`, which asks for the password."""
        url = engine.url
        where = ["-h", url.host or "localhost", "-P", str(url.port or 3306)]
        who = ["-u", url.username, "-p"] if url.username else []
        database, file = url.database or "", f"{url.database}.sql"
        return shlex.join(
            ["mariadb-dump", "--single-transaction", *where, *who, "-r", file, database]
        )

    def room(self, cursor: Any) -> dict[str, int]:
        """As the server counts; now and then."""
        cursor.execute(
            "SELECT table_name, data_length + index_length, data_free "
            "FROM information_schema.tables WHERE table_schema = database() "
            "AND table_type = 'BASE TABLE'"
        )
        rows = cursor.fetchall()
        sizes = {str(row[0]): int(row[1] or 0) for row in rows}
        return sizes | {"free": sum(int(row[2] or 0) for row in rows)}


def _clock(cursor: Any) -> int:
    row = cursor.fetchone()
    if row is None:  # a store that is just being made has no site yet
        cursor.execute(f"SELECT {_CLOCK}")
        row = cursor.fetchone()
    if any(set_aside is not None for set_aside in row[1:]):
        raise StoreGone(WAS_MOVED)
    return int(row[0])


@functools.cache
def _update_of_many(text: str, names: tuple[str, ...]) -> tuple[str, str, str, tuple[str, ...]]:
    """Take an update of one row apart, to join a table of values instead.

    The rows are named by their primary key: left to itself, the server reads all of a small table,
    and locks what others hold. Return the first row of that table, each further row, the rest of the statement, and which values
    a row has.
    """
    columns = tuple(dict.fromkeys(names))
    in_order = iter(names)
    whole = re.sub(r"%s", lambda _: f"given.{next(in_order)}_given", text)
    table, _, rest = whole.removeprefix("UPDATE ").partition(" SET ")
    head = "SELECT " + ", ".join(f"%s AS {name}_given" for name in columns)
    joined = "SELECT " + ", ".join(["%s"] * len(columns))
    assigned, _, where = rest.partition(" WHERE ")
    return head, joined, f"given {_BY_KEY.format(table)} SET {assigned} WHERE {where}", columns


def _encode_password(
    _dialect: object, _record: object, _arguments: object, more: dict[str, Any]
) -> None:
    """The server compares the password's UTF-8; the driver would send Latin-1."""
    for name in ("password", "passwd"):
        if isinstance(more.get(name), str):
            more[name] = more[name].encode()


def _arrange_tls(
    _dialect: object, _record: object, _arguments: object, more: dict[str, Any]
) -> None:
    """An authority in the URL is asked about the certificate and the host's name; `ssl=true`: nobody is.

    SQLAlchemy hands over the authority in a way in which the driver forgets it where the URL says
    besides that it be asked.
    """
    if more.get("ssl") == "true":
        more["ssl"] = {"ca": None}
    if isinstance(more.get("ssl"), dict) and more["ssl"].get("ca"):
        for name in ("ssl_verify_cert", "ssl_verify_identity"):
            more.pop(name, None)


def _configure(connection: Any, _record: object) -> None:
    connection._read_timeout = server.STATEMENT_TIMEOUT_S + server.CONNECT_TIMEOUT_S  # noqa: SLF001 - no other way to it once connected
    with suppress(AttributeError, OSError):  # a Unix socket has none of it
        wire = connection._sock  # noqa: SLF001 - PyMySQL offers no other way to notice a cut cable
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, server.KEEPALIVE_IDLE_S)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, server.KEEPALIVE_EVERY_S)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, server.KEEPALIVES)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, server.UNACKED_S * 1000)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
            "time_zone = '+00:00', "
            "in_predicate_conversion_threshold = 0, "  # a thousand ids would be joined, without an index
            f"innodb_lock_wait_timeout = {server.LOCK_TIMEOUT_S}, "
            f"lock_wait_timeout = {server.LOCK_TIMEOUT_S}, "
            f"max_statement_time = {server.STATEMENT_TIMEOUT_S}, "
            f"idle_transaction_timeout = {server.IDLE_TIMEOUT_S}"
        )
