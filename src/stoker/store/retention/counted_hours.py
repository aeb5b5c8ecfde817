"""Counts of single hours are forgotten after a year or so; those of days, far fewer, stay.

Hosts that come once, as in a cluster or a cloud, would otherwise fill the table for ever.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from stoker.store import tables
from stoker.store.forecasts.activity import HOST, HOURS, HOURS_KEPT_US, STEP
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_N = tables.activity
_AT_ONCE = 100  # subjects that are looked at in one transaction


def forget(store: "Store") -> Iterator[None]:
    """Hours that are over for longer than they are kept are deleted, a little at each step.

    It may be cut short anywhere, and begun again.
    """
    for kind in (HOST, STEP):
        last: str | None = None
        is_last = False
        while not is_last:
            with store.reading() as unit:
                before_us = unit.now_us - HOURS_KEPT_US
                old = []
                for _ in range(_AT_ONCE):
                    after = [] if last is None else [_N.c.subject > last]
                    first = select(_N.c.subject, _N.c.at_us).where(
                        _N.c.kind == kind, _N.c.level == HOURS, *after
                    )
                    row = unit.execute(first.order_by(_N.c.subject, _N.c.at_us).limit(1)).first()
                    if row is None:
                        is_last = True
                        break
                    last = row.subject
                    old += [row.subject] if row.at_us < before_us else []
            if old:
                _delete(store, kind, old, before_us)
                yield


@as_a_whole
def _delete(store: "Store", kind: int, subjects: list[str], before_us: int) -> None:
    with store.writing(durable=False) as unit:
        for subject in subjects:
            unit.execute(
                delete(_N).where(
                    _N.c.kind == kind,
                    _N.c.level == HOURS,
                    _N.c.subject == subject,
                    _N.c.at_us < before_us,
                )
            )
