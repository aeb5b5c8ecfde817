"""What a file says for all workers of the store: pools, shares, names of secrets, retention.

They are one row of `sharing`, so that a claim sees a change at once, whatever host the worker is on
and whenever it was started. Values of secrets are never stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stoker.errors import VersionConflict
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.shares import Shares
from stoker.model.sharing import Sharing
from stoker.store.actor import Actor
from stoker.store.holdings.pools import PoolChange, bring_to
from stoker.store.journal import Entry, append, to_json
from stoker.store.orders.moved_project import is_gone
from stoker.store.reading_first import reading_first
from stoker.store.sharing import from_file, newest_sharing
from stoker.store.unit import Unit

if TYPE_CHECKING:
    from stoker.store.unit import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSettings:
    """What a file says of each table; None: what counts stays."""

    pools: Sequence[Pool] | None = None
    shares: Shares | None = None
    secrets: Sequence[str] | None = None
    retention: Retention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsChange:
    """What is new: pools, whether the shares are, and which of `secrets` and `retention`."""

    pools: tuple[PoolChange, ...] = ()
    shares: bool = False
    terms: tuple[str, ...] = ()


@reading_first
def set_settings(
    store: "Store",
    said: SharedSettings,
    *,
    set_by: str,
    actor: Actor,
    take_over: bool = True,
    dry_run: bool = False,
) -> SettingsChange:
    """The store has these settings, and the journal says by whom; return what is new.

    What a person set of a pool since holds until the file says something else of it. `set_by` is the
    host and the file. Without `take_over`, a file that did not set them last only adds: pools that
    the store does not have, and names of secrets, so that no other file can reveal one. Its retention
    is not heeded then, and VersionConflict raised where it says something else of a pool or of the
    shares. Nothing is changed where nothing is new.
    """
    with store.writing(dry_run=dry_run, alone=True) as unit:
        before = newest_sharing(unit)
        may_all = take_over or _may_replace(before, set_by)
        after = _all_of(before, said) if may_all else _added(before, said)
        if after == before:
            return SettingsChange()
        if may_all:
            after = replace(after, set_by=set_by)
        pools = bring_to(unit, before, after)
        terms = [name for name in ("secrets", "retention") if _differs(name, before, after)]
        change = SettingsChange(
            pools=tuple(pools), shares=after.shares != before.shares, terms=tuple(terms)
        )
        tables = [name for name in ("declared", "shares", *terms) if _differs(name, before, after)]
        words = [{"declared": "pools"}.get(name, name) for name in tables]
        data = to_json({"tables": words, "set_by": set_by, **actor.data()})
        append(unit, [Entry("set_settings", n=0, data=data)])
    return change


def may_replace(unit: Unit, set_by: str) -> bool:
    """Whether this host and path may change what counts: they set it last, or that file is gone."""
    return _may_replace(newest_sharing(unit), set_by)


def _differs(name: str, one: Sharing, other: Sharing) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _may_replace(before: Sharing, set_by: str) -> bool:
    host, _, path = before.set_by.partition(":")
    has_moved = host == set_by.partition(":")[0] and is_gone(path)
    return before.set_by in ("", set_by) or has_moved


def _all_of(before: Sharing, said: SharedSettings) -> Sharing:
    """What counts once all that the file says does."""
    after = before if said.pools is None else from_file(before, said.pools)
    if said.shares is not None:
        after = replace(after, shares=said.shares)
    if said.secrets is not None:
        after = replace(after, secrets=tuple(sorted(set(said.secrets))))
    if said.retention is not None:
        after = replace(after, retention=said.retention)
    return after


def _added(before: Sharing, said: SharedSettings) -> Sharing:
    """What counts once the file has added to it; VersionConflict where it would change it."""
    declared = dict(before.declared)
    for pool in said.pools or ():
        if declared.setdefault(pool.name, pool) != pool:
            raise _conflict(before, f"pool `{pool.name}`")
    if said.shares not in (None, Shares(), before.shares):
        raise _conflict(before, "`[shares]`")
    secrets = tuple(sorted({*before.secrets, *(said.secrets or ())}))
    return replace(before, declared=declared, secrets=secrets)


def _conflict(before: Sharing, what: str) -> VersionConflict:
    return VersionConflict(
        f"{what} was last set from `{before.set_by}` and this file says something else of it; "
        "`stoker apply` takes this one over for everybody"
    )
