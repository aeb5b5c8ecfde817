"""Jobs that their clients have removed: marked at once, and forgotten once nothing asks for them."""

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from stoker.store import tables, web_tables
from stoker.store.arrivals.submit import REMEMBERED_S
from stoker.store.catalog import catalog
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

AT_ONCE = 100
FORGOTTEN_S = 3600.0  # after which nothing is known of a removed job any more
_B, _R, _SUB = web_tables.job, web_tables.remembered_request, web_tables.subscriber
_I = tables.item


@as_a_whole
def mark_removed(store: "Store", key: str) -> None:
    """Clients see the job no more; its item and its files are there until they are removed."""
    with store.writing() as unit:
        unit.execute(
            update(_B)
            .where(_B.c.key == key, _B.c.removed_us.is_(None))
            .values(removed_us=unit.now_us)
        )
        unit.execute(delete(_SUB).where(_SUB.c.key == key))


def marked(store: "Store", *, most: int = AT_ONCE) -> list[tuple[str, str]]:
    """Return pipeline and key of jobs that are marked, and of which there still is an item."""
    with store.reading() as unit:
        names = {id_: name for name, id_ in catalog(unit).pipeline_ids.items()}
        query = select(_B.c.pipeline_id, _B.c.key).where(_B.c.removed_us.is_not(None)).limit(most)
        rows = unit.execute(query).fetchall()
        return [
            (names[row.pipeline_id], row.key)
            for row in rows
            if row.pipeline_id in names and _item_id(unit, row.pipeline_id, row.key) is not None
        ]


@as_a_whole
def tidy(store: "Store") -> None:
    """Requests that are too old to be repeated, and jobs removed long ago, are not known any more."""
    with store.writing() as unit:
        oldest_us = unit.now_us - int(REMEMBERED_S * 1_000_000)
        unit.execute(delete(_R).where(_R.c.at_us < oldest_us))
        removed_us = unit.now_us - int(FORGOTTEN_S * 1_000_000)
        query = select(_B.c.id, _B.c.pipeline_id, _B.c.key).where(_B.c.removed_us < removed_us)
        rows = unit.execute(query.limit(AT_ONCE)).fetchall()
        gone = [row.id for row in rows if _item_id(unit, row.pipeline_id, row.key) is None]
        if gone:
            unit.execute(delete(_B).where(_B.c.id.in_(gone)))


def _item_id(unit: Unit, pipeline_id: int, key: str) -> int | None:
    query = select(_I.c.id).where(_I.c.pipeline_id == pipeline_id, _I.c.key == key)
    found: int | None = unit.execute(query).scalar()
    return found
