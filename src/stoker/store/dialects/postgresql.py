"""PostgreSQL, by psycopg 3: many hosts, many writers."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event

from stoker.errors import StokerError, StoreGone, Unavailable, UserError
from stoker.store.dialects import server
from stoker.store.dialects.dialect import IS_EMPTY, SHUT, WAS_MOVED, BrokenOff
from stoker.store.dialects.server import BUSY, DOWN, LOCKED, REFUSES

_LOCK = 0x53544F4B45  # the advisory lock of all that writes, shared except for who is alone
_CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_WRITE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
    f"SELECT pg_advisory_xact_lock_shared({_LOCK}), {_CLOCK}"
)
_WRITE_ALONE = _WRITE.replace("_shared", "")
_AT_ONCE = "; SET LOCAL lock_timeout = '200ms'; "  # for who can do without the lock
_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT NULL, {_CLOCK}"

# By SQLSTATE, whole or its class: the first that holds. 23505: a rival inserted the same; look again.
_MEANINGS: tuple[tuple[frozenset[str], type[StokerError], str], ...] = (
    (frozenset({"40001", "40P01", "23505"}), BrokenOff, BUSY),
    (frozenset({"55P03"}), Unavailable, LOCKED),
    (frozenset({"28", "3D", "42501"}), UserError, REFUSES),
    (frozenset({"08", "53", "55", "57", "58", "25006", "25P03"}), Unavailable, DOWN),
)
_NO_TABLE = "42P01"


class PostgresqlDialect(server.ServerDialect):
    """PostgreSQL 14 or later, in READ COMMITTED with locked rows."""

    name = "postgresql"
    next_item_block = "SELECT nextval('item_block')"
    driver_errors: tuple[type[Exception], ...] = (psycopg.Error,)
    ask_connections: str | None = "SHOW max_connections"
    transactional_ddl = True

    def engine(self, url: str, *, password_file: str | None = None) -> Engine:
        """Return an engine on the database, which has to exist; TLS is as the URL's `sslmode` says."""
        engine = server.engine_for(
            url,
            extra="postgresql",
            password_file=password_file,
            arguments={
                "connect_timeout": server.CONNECT_TIMEOUT_S,
                "application_name": "stoker",
                "keepalives_idle": server.KEEPALIVE_IDLE_S,
                "keepalives_interval": server.KEEPALIVE_EVERY_S,
                "keepalives_count": server.KEEPALIVES,
                "tcp_user_timeout": server.UNACKED_S * 1000,
            },
        )
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
        """Begin and ask the clock in one exchange, under the lock that keeps who is alone apart."""
        text = _WRITE_ALONE if alone else _WRITE
        return _begin(cursor, text if waits else text.replace("; ", _AT_ONCE))

    def begin_read(self, cursor: Any) -> int:
        """Begin on a snapshot."""
        return _begin(cursor, _READ)

    def sever(self, driver: Any) -> None:
        """Shut its socket down."""
        server.shut_down(driver.fileno())

    def roll_back(self, cursor: Any) -> bool:
        """Undo the transaction, if the connection still lives."""
        connection = cursor.connection
        try:
            if connection.info.transaction_status != TransactionStatus.IDLE:
                cursor.execute("ROLLBACK")
        except psycopg.Error:
            return False
        return not connection.closed

    def lock_schema(self, cursor: Any) -> None:
        """Begin the transaction of the migration, alone."""
        _begin(cursor, _WRITE_ALONE)

    def unlock_schema(self, cursor: Any) -> None:
        """Undo what was not committed; the lock goes with it."""
        self.roll_back(cursor)

    def run_many(
        self, cursor: Any, text: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """The driver sends all of them before it waits for the first answer; one goes by itself."""
        if len(rows) == 1:
            cursor.execute(text, [rows[0][name] for name in names])
            return int(cursor.rowcount)
        cursor.executemany(text, [[row[name] for name in names] for row in rows])
        return int(cursor.rowcount)

    def translate(self, error: Exception) -> StokerError | None:
        """Tell what may be tried again from what a person must put right, by SQLSTATE."""
        original = getattr(error, "orig", error)
        if not isinstance(original, psycopg.Error):
            return None
        words = str(original).strip().partition("\n")[0]
        code = original.sqlstate
        if SHUT in words:
            return StoreGone(WAS_MOVED)
        if code is None:
            lost = isinstance(original, psycopg.OperationalError | psycopg.InterfaceError)
            if not lost:
                return None
            away = Unavailable(f"the store's database does not answer ({words})")
            return server.untrusted(words) or away
        for codes, kind, meaning in _MEANINGS:
            if {code, code[:2]} & codes:
                return kind(f"{meaning} ({words})")
        return StoreGone(IS_EMPTY.format(words)) if code == _NO_TABLE else None

    def shut(self, cursor: Any) -> None:
        """Every change is written in the journal; a constraint refuses its new rows."""
        cursor.execute(f"ALTER TABLE journal ADD CONSTRAINT {SHUT} CHECK (false) NOT VALID")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")

    def continue_ids(self, cursor: Any) -> None:
        """Bring the sequences behind the highest ids."""
        cursor.execute(
            "SELECT c.table_name FROM information_schema.columns c WHERE c.column_name = 'id' "
            "AND c.column_default LIKE 'nextval%' AND c.table_schema = current_schema()"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), "
                f"(SELECT coalesce(max(id), 0) + 1 FROM {table}), false)"
            )
        block = f"(SELECT coalesce(max(id), 0) / {server.ITEM_BLOCK} + 1 FROM item)"
        cursor.execute(f"SELECT setval('item_block', {block}, false)")

    def dump_command(self, engine: Engine) -> str:
        """`pg_dump`, which asks for the password, or takes it from `~/.pgpass`."""
        url = engine.url
        where = ["-h", url.host or "localhost", "-p", str(url.port or 5432)]
        who = ["-U", url.username] if url.username else []
        database = url.database or ""
        return shlex.join(["pg_dump", *where, *who, "-Fc", "-f", f"{database}.dump", database])

    def room(self, cursor: Any) -> dict[str, int]:
        """As the server counts."""
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        )
        return {str(name): int(size) for name, size in cursor.fetchall()}


def _begin(cursor: Any, text: str) -> int:
    cursor.execute(text, prepare=False)  # two statements in one text cannot be prepared
    while cursor.nextset():
        pass
    return int(cursor.fetchone()[1])


def _configure(connection: Any, _record: object) -> None:
    connection.execute(
        f"SET lock_timeout = '{server.LOCK_TIMEOUT_S}s';"
        f"SET statement_timeout = '{server.STATEMENT_TIMEOUT_S}s';"
        f"SET idle_in_transaction_session_timeout = '{server.IDLE_TIMEOUT_S}s';"
        "SET TimeZone = 'UTC'; SET jit = off",
        prepare=False,
    )
