"""The journal: what happened, in order, written in the transaction that made it happen.

Rows get their number `seq` afterwards, by `store/journal_fold.py`.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from stoker.store import tables
from stoker.store.unit import Prepared, Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store


class Entry(NamedTuple):
    """One row to append. Natural names only: the row must mean the same on another site."""

    event: str
    pipeline: str | None = None
    key: str | None = None
    step: str | None = None
    attempt: bytes | None = None
    generation: int | None = None
    from_state: int | None = None
    to_state: int | None = None
    body: str | None = None
    n: int = 1
    data: str | None = None


# Every task has the others, and its attempts tell of them; these are found by their key, by an index
# that registering, claiming and finishing do not pay for.
SELDOM = " AND ".join(
    f"event <> '{name}'"
    for name in (
        "register",
        "unblock",
        "claim",
        "succeed",
        "adopt",
        "checksum",
    )
)

_J = tables.journal
_ORDER = ("origin", "epoch", "at_us", "v", *Entry._fields)

_NEWEST_ID = Prepared(select(func.max(_J.c.id)))

_encode = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False
).encode  # made once: a third of the time


def to_json(value: Mapping[str, Any]) -> str:
    """Return compact JSON; bytes that are no UTF-8 stay as escaped surrogates."""
    return _encode(value)


def append(unit: Unit, entries: Iterable[Entry]) -> None:
    """Append rows to the own journal, in this transaction. Call it last: ids follow the locks."""
    known = (unit.store.site, unit.store.epoch, unit.now_us, 1)
    rows = [known + entry for entry in entries]
    if rows:
        unit.insert(_J, _ORDER, rows)


def last_seq(unit: Unit) -> int:
    """Return the number of the newest numbered row of the own journal."""
    table = tables.head
    query = select(func.max(table.c.seq)).where(table.c.origin == unit.store.site)
    return int(unit.execute(query).scalar_one() or 0)


def newest_id(store: "Store") -> int:
    """Return the id of the newest row; it says that something has happened, and is no cursor."""
    with store.reading() as unit:
        found = unit.run(_NEWEST_ID).fetchone()[0]
    return int(found or 0)
