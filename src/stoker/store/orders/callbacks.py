"""Reports that clients asked for: which are due, and what became of each.

A report is claimed for a minute before it is sent, so that of several processes one sends it. If that
one dies, it is sent again: a receiver knows a report by its id.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from stoker.store import web_tables
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

CLAIM_S = 60.0
# Between tries, in seconds; after the last there is no further one.
PAUSES_S = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0)
_SUB, _SECRET = web_tables.subscriber, web_tables.service_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A subscriber whose next report may be due: `reported` is 0, or 1 once it knows that the job runs."""

    key: str
    urls: Mapping[str, str]
    reported: int
    tries: int
    due_us: int


def due(store: "Store", *, after: str = "", most: int = 200) -> list[Due]:
    """Return subscribers that may have something to learn, by the keys of their jobs behind `after`."""
    with store.reading() as unit:
        query = select(_SUB).where(_SUB.c.due_us <= unit.now_us, _SUB.c.key > after)
        rows = unit.execute(query.order_by(_SUB.c.key).limit(most)).fetchall()
    return [
        Due(
            key=row.key,
            urls=json.loads(row.urls),
            reported=row.reported,
            tries=row.tries,
            due_us=row.due_us,
        )
        for row in rows
    ]


@as_a_whole
def claim(store: "Store", one: Due) -> bool:
    """Whether the caller is to send the next report; nobody else does so for a minute."""
    with store.writing() as unit:
        done = unit.execute(
            update(_SUB)
            .where(_SUB.c.key == one.key, _SUB.c.due_us == one.due_us)
            .values(due_us=unit.now_us + int(CLAIM_S * 1_000_000))
        )
        return bool(done.rowcount)


@as_a_whole
def record(store: "Store", one: Due, reported: int, *, is_last: bool) -> None:
    """The subscriber knows; `is_last` where there is nothing more to report."""
    with store.writing() as unit:
        unit.execute(
            update(_SUB)
            .where(_SUB.c.key == one.key)
            .values(
                reported=reported,
                tries=0,
                due_us=None if is_last else unit.now_us,
                trouble=None,
            )
        )


@as_a_whole
def put_off(store: "Store", one: Due, trouble: str) -> bool:
    """The report is tried again later; return whether it is: the last try is not repeated."""
    is_tried = one.tries < len(PAUSES_S)
    with store.writing() as unit:
        pause_us = int(PAUSES_S[one.tries] * 1_000_000) if is_tried else 0
        unit.execute(
            update(_SUB)
            .where(_SUB.c.key == one.key)
            .values(
                tries=one.tries + 1,
                due_us=unit.now_us + pause_us if is_tried else None,
                trouble=trouble,
            )
        )
    return is_tried


def secret(store: "Store") -> bytes:
    """Return the secret of this store's service, from which keys are derived; made when first asked."""
    for _ in range(2):
        with store.reading() as unit:
            found = unit.execute(select(_SECRET.c.secret)).scalar()
        if found is not None:
            return bytes(found)
        try:
            with store.writing() as unit:
                unit.execute(insert(_SECRET), [{"id": 1, "secret": secrets.token_bytes(32)}])
        except IntegrityError:
            continue  # another process has made it
    with store.reading() as unit:
        return bytes(unit.execute(select(_SECRET.c.secret)).scalar_one())
