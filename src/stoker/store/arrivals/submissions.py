"""Items that came over HTTP: counted for their client in the transaction that registers them.

So a limit holds however many requests come at once, and to whichever web process.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update

from stoker.errors import LimitReached
from stoker.model.states import ItemState
from stoker.store import submission_tables, tables
from stoker.store.unit import Prepared, Unit, param, param_list

_C, _S, _I = submission_tables.client, submission_tables.submission, tables.item
_FIELDS = ("item_id", "client_id", "is_over")
_OPEN = [
    state.value
    for state in (ItemState.WAITING, ItemState.HELD, ItemState.RUNNING, ItemState.QUARANTINED)
]
_OPEN_RETRY_S = 5.0  # when a client may ask again whose items are all open

_CLIENT = Prepared(
    select(_C.c.id, _C.c.left_, _C.c.at_us)
    .where(_C.c.pipeline_id == param("pipeline_id"), _C.c.name == param("name"))
    .with_for_update()
)
_PIPELINE = Prepared(
    select(tables.pipeline.c.id)
    .where(tables.pipeline.c.id == param("pipeline_id"))
    .with_for_update()
)
_ENDED = Prepared(
    select(_S.c.item_id)
    .outerjoin(_I, _I.c.id == _S.c.item_id)
    .where(
        _S.c.client_id == param("client_id"), _S.c.is_over == 0,
        _I.c.state.is_(None) | ~_I.c.state.in_(_OPEN),
    )
    .limit(2_000)
)  # fmt: skip
_OVER = Prepared(update(_S).where(_S.c.item_id.in_(param_list("ids"))).values(is_over=1))
_COUNT = Prepared(
    select(func.count()).where(_S.c.client_id == param("client_id"), _S.c.is_over == 0)
)
_NOTE = Prepared(
    update(_C)
    .where(_C.c.id == param("client_id"))
    .values(left_=param("left_"), at_us=param("at_us"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The client that submits, by a name that is nobody else's, and its limits; None: no limit."""

    name: str
    max_open: int | None = None
    per_minute: int | None = None


def submit(unit: Unit, pipeline_id: int, client: Client, item_ids: range) -> None:
    """These items are the client's; LimitReached if it may not submit so many."""
    n = len(item_ids)
    client_id, left, at_us = _row(unit, pipeline_id, client)
    if client.per_minute is not None:
        passed_s = max(unit.now_us - at_us, 0) / 1e6
        left = min(client.per_minute, left + passed_s * client.per_minute / 60)
        if n > left:
            if n > client.per_minute:
                text = f"a client may submit {client.per_minute:,} items in a minute, not {n:,}"
                raise LimitReached(f"{text}; send fewer at a time", after_s=60.0)
            after_s = (n - left) * 60 / client.per_minute
            text = f"a client may submit {client.per_minute:,} items in a minute"
            raise LimitReached(f"{text}; try again in {after_s:.0f} s", after_s=after_s)
        left -= n
    if client.max_open is not None:
        n_open = _count_open(unit, client_id)
        if n_open + n > client.max_open:
            raise LimitReached(
                f"a client may have {client.max_open:,} items that are waiting, held or running; "
                f"this one has {n_open:,}, and {n:,} more were to come",
                after_s=_OPEN_RETRY_S,
            )
    unit.run(_NOTE, client_id=client_id, left_=left, at_us=unit.now_us)
    unit.insert(_S, _FIELDS, [(item_id, client_id, 0) for item_id in item_ids])


def _row(unit: Unit, pipeline_id: int, client: Client) -> tuple[int, float, int]:
    """Return the row of the client, locked, so that its other requests wait for this one."""
    found = unit.run(_CLIENT, pipeline_id=pipeline_id, name=client.name).fetchone()
    if found is None:
        values: dict[str, Any] = {
            "pipeline_id": pipeline_id,
            "name": client.name,
            "left_": float(client.per_minute or 0),
            "at_us": unit.now_us,
        }
        unit.run(_PIPELINE, pipeline_id=pipeline_id).fetchall()  # others may be about to make it
        found = unit.run(_CLIENT, pipeline_id=pipeline_id, name=client.name).fetchone()
        if found is None:
            unit.execute(insert(_C).values(**values))
            found = unit.run(_CLIENT, pipeline_id=pipeline_id, name=client.name).fetchone()
    return int(found[0]), float(found[1]), int(found[2])


def _count_open(unit: Unit, client_id: int) -> int:
    ended = [row[0] for row in unit.run(_ENDED, client_id=client_id).fetchall()]
    if ended:
        unit.run(_OVER, ids=ended)
    return int(unit.run(_COUNT, client_id=client_id).fetchone()[0])
