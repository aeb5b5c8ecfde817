"""How far the journal has come, as one number: what did not change it changed nothing that lists show."""

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from stoker.store import tables
from stoker.store.unit import Prepared

if TYPE_CHECKING:
    from stoker.store.unit import Store

_H, _J = tables.head, tables.journal
_NUMBERED = Prepared(select(func.sum(_H.c.seq)))
_UNNUMBERED = Prepared(select(func.count()).where(_J.c.seq.is_(None)))


def journal_position(store: "Store") -> str:
    """Return a text that differs after every change that was committed, and is cheap to get.

    The number of all rows that were ever written: those that have their number by the last one given,
    and the few that have none yet counted, in an index. Rows that commit late, with a lower id, count.
    """
    with store.reading() as unit:
        numbered = unit.run(_NUMBERED).fetchone()[0]
        fresh = unit.run(_UNNUMBERED).fetchone()[0]
    return f"{store.epoch}.{int(numbered or 0) + int(fresh)}"
