"""The store's settings for all its workers: pools, shares, names of secrets, retention.

A row of `sharing` holds all of it, and the newest row is what counts. The slots themselves are rows
of `slot`; `store/holdings/pools.py` brings them to what stands here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from stoker.model.hours import Hours
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.shares import ShareBy, Shares
from stoker.model.sharing import Sharing
from stoker.store import tables
from stoker.store.journal import to_json
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store

_TABLE = tables.sharing


def newest_sharing(unit: Unit) -> Sharing:
    """Return what counts now."""
    query = select(_TABLE.c.data).order_by(_TABLE.c.id.desc()).limit(1)
    text = unit.execute(query).scalar()
    own = select(tables.site.c.name).where(tables.site.c.id == unit.site)
    site = unit.execute(own).scalar() or ""
    return replace(Sharing() if text is None else _load(json.loads(text)), site=site)


def retention_of(store: "Store") -> Retention:
    """Return how long the store keeps what."""
    with store.reading() as unit:
        return newest_sharing(unit).retention


def from_file(before: Sharing, pools: Sequence[Pool]) -> Sharing:
    """Return what is to count once the file says this of the pools."""
    declared = {pool.name: pool for pool in pools}
    by_hand = {
        name: slots
        for name, slots in before.by_hand.items()
        if name in declared and declared[name] == before.declared.get(name)
    }
    return replace(before, declared=declared, by_hand=by_hand)


def set_sharing(unit: Unit, sharing: Sharing) -> None:
    """From now on, this counts."""
    text = to_json(_dump(sharing))
    unit.execute(insert(_TABLE).values(data=text, at_us=unit.now_us))


def _dump(sharing: Sharing) -> dict[str, Any]:
    return {
        "pools": {name: _dump_pool(pool) for name, pool in sharing.declared.items()},
        "by_hand": {name: list(slots) for name, slots in sharing.by_hand.items()},
        "shares": {
            "by": sharing.shares.by,
            "weights": dict(sharing.shares.weights),
            "files": dict(sharing.shares.files),
        },
        "secrets": list(sharing.secrets),
        "retention": asdict(sharing.retention),
        "set_by": sharing.set_by,
    }


def _dump_pool(pool: Pool) -> dict[str, Any]:
    hours = pool.hours
    return {
        "slots": list(pool.slots),
        "per_host": pool.is_per_host,
        "kind": pool.kind,
        "hours": [hours.begin, hours.end, hours.zone] if hours is not None else None,
        "per_minute": pool.per_minute,
    }


def _load(data: Mapping[str, Any]) -> Sharing:
    shares = data["shares"]
    return Sharing(
        declared={name: _load_pool(name, pool) for name, pool in data["pools"].items()},
        by_hand={name: tuple(slots) for name, slots in data["by_hand"].items()},
        shares=Shares(
            by=ShareBy(shares["by"]) if shares["by"] is not None else None,
            weights=shares["weights"],
            files=shares["files"],
        ),
        secrets=tuple(data["secrets"]),
        retention=Retention(**data["retention"]),
        set_by=data["set_by"],
    )


def _load_pool(name: str, pool: Mapping[str, Any]) -> Pool:
    return Pool(
        name=name,
        slots=tuple(pool["slots"]),
        is_per_host=pool["per_host"],
        kind=pool["kind"],
        hours=Hours(*pool["hours"]) if pool["hours"] is not None else None,
        per_minute=pool["per_minute"],
    )
