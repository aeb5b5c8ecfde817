"""Throw-away database servers, from the installed binaries, one of each kind for a test process.

A server starts when the first test asks for it, on a free port of the loopback, and dies with the
thread that started it. Nothing is flushed to the disk; a commit survives the death of the server.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

import disks

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Server:
    """One server: its folder, its port and its process.

    With `disk_mb` its folder is a file system of its own with that much room.
    """

    kind: str
    account: str
    stop_signal: int
    for_a_small_disk: Sequence[str]  # arguments with which its logs leave room on one
    begin_reading: str  # begins a transaction that sees one state of the database until its end
    sessions: str  # the query for the numbers of the connections to a database, but for its own
    end_session: str  # the statement that ends one

    def __init__(
        self,
        *,
        memory_mb: int = 64,
        connections: int = 120,
        more: Sequence[str] = (),
        disk_mb: int | None = None,
    ) -> None:
        self.memory_mb, self.connections = memory_mb, connections
        self.more = [*more, *(self.for_a_small_disk if disk_mb is not None else ())]
        self.folder = Path(tempfile.mkdtemp(prefix=f"stoker-{self.kind}-"))
        self.is_mounted = disk_mb is not None and disks.mount(self.folder, f"size={disk_mb}m")
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.account)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._made: Any = None
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def is_up(self) -> bool:
        """Whether it answers."""
        raise NotImplementedError

    def connect(self, database: str | None = None) -> Any:
        """Return a connection of the administrator's, which commits each statement."""
        raise NotImplementedError

    def execute(self, *statements: str, database: str | None = None) -> None:
        """Execute statements as the administrator."""
        with closing(self.connect(database)) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def url(self, database: str) -> str:
        """The URL of a database."""
        raise NotImplementedError

    def dump(self, database: str) -> bytes:
        """Return all of a database as statements, in words that other releases of the server know."""
        raise NotImplementedError

    def load(self, database: str, statements: bytes) -> str:
        """The URL of a new database with what `dump` returned."""
        raise NotImplementedError

    def start(self) -> None:
        """It answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, **self._as_account(),
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one call, which takes no lock
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self.is_up():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not start:\n{self.log()}")
            time.sleep(0.02)

    @property
    def is_running(self) -> bool:
        """Whether its process lives; a full disk may have ended it."""
        return self.process is not None and self.process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Return its processes: first the one that takes new connections, then those below it."""
        if self.process is None or not self.is_running:
            return []
        listener = psutil.Process(self.process.pid)
        return [listener, *listener.children(recursive=True)]

    def kill(self) -> None:
        """It is gone, as by a power cut."""
        assert self.process is not None
        below = self.processes()[1:]
        self.process.kill()
        self.process.wait(30)
        for one in below:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(below, timeout=30)

    def stop(self) -> None:
        """It has ended in order, its clients thrown out; one that will not is killed."""
        if not self.is_running:
            return
        assert self.process is not None
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """It is gone, and its folder."""
        self.stop()
        if self.is_mounted:
            disks.unmount(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """The end of what it said."""
        with suppress(OSError):
            return (self.folder / "server.log").read_text(errors="replace")[-4000:]
        return ""

    def new_database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.execute(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
        return self.url(name)

    def with_password(self, password: str) -> str:
        """The URL of a database for the user `lab`, who has that password; `PASSWORD` stands for it."""
        raise NotImplementedError

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False,
            **self._as_account(),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def _as_account(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        found = pwd.getpwnam(self.account)
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def die_with_parent() -> None:
    """The process about to start is killed with the thread that starts it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Postgresql(Server):
    """PostgreSQL, which refuses to run as root."""

    kind, account, stop_signal = "postgresql", "postgres", signal.SIGINT
    for_a_small_disk = ("-c", "max_wal_size=48MB", "-c", "min_wal_size=32MB")
    begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    sessions = "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"
    end_session = "SELECT pg_terminate_backend({})"

    @staticmethod
    def find(program: str) -> str | None:
        """The newest installed one."""
        versions = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        path = [*versions, *os.environ.get("PATH", "").split(":")]
        return shutil.which(program, path=":".join(path))

    @classmethod
    def is_installed(cls) -> bool:
        """Whether there is one to start."""
        return None not in (cls.find("initdb"), cls.find("postgres"))

    def _prepare(self) -> None:
        initdb = str(self.find("initdb"))
        self._run(
            initdb, "-D", f"{self.folder}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        rules = self.folder / "data" / "pg_hba.conf"
        guarded = "host all lab 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(guarded + rules.read_text())

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": str(self.connections),
            "shared_buffers": f"{self.memory_mb}MB",
            "autovacuum_naptime": "5s",
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [
            str(self.find("postgres")), "-D", f"{self.folder}/data", "-p", str(self.port), *given,
            *self.more,
        ]  # fmt: skip

    def is_up(self) -> bool:
        import psycopg

        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str | None = None) -> Any:
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user=postgres dbname={database or 'postgres'}"
        return psycopg.connect(where, autocommit=True)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def dump(self, database: str) -> bytes:
        to = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        pg_dump = [str(self.find("pg_dump")), "--inserts", "--no-owner", "--no-privileges"]
        made = subprocess.run([*pg_dump, *to, database], check=True, capture_output=True).stdout
        news = (b"\\restrict", b"\\unrestrict", b"SET transaction_timeout")
        return b"".join(line for line in made.splitlines(True) if not line.startswith(news))

    def load(self, database: str, statements: bytes) -> str:
        url = self.new_database(database)
        to = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        psql = [str(self.find("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull]
        subprocess.run([*psql, *to, database], input=statements, check=True, capture_output=True)
        return url

    def new_store(self, make: Callable[[str], None]) -> str:
        """The URL of a database with an empty store, copied from the first that `make` made."""
        if self._databases == 0:
            make(self.new_database("template"))
        self._databases += 1
        name = f"copy{self._databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template")
        return self.url(name)

    def with_password(self, password: str) -> str:
        url = self.new_database("guarded")
        self.execute(
            "DROP ROLE IF EXISTS lab", f"CREATE ROLE lab LOGIN SUPERUSER PASSWORD '{password}'"
        )
        return url.replace("postgres@", "lab:PASSWORD@")


class Mariadb(Server):
    """MariaDB."""

    kind, account, stop_signal = "mariadb", "mysql", signal.SIGTERM
    for_a_small_disk = ("--innodb-log-file-size=8M",)
    begin_reading = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"
    sessions = (
        "SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> connection_id()"
    )
    end_session = "KILL CONNECTION {}"

    @staticmethod
    def find(program: str) -> str | None:
        """The installed one."""
        return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/libexec")

    @classmethod
    def is_installed(cls) -> bool:
        """Whether there is one to start."""
        return None not in (cls.find("mariadb-install-db"), cls.find("mariadbd"))

    def _prepare(self) -> None:
        self._run(
            str(self.find("mariadb-install-db")), "--no-defaults", f"--datadir={self.folder}/data",
            "--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={self.folder}",
        )  # fmt: skip

    def _command(self) -> list[str]:
        return [
            str(self.find("mariadbd")), "--no-defaults", f"--datadir={self.folder}/data",
            "--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self.folder}/sock",
            f"--pid-file={self.folder}/pid", f"--tmpdir={self.folder}", "--skip-name-resolve",
            "--innodb-flush-log-at-trx-commit=2", f"--innodb-buffer-pool-size={self.memory_mb}M",
            "--innodb-flush-method=nosync", "--innodb-doublewrite=0", "--sync-frm=0",
            f"--max-connections={self.connections}", "--skip-log-bin", "--performance-schema=off", *self.more,
        ]  # fmt: skip

    def is_up(self) -> bool:
        import pymysql

        try:
            self.execute("SELECT 1")
        except pymysql.OperationalError:
            return False
        return True

    def connect(self, database: str | None = None) -> Any:
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True
        )

    def url(self, database: str) -> str:
        return f"mariadb+pymysql://root@127.0.0.1:{self.port}/{database}"

    def dump(self, database: str) -> bytes:
        to = ["-h", "127.0.0.1", "-P", str(self.port), "-u", "root", "--protocol=tcp"]
        dump = [str(self.find("mariadb-dump")), "--no-defaults", "--hex-blob", "--skip-dump-date"]
        made = subprocess.run([*dump, *to, database], check=True, capture_output=True).stdout
        return b"".join(line for line in made.splitlines(True) if b"sandbox mode" not in line)

    def load(self, database: str, statements: bytes) -> str:
        url = self.new_database(database)
        to = ["-h", "127.0.0.1", "-P", str(self.port), "-u", "root", "--protocol=tcp"]
        mariadb = [str(self.find("mariadb")), "--no-defaults", "--default-character-set=utf8mb4"]
        subprocess.run([*mariadb, *to, database], input=statements, check=True, capture_output=True)
        return url

    def new_store(self, make: Callable[[str], None]) -> str:
        """The URL of a database with an empty store: the one that `make` made, emptied.

        Making two dozen tables takes far longer here than emptying them. It is made again where a test
        has changed its tables.
        """
        from stoker.store import tables
        from stoker.store.database import schema

        if self._databases == 0 or self._form() != self._made:
            self._databases = 1
            make(self.new_database("emptied"))
            self._made = self._form()
            return self.url("emptied")
        names = [table.name for table in tables.metadata.sorted_tables]
        self.execute(
            "SET foreign_key_checks = 0",
            *(f"DELETE FROM `{name}`" for name in names),
            f"UPDATE alembic_version SET version_num = '{schema.HEAD}'",
            database="emptied",
        )
        return self.url("emptied")

    def _form(self) -> Any:
        """How many columns and parts of indexes the store's tables have, and which ones."""
        parts = (
            "SELECT count(*), coalesce(sum(crc32(concat(table_name, '.', column_name))), 0) "
            "FROM information_schema.{} WHERE table_schema = 'emptied'"
        )
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            found = []
            for what in ("columns", "statistics"):
                cursor.execute(parts.format(what))
                found.append(cursor.fetchone())
        return found

    def with_password(self, password: str) -> str:
        url = self.new_database("guarded")
        self.execute(
            f"CREATE OR REPLACE USER lab@'127.0.0.1' IDENTIFIED BY '{password}'",
            "GRANT ALL ON guarded.* TO lab@'127.0.0.1'",
        )
        return url.replace("root@", "lab:PASSWORD@")


KINDS: dict[str, type[Postgresql] | type[Mariadb]] = {
    "postgresql": Postgresql,
    "mariadb": Mariadb,
}
_running: dict[str, Postgresql | Mariadb] = {}


def server(kind: str) -> Postgresql | Mariadb:
    """This process's server of that kind; skips the test, in CI fails it, where there is none."""
    require(kind)
    if kind not in _running:
        _running[kind] = KINDS[kind]()
    return _running[kind]


def require(kind: str) -> type[Postgresql] | type[Mariadb]:
    """The kind of server, if it is installed."""
    found = KINDS[kind]
    if not found.is_installed():
        unavailable(f"no {kind} server is installed: nothing was tested on it")
    return found


def unavailable(message: str) -> NoReturn:
    """Skip the test, in CI fail it: a server that it needs is not installed."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def close_all() -> None:
    """No server is left."""
    while _running:
        _running.popitem()[1].close()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def make_store(url: str) -> None:
    """Make an empty store."""
    from stoker.store.database.connect import open_store

    open_store(url, site_name="here").close()
