"""The terms of attempts, as the store's settings have them: names of secrets, and the retention.

They are part of the row of `sharing` that counts, beside the pools, so that a claim sees a change
at once, whatever host the worker is on and whenever it was started. Values of secrets are never
stored.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.model.settings import Retention
from stoker.model.sharing import Sharing
from stoker.store.orders.moved_project import is_gone
from stoker.store.sharing import newest_sharing, set_sharing
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store


@as_a_whole
def set_terms(
    store: "Store",
    *,
    secrets: Sequence[str],
    retention: Retention,
    set_by: str,
    take_over: bool = True,
    dry_run: bool = False,
) -> tuple[str, ...]:
    """The store has these terms; return which tables of the file say something new.

    Without `take_over`, names of secrets from elsewhere than those that count are only added, so
    that no other file can reveal one, and its retention is not heeded.
    """
    wanted = replace(
        Sharing(), secrets=tuple(sorted(set(secrets))), retention=retention, set_by=set_by
    )
    with store.reading() as unit:
        if not _changes(newest_sharing(unit), wanted, take_over=take_over):
            return ()
    with store.writing(dry_run=dry_run, alone=True) as unit:
        before = newest_sharing(unit)
        changes = _changes(before, wanted, take_over=take_over)
        if changes:
            set_sharing(unit, replace(before, **changes))
            unit.store.catalog = None
    return tuple(name for name in ("secrets", "retention") if name in changes)


def retention_of(store: "Store") -> Retention:
    """Return how long the store keeps what."""
    with store.reading() as unit:
        return newest_sharing(unit).retention


def _has_moved(before: Sharing, wanted: Sharing) -> bool:
    """Whether the file that set them is gone from the host from which they are set now."""
    host, _, path = before.set_by.partition(":")
    return host == wanted.set_by.partition(":")[0] and is_gone(path)


def _changes(before: Sharing, wanted: Sharing, *, take_over: bool) -> dict[str, Any]:
    """Return the fields that the file may change, with what they are to be."""
    may_replace = take_over or before.set_by in ("", wanted.set_by) or _has_moved(before, wanted)
    secrets = wanted.secrets
    if not may_replace:
        secrets = tuple(sorted({*before.secrets, *secrets}))
    found: dict[str, Any] = {}
    if secrets != before.secrets:
        found["secrets"] = secrets
    if may_replace and wanted.retention != before.retention:
        found["retention"] = wanted.retention
    if found and may_replace:
        found["set_by"] = wanted.set_by
    return found
