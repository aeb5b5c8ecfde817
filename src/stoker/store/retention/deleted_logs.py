"""Log files that nothing in the store speaks of any more: noted with the change, deleted after it.

A worker on the file's host deletes it; anybody who sees it there may.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import delete, insert, select

from stoker.store import tables
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_W = tables.waste
_BATCH = 500


class Count(Protocol):
    """What deleting files is added to."""

    log_files: int
    log_bytes: int
    elsewhere: int


def note(unit: Unit, files: Sequence[tuple[str | None, bytes]]) -> None:
    """With this transaction nothing speaks of these files, by host and path, any more."""
    if files:
        unit.execute(insert(_W), [{"host": host, "path": path} for host, path in files])


def measure(files: Sequence[tuple[str | None, bytes]], done: Count) -> None:
    """Count what deleting these files would give back."""
    for _host, path in files:
        try:
            done.log_bytes += os.stat(path).st_size
        except OSError:
            done.elsewhere += 1
        else:
            done.log_files += 1


def remove(store: "Store", done: Count) -> Iterator[None]:
    """Noted files are gone, as far as they can be seen here; those of other hosts stay noted."""
    last = 0
    while True:
        with store.reading() as unit:
            query = select(_W).where(_W.c.id > last).order_by(_W.c.id).limit(_BATCH)
            rows = unit.execute(query).fetchall()
        if not rows:
            return
        last = rows[-1].id
        _forget(store, [row.id for row in rows if _delete(store, row, done)])
        yield


def _delete(store: "Store", row: Any, done: Count) -> bool:
    """Delete the file; return whether it need not be looked for any more."""
    try:
        size = os.stat(row.path).st_size
        os.unlink(row.path)
    except FileNotFoundError:
        is_elsewhere = row.host is not None and row.host != store.host
        done.elsewhere += is_elsewhere
        return not is_elsewhere
    except OSError:
        return False  # its rights may be put right
    done.log_files += 1
    done.log_bytes += size
    return True


@as_a_whole
def _forget(store: "Store", ids: Sequence[int]) -> None:
    if ids:
        with store.writing() as unit:
            unit.execute(delete(_W).where(_W.c.id.in_(ids)))
