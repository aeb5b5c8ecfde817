"""The progress of jobs that clients have seen, so that it never falls."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from stoker.store import web_tables
from stoker.store.unit import Prepared, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

_B = web_tables.job
_RAISE = Prepared(
    update(_B)
    .where(_B.c.key == param("key_"), _B.c.progress < param("least"))
    .values(progress=param("percent"))
)
_NOW = Prepared(select(_B.c.key, _B.c.progress).where(_B.c.key.in_(param_list("keys"))))


@as_a_whole
def report(store: "Store", percents: Mapping[str, int]) -> Mapping[str, int]:
    """These jobs have got at least so far, in percent, by their keys; return the most ever reported."""
    rows = [
        {"key_": key, "least": percent, "percent": percent}
        for key, percent in sorted(percents.items())
    ]
    with store.writing(durable=False) as unit:
        unit.run_many(_RAISE, rows)
        return dict(map(tuple, unit.run(_NOW, keys=sorted(percents)).fetchall()))
