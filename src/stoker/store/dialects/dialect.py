"""What differs between databases, as the questions that the verbs ask."""

from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine

from stoker.errors import StokerError

if TYPE_CHECKING:
    from stoker.store.unit import Unit


class Dialect(Protocol):
    """One kind of database."""

    name: str
    placeholder: str
    driver_errors: tuple[type[Exception], ...]

    def engine(self, url: str) -> Engine:
        """Return an engine on an existing or new database; Refused where a promise would break."""
        ...

    def exists(self, url: str) -> bool:
        """Whether there is a store to open at `url`."""
        ...

    def begin_write(self, cursor: Any) -> None:
        """Begin a transaction that is going to write."""
        ...

    def begin_read(self, cursor: Any) -> None:
        """Begin a transaction that sees one state of the store and writes nothing."""
        ...

    def roll_back(self, cursor: Any) -> None:
        """Undo the transaction, if one is still open."""
        ...

    def now_us(self, connection: Connection) -> int:
        """Return the store's clock, in microseconds since the epoch."""
        ...

    def locked(self, select: str) -> str:
        """Return the text of a SELECT so that it locks its rows, passing over locked ones."""
        ...

    def reserve_item_ids(self, unit: "Unit", n: int) -> int:
        """Return the first of `n` ids that no other item has or will get."""
        ...

    def translate(self, error: Exception) -> StokerError | None:
        """Return the error to raise for a driver's; None where it is a bug."""
        ...

    def checkpoint(self, connection: Connection) -> None:
        """Do the database's own housekeeping; called now and then, outside of transactions."""
        ...
