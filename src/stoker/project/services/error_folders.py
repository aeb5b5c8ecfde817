"""Error folders that no worker has written, and those that are not needed any more.

The process that takes back a lost attempt, or finds that one cannot start, has no time to write files, and
on a full disk nobody can. The janitor of the attempt's host writes what is known, and removes the folder of
an item that is done after all.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stoker.errors import OutputConflict, StaleAttempt, StoreGone, UserError
from stoker.model.id_types import AttemptId
from stoker.model.pipeline import Pipeline
from stoker.model.states import AttemptState
from stoker.model.task import Content, Wanted
from stoker.spec.error_folders import compile_error_folder, fixed_part
from stoker.spec.values import Context
from stoker.store import journal_fold
from stoker.store.holdings import error_folder_care as care
from stoker.store.holdings import error_folders
from stoker.work import error_folder, removal
from stoker.work.permit import no_limit
from stoker.work.scratch import HIDDEN

if TYPE_CHECKING:
    from stoker.store.unit import Store

FOLD_LIMIT_S = 10.0
TURN = 50  # folders that are written before somebody else may do something
_log = logging.getLogger(__name__)


def look_after(store: "Store", *, is_last: bool = False) -> None:
    """Error folders that were due are written, and those that nothing needs are removed.

    Which items are done is known as of the last fold of the journal; `is_last`: it is folded first.
    """
    if is_last:
        journal_fold.fold(store, limit_s=FOLD_LIMIT_S)
    while True:
        due = care.due(store, most=TURN)
        for one in due:
            _write(store, one)
        if len(due) < TURN:
            break
    while care.expire(store, _look, most=2 * TURN) == 2 * TURN:
        pass


def _write(store: "Store", due: care.Due) -> None:
    """The error folder is written; or the log says why not, and it is due again later."""
    record = _Record(store, due)
    plan = compile_error_folder(due.pipeline)
    if plan is None:
        return
    try:
        path = plan.path(Context(claimed=due.claimed, scratch=""))
        if due.written_at != path or not error_folder.is_there(path, due.attempt, record, no_limit):
            error_folder.set_aside(
                _remains(due),
                plan.spec,
                path,
                hidden=os.path.join(os.path.dirname(path), f"{HIDDEN}{due.attempt.hex()}"),
                notebook=_Nothing(),
                record=record,
                permit=no_limit,
            )
        care.note_written(store, due.attempt)
    except StoreGone:
        raise
    except StaleAttempt:
        return  # the task has been set back: the next look forgets the row
    except (OSError, OutputConflict, UserError) as problem:
        care.postpone(store, due.attempt)
        _log.warning(
            "an error folder could not be written",
            extra={"event": "error_folder_failed", "item": due.claimed.key, "error": str(problem)},
        )


def _remains(due: care.Due) -> error_folder.Remains:
    why = {
        AttemptState.LOST.word: "the attempt was lost, and its scratch with it",
    }.get(due.failure.state, "the attempt's scratch was wiped before the folder could be written")
    if due.is_elsewhere:
        why = "the attempt ran at another site, and its scratch was wiped there"
    if due.failure.started_at is None:
        why = "the attempt never started"
    return error_folder.Remains(
        failure=due.failure, stdout=due.stdout, stderr=due.stderr, left_out=why
    )


class _Record:
    """What the store has of the path, for a failure that is recorded already."""

    def __init__(self, store: "Store", due: care.Due) -> None:
        self._store = store
        self._due = due

    def begin(self, names: Sequence[str]) -> None:
        due = self._due
        error_folders.begin(self._store, due.attempt, due.task_id, names, is_later=True)

    def contents_of(self, paths: Sequence[str]) -> Mapping[str, Sequence[Content]]:
        return error_folders.contents_of(self._store, self._due.task_id, paths)

    def failed_beside(self) -> frozenset[AttemptId]:
        return error_folders.failed_beside(self._store, self._due.task_id)

    def reserve(self, wanted: Wanted) -> None:
        due = self._due
        error_folders.reserve(self._store, due.attempt, due.task_id, wanted, is_later=True)


class _Nothing:
    """Remembers no hidden name: that of a folder in the making is known from its attempt."""

    @contextmanager
    def hidden(self, path: str) -> Iterator[None]:  # noqa: ARG002 - as its kind wants it
        yield


def _look(standing: care.Standing) -> Callable[[], str | None] | None:
    """Return what removes an error folder that is not needed any more; None if it is not seen here."""
    path = standing.path
    if not os.path.lexists(path):
        return (lambda: None) if standing.is_here else None
    removers = [removal.look(path, content) for content in standing.contents]

    def remove() -> str | None:
        kept = path if not removers else None
        for one in removers:
            kept = one()
            if kept is None:
                break
        if kept is None:
            _remove_empty(os.path.dirname(path), standing.pipeline)
        else:
            _log.warning(
                "an error folder holds something that Stoker did not write, and is left",
                extra={"event": "error_folder_left", "path": kept},
            )
        return kept

    return remove


def _remove_empty(folder: str, pipeline: Pipeline) -> None:
    """Empty folders between the item's and the one that holds those of all items are removed."""
    spec = pipeline.error_folder
    top = fixed_part(pipeline, spec) if spec is not None else folder
    with suppress(OSError):
        while folder.startswith(top.rstrip("/") + "/"):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
