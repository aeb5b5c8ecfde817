"""What differs between databases, as the questions that the verbs ask."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from stoker.errors import StokerError, Unavailable
from stoker.rights import Rights

SHUT = "stoker_moved"  # the name of what keeps a store from being written to
WAS_MOVED = (
    "the store was moved away while this was under way, and nothing was recorded; "
    "`stoker status` says where it is now"
)
IS_EMPTY = (
    "the store's tables were deleted, or its database was replaced by an empty one ({}); restore it, or "
    "begin again with a new store"
)


OWN_SITE = 1  # the row of `site` that a store makes for its own; all but dialects ask `Store.site`


class BrokenOff(Unavailable):
    """The database undid the transaction for the sake of another; from its beginning it may succeed."""


class Dialect(Protocol):
    """One kind of database.

    `locks_rows`: writers run side by side, so that what is read to be changed has to be locked.
    `is_one_host`: only the host that made the store may open it.
    `transactional_ddl`: a migration is one transaction.
    `ask_connections`: the query for how many connections its server allows; None without a server.
    """

    name: str
    placeholder: str
    driver_errors: tuple[type[Exception], ...]
    locks_rows: bool
    is_one_host: bool
    transactional_ddl: bool
    ask_connections: str | None

    def engine(self, url: str, *, password_file: str | None = None) -> Engine:
        """Return an engine on an existing or new database; Refused where a promise would break."""
        ...

    def make(self, rights: Rights) -> None:
        """There is something to connect to, if it is this host that makes it, with these rights."""
        ...

    def exists(self, engine: Engine) -> bool:
        """Whether there is anything to connect to; makes nothing."""
        ...

    def folder(self, engine: Engine) -> Path | None:
        """Return where the store is on this host's disk; None for one on a server."""
        ...

    def begin_write(
        self, cursor: Any, *, alone: bool, waits: bool = True, durable: bool = True
    ) -> int:
        """Begin a transaction that is going to write; return the store's clock in microseconds.

        One that is to be `alone` waits until no other writes, and others wait for it. With `waits`
        false it gives up after a moment if somebody holds the lock, as an error of the driver. One
        that is not `durable` may be undone if the host of a file of ours loses its power.
        """
        ...

    def give_way(self) -> None:
        """Others that wait to write go first, where this thread's last transaction was a long one."""
        ...

    def note_held(self, held_s: float) -> None:
        """A transaction of this thread has kept others from writing for so long."""
        ...

    def begin_read(self, cursor: Any) -> int:
        """Begin a transaction that sees one state of the store and writes nothing; the clock."""
        ...

    def end_read(self, cursor: Any) -> None:
        """End a transaction that has read; an error if it may not have seen one state of the store."""
        ...

    def sparing(self, cursor: Any) -> AbstractContextManager[None]:
        """Within the block, a long read on this connection keeps little of the store in memory."""
        ...

    def sever(self, driver: Any) -> None:
        """A thread that waits for an answer on this connection of the driver's gets an error; from any thread."""
        ...

    def roll_back(self, cursor: Any) -> bool:
        """Undo the transaction, if one is open; return whether the connection can be used again."""
        ...

    def lock_schema(self, cursor: Any) -> None:
        """Wait until no other process changes the schema, and keep others from it."""
        ...

    def unlock_schema(self, cursor: Any) -> None:
        """End what `lock_schema` began."""
        ...

    def run_many(
        self, cursor: Any, text: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> int:
        """Execute once for each row; return how many rows of the table were touched."""
        ...

    def reserve_item_ids(self, cursor: Any, n: int) -> int:
        """Return the first of `n` ids that no other item has or will get."""
        ...

    def translate(self, error: Exception) -> StokerError | None:
        """Return the error to raise for a driver's; None where it is a bug."""
        ...

    def shut(self, cursor: Any) -> None:
        """With the commit of this transaction, which is alone, nobody records anything here any more.

        Not even who opened the store before: what they write fails with Refused.
        """
        ...

    def continue_ids(self, cursor: Any) -> None:
        """Ids go on behind those of rows that were put in with their ids."""
        ...

    def copy_file(self, connection: Connection, path: Path) -> bool:
        """`path` holds what the database does; False, and nothing done, where that is no file."""
        ...

    def dump_command(self, engine: Engine) -> str | None:
        """Return the command by which the database's own tool puts a copy by; None without one."""
        ...

    def room(self, cursor: Any) -> dict[str, int]:
        """Return the bytes that each table takes with its indexes, and `free` ones that none does."""
        ...

    def give_back(self, connection: Connection) -> bool:
        """A little of what is free goes back to the file system; return whether there is more.

        Outside of transactions.
        """
        ...

    def quick_check(self, connection: Connection) -> list[str]:
        """Return what the database itself finds wrong with its files."""
        ...

    def keep_open(self, driver: Any) -> None:
        """The connection of a store that is gone is not closed, where that would do harm."""
        ...

    def checkpoint(self, connection: Connection) -> None:
        """Do the database's own housekeeping; called now and then, outside of transactions."""
        ...
