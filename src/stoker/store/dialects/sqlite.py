"""SQLite: one file, one host, one writer at a time, no service to administer."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import make_url

from stoker.errors import Refused, StokerError, StoreGone, Unavailable
from stoker.rights import Rights
from stoker.spec.file_systems import NETWORK_FILE_SYSTEMS, file_system_of
from stoker.store.dialects import turns
from stoker.store.dialects.dialect import IS_EMPTY, SHUT, WAS_MOVED
from stoker.store.dialects.holder import stopped_holder
from stoker.store.dialects.sqlite_file import CHANGED, SqliteFile, never_close, read_only

BUSY_TIMEOUT_MS = 30_000
GLANCE_MS = 200  # that somebody waits for the write lock who can do without it
CHECKPOINT_PAGES = 16_000  # a checkpoint every 1,000 pages costs p99.9 of 5 ms; the janitor does it
GIVE_BACK_PAGES = 2_000  # 8 MB: some 10 ms
KEPT_PAGES = 1_000
_CACHE_KIB = 64_000
_SPARING_KIB = 8_000  # of a read of everything, which meets most pages once

# By SQLite's own words: the first that holds. They stand for `{}`.
_MEANINGS: tuple[tuple[tuple[str, ...], type[StokerError], str], ...] = (
    ((SHUT,), StoreGone, WAS_MOVED),
    (
        ("locked", "busy"),
        Unavailable,
        (
            "another process has held the store's lock for more than "
            f"{BUSY_TIMEOUT_MS // 1000} s; find it with `fuser` on the store's file, and try again"
        ),
    ),
    (("full",), Unavailable, "the store cannot grow ({}); make room on its disk"),
    (
        ("unable to open",),
        Unavailable,
        (
            "the store cannot be opened ({}): check the rights of its file, of its `-wal` and "
            "`-shm`, and of its folder"
        ),
    ),
    (("no such table",), StoreGone, IS_EMPTY),
    ((CHANGED,), Unavailable, "{}; try again"),
    (
        ("disk I/O", "malformed", "not a database"),
        Unavailable,
        "the store cannot be read ({}): is its disk full, or the file damaged? `stoker doctor` says which",
    ),
)


class SqliteDialect:
    """SQLite in WAL mode; a commit survives any kill, and a durable one, with all before it, is on disk."""

    name = "sqlite"
    placeholder = "?"
    driver_errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    locks_rows = False
    ask_connections: str | None = None
    is_one_host = True
    transactional_ddl = True
    _file = SqliteFile(Path())

    def __init__(self) -> None:
        self._own = threading.local()  # of the thread's last transaction

    def engine(self, url: str, *, password_file: str | None = None) -> Engine:  # noqa: ARG002 - a file has none
        """Return an engine on the file in `url`, which `make` makes."""
        database = make_url(url).database
        if not database or database == ":memory:":
            raise Refused(f"`{url}` names no file; a store in memory would lose everything")
        file = self._file = SqliteFile(Path(database))
        refuse_network(file.path)
        engine = create_engine(
            url,
            poolclass=NullPool,  # `Connections` is one
            creator=lambda: file.connect(BUSY_TIMEOUT_MS / 1000),
        )
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _leave_to_store)
        return engine

    def make(self, rights: Rights) -> None:
        """The file, and the folder for it."""
        self._file.make(rights)

    def exists(self, engine: Engine) -> bool:  # noqa: ARG002 - servers are asked by it
        """Whether the file exists."""
        return self._file.exists()

    def folder(self, engine: Engine) -> Path:  # noqa: ARG002 - as above
        """The folder of the file."""
        return self._file.path.absolute().parent

    def begin_write(
        self,
        cursor: Any,
        *,
        alone: bool,  # noqa: ARG002 - it always is
        waits: bool = True,
        durable: bool = True,
    ) -> int:
        """Take the one write lock at once, so that no transaction fails half-way for it."""
        self._file.check()
        level = "FULL" if durable else "NORMAL"  # of the log at each commit, or at a later one
        if level != cursor.connection.level:
            cursor.execute(f"PRAGMA synchronous = {level}")
            cursor.connection.level = level
        limit_ms = BUSY_TIMEOUT_MS if waits else GLANCE_MS
        turns.begin(cursor, self._file.path.parent, limit_s=limit_ms / 1000)
        return time.time_ns() // 1000

    def give_way(self) -> None:
        """There is one lock for all: a process that held it for long lets those that wait go first."""
        held_s, self._own.held_s = getattr(self._own, "held_s", 0.0), 0.0
        if held_s > turns.LONG_S:
            turns.give_way(self._file.path.parent)

    def note_held(self, held_s: float) -> None:
        """Remember it for this thread."""
        self._own.held_s = held_s

    def begin_read(self, cursor: Any) -> int:
        """Begin on a snapshot; writers go on beside it."""
        self._file.check()
        self._file.check_frozen(cursor.connection)
        cursor.execute("BEGIN DEFERRED")
        return time.time_ns() // 1000

    def end_read(self, cursor: Any) -> None:
        """A file that is read without a lock may have been changed meanwhile."""
        cursor.execute("COMMIT")
        self._file.check_frozen(cursor.connection)

    @contextmanager
    def sparing(self, cursor: Any) -> Iterator[None]:
        """The cache is an eighth of what it is otherwise: its pages are in the kernel's, too."""
        driver = cursor.connection
        driver.execute(f"PRAGMA cache_size = -{_SPARING_KIB}")
        driver.execute("PRAGMA shrink_memory")
        try:
            yield
        finally:
            driver.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")

    def sever(self, driver: Any) -> None:
        """Nothing far away answers here."""

    def roll_back(self, cursor: Any) -> bool:
        """SQLite has rolled back by itself where the disk was full."""
        if cursor.connection.in_transaction:
            cursor.execute("ROLLBACK")
        try:
            self._file.check_frozen(cursor.connection)
        except (OSError, sqlite3.Error):
            return False
        return True

    def lock_schema(self, cursor: Any) -> None:
        """The write lock."""
        cursor.execute("BEGIN IMMEDIATE")

    def unlock_schema(self, cursor: Any) -> None:
        """Undo what was not committed; the lock goes with it."""
        self.roll_back(cursor)

    def run_many(
        self, cursor: Any, text: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """The driver's own loop, which compiles the statement once."""
        cursor.executemany(text, [[row[name] for name in names] for row in rows])
        return int(cursor.rowcount)

    def reserve_item_ids(self, cursor: Any, n: int) -> int:  # noqa: ARG002 - servers count on
        """Behind the last item: the transaction is the only one that writes."""
        cursor.execute("SELECT coalesce(max(id), 0) + 1 FROM item")
        return int(cursor.fetchone()[0])

    def translate(self, error: Exception) -> StokerError | None:
        """Full disks, locks and unreadable files are distinguished; all may be tried again."""
        original = getattr(error, "orig", error)
        if not isinstance(original, sqlite3.Error):
            return None
        words = str(original)
        if "readonly" in words:
            return Refused(read_only(self._file.path))
        for said, kind, meaning in _MEANINGS:
            if any(one in words for one in said):
                holder = stopped_holder(self._file.path) if "locked" in said else None
                return kind(holder or meaning.format(words))
        return None

    def shut(self, cursor: Any) -> None:
        """Every change is written in the journal; a trigger refuses its rows."""
        cursor.execute(
            f"CREATE TRIGGER {SHUT} BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, '{SHUT}'); END"
        )

    def continue_ids(self, cursor: Any) -> None:
        """SQLite always goes on behind the highest."""

    def copy_file(self, connection: Connection, path: Path) -> bool:
        """SQLite's own online backup, in one step, so that no writer makes it begin again."""
        with closing(sqlite3.connect(path)) as copy:
            driver: Any = connection.connection.driver_connection
            driver.backup(copy)
        return True

    def dump_command(self, engine: Engine) -> None:
        """`stoker store backup` is SQLite's own."""

    def room(self, cursor: Any) -> dict[str, int]:
        """As SQLite counts pages; without its table of them, only the whole is known."""

        def pragma(name: str) -> int:
            return int(cursor.execute(f"PRAGMA {name}").fetchone()[0])

        size = pragma("page_size")
        free = {"free": pragma("freelist_count") * size}
        try:
            rows = cursor.execute(
                "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_schema m "
                "ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY m.tbl_name"
            ).fetchall()
        except sqlite3.Error:
            return {"all": pragma("page_count") * size - free["free"], **free}
        return {str(name): int(taken) for name, taken in rows} | free

    def give_back(self, connection: Connection) -> bool:
        """A few free pages stay, for the rows to come."""
        before = _pragma(connection, "freelist_count")
        if before < KEPT_PAGES:
            return False
        driver: Any = connection.connection.driver_connection
        # The driver takes one step of a statement without rows, which gives one page back.
        driver.executescript(f"PRAGMA incremental_vacuum({GIVE_BACK_PAGES})")
        return KEPT_PAGES <= _pragma(connection, "freelist_count") < before

    def quick_check(self, connection: Connection) -> list[str]:
        """What SQLite's own check says; it reads the whole file."""
        rows = connection.exec_driver_sql("PRAGMA quick_check(5)").fetchall()
        return [str(row[0]) for row in rows if row[0] != "ok"]

    def keep_open(self, driver: Any) -> None:
        """Closing it could harm the file that has taken the place of its own."""
        never_close(driver)

    def checkpoint(self, connection: Connection) -> None:
        """Move what the write-ahead log holds into the file, without waiting for anyone."""
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def _pragma(connection: Connection, name: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by the store, never by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    is_new = cursor.execute("PRAGMA page_count").fetchone()[0] == 0
    if is_new:  # in any other file this would be a write that changes nothing
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.close()


def _leave_to_store(_connection: Connection) -> None:
    """The store begins transactions itself; SQLAlchemy's own notice of one does nothing."""


def refuse_network(path: Path) -> None:
    """Raise Refused if `path` is on a network file system, where SQLite's locks do not hold."""
    kind = file_system_of(path.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise Refused(
            f"the store `{path}` would be on a network file system (`{kind}`), where SQLite can "
            "lose data; set `[store] url` to a path on a local disk of one host, or to a database server. "
            "If it is there already: stop all that uses it, move the file with its `-wal` to a "
            "local disk, and go on from there"
        )
