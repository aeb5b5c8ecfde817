"""Owns the tables of values that are kept current: `[pipelines.P.tables]` (rule D).

A table is written at most once a minute, and only if something was recorded of its pipeline since. A
file that Stoker did not write, or that somebody changed, is never replaced: `status` says so.
"""

import hashlib
import logging
import os
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from stoker.errors import Conflict, StokerError, StoreGone, Unavailable
from stoker.failpoints import hit
from stoker.model.encoding import as_text
from stoker.model.pipeline import Pipeline, ValueTable
from stoker.model.words import shown
from stoker.project.value_tables.writing import Wanted, gathered, write_hidden
from stoker.store import journal_fold
from stoker.store.reports import written_tables
from stoker.store.reports.written_tables import Moment, Written
from stoker.work.measure import measure
from stoker.work.patience import Patience
from stoker.work.permit import Permit, no_limit
from stoker.work.placing import place
from stoker.work.standing import stamps_of
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from stoker.store.unit import Store

EVERY_S = 60.0  # between two writings of one table
TICK_S = 5.0
FOLD_LIMIT_S = 10.0
_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The service is to end while a table is being written."""


def keep_all(store: "Store", *, file: str, permit: Permit = no_limit) -> None:
    """Every table of the pipelines that this file has brought into the store is current.

    What cannot be written is shown by `status`, and tried again the next time.
    """
    pipelines = written_tables.own_pipelines(store, file=file)
    for name, known in written_tables.known_names(store).items():
        if name in pipelines:
            names = [table.name for table in pipelines[name].tables]
            if known - set(names):
                written_tables.forget_others(store, name, names)
    if not any(pipeline.tables for pipeline in pipelines.values()):
        return
    journal_fold.fold(store, limit_s=FOLD_LIMIT_S)
    for pipeline in pipelines.values():
        for table in pipeline.tables:
            permit()
            keep(store, pipeline, table, permit=permit)


def keep(
    store: "Store", pipeline: Pipeline, table: ValueTable, *, permit: Permit = no_limit
) -> bool:
    """The table is current, or its trouble is noted; return whether it was written."""
    spec = _digest(table)
    at = written_tables.moment(store)
    last = written_tables.find(store, pipeline.name, table.name)
    is_current = last is not None and last.trouble is None and _is_current(last, table, spec)
    if (
        last is not None
        and is_current
        and not written_tables.has_changed(store, pipeline.name, last)
    ):
        if (at.epoch, at.seq) != (last.epoch, last.seq):
            written_tables.note_seen(store, pipeline.name, table.name, at)
        return False
    try:
        _write(store, pipeline, table, last, spec, at, permit)
    except (StoreGone, Unavailable):
        raise
    except (StokerError, OSError) as problem:
        trouble = _words(problem)
        if last is None or last.trouble != trouble:
            _log.warning(
                "a table could not be written",
                extra={"event": "table_failed", "table": table.name, "error": trouble},
            )
        written_tables.note_trouble(
            store, pipeline.name, table.name, path=table.to, spec=spec, trouble=trouble
        )
        return False
    return True


def _is_current(last: Written, table: ValueTable, spec: str) -> bool:
    """Whether the table is where it is to be, and was written as it is to be."""
    return (
        last.written_us is not None
        and (last.path, last.spec) == (table.to, spec)
        and os.path.lexists(table.to)
    )


def _digest(table: ValueTable) -> str:
    whole = as_text([table.to, table.columns, table.where])
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _write(
    store: "Store",
    pipeline: Pipeline,
    table: ValueTable,
    last: Written | None,
    spec: str,
    at: Moment,
    permit: Permit,
) -> None:
    known = last.known if last is not None and last.path == table.to else frozenset()
    _refuse_foreign(table.to, known, permit)
    folder = os.path.dirname(table.to)
    os.makedirs(folder, exist_ok=True)

    def put(hidden: str) -> None:
        written_tables.begin(
            store,
            pipeline.name,
            table.name,
            path=table.to,
            spec=spec,
            content=measure(hidden, permit),
        )
        hit("table.begun")
        stamps = _refuse_foreign(table.to, known, permit)
        try:
            place(hidden, table.to, _NoHidden(), replaced=stamps)
        except FileExistsError:
            raise Conflict(f"`{table.to}` was changed while it was written") from None
        hit("table.placed")

    wanted = Wanted(pipeline=pipeline, columns=table.columns, where=table.where)
    with gathered(store, wanted, folder=folder, permit=permit) as found:
        write_hidden(found, table.to, title=table.name, place=put, permit=permit)
        written_tables.note_written(store, pipeline.name, table.name, at=at, n=found.count)


def _refuse_foreign(
    path: str, known: frozenset[str], permit: Permit
) -> "frozenset[tuple[bytes, int, int, int, int]] | None":
    """Return how the file at the path looks, if it is ours; None if there is none. Conflict otherwise."""
    if not os.path.lexists(path):
        return None
    stamps = stamps_of(path) if os.path.isfile(path) and not os.path.islink(path) else None
    if stamps is None or measure(path, permit).checksum not in known:
        raise Conflict(
            f"`{path}` is not a table that Stoker wrote, or was changed since; move it away"
        )
    return stamps


class _NoHidden:
    """A file is replaced without a second hidden name."""

    def hidden(self, path: str) -> AbstractContextManager[None]:  # noqa: ARG002 - as its kind wants it
        return nullcontext()


def _words(problem: Exception) -> str:
    if isinstance(problem, OSError) and not isinstance(problem, StokerError):
        where = f" (`{problem.filename}`)" if problem.filename else ""
        return shown(f"{problem.strerror or problem}{where}")
    return shown(str(problem))


class TableKeeper(Companion):
    """The service that keeps the tables of a file's pipelines current."""

    name = "tables"

    def __init__(
        self,
        store: "Store",
        *,
        file: str,
        tick_s: float = TICK_S,
        every_s: float = EVERY_S,
    ) -> None:
        super().__init__()
        self._store = store
        self._file = file
        self._tick_s = tick_s
        self._every_s = every_s
        self._outage = Patience()

    def health(self) -> str | None:
        """Return why tables cannot be kept current just now."""
        return self._outage.trouble

    def _run(self) -> None:
        due_s = 0.0
        while not self._over.wait(self._tick_s):
            if time.monotonic() < due_s:
                continue
            due_s = time.monotonic() + self._every_s
            try:
                keep_all(self._store, file=self._file, permit=self._permit)
            except (Stopped, StoreGone):
                return
            except (StokerError, OSError) as error:
                due_s = time.monotonic() + self._tick_s
                if self._outage.is_news(str(error)):
                    _log.warning(
                        "tables of values have to wait",
                        extra={"event": "tables_wait", "error": str(error)},
                    )
            else:
                self._outage.end()

    def _permit(self) -> None:
        if self._over.is_set():
            raise Stopped
