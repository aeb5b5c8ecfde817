"""The lock on a source of groups: one transaction at a time changes its groups and members."""

from sqlalchemy import select

from stoker.store import tables
from stoker.store.unit import Unit

_S = tables.source


def lock_source(unit: Unit, source_id: int) -> None:
    """Nobody else changes the groups of this source until the transaction ends."""
    unit.check_lock()
    unit.execute(select(_S.c.id).where(_S.c.id == source_id).with_for_update())
