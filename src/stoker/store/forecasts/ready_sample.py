"""Some of the ready tasks for all of them, where a look through all would take too long."""

from collections.abc import Sequence

from sqlalchemy import func, literal_column, select

from stoker.store import tables
from stoker.store.unit import Prepared, Unit, param

PIECES, PIECE_IDS = 64, 128  # of all ids that are looked at
ENOUGH = 200  # tasks

_T = tables.task
# No column: a piece is to be found by its ids, not in the index of lanes.
_IS_READY = func.coalesce(_T.c.lane, literal_column("0")) > literal_column("0")
_READY = Prepared(
    select(_T.c.lane, _T.c.okey).where(_T.c.id.between(param("first"), param("last")), _IS_READY)
)


def some_ready(unit: Unit) -> tuple[Sequence[tuple[int, int]], float]:
    """Return lane and order key of the ready tasks in even pieces of all ids; none if too few.

    And how many tasks each stands for.
    """
    # Asked for both at once, SQLite looks through all.
    low, high = (unit.execute(select(one(_T.c.id))).scalar_one() for one in (func.min, func.max))
    found: list[tuple[int, int]] = []
    for n in range(PIECES):
        first = low + (high - low) * n // PIECES
        found += unit.run(_READY, first=first, last=first + PIECE_IDS - 1).fetchall()
    each = max((high - low + 1) / (PIECES * PIECE_IDS), 1.0)
    return (found if len(found) >= ENOUGH else []), each
