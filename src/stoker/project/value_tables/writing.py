"""Owns the way of a table from the store to its file: read once, put by, written hidden, renamed.

Which columns there are, and of which type, is known only when all rows have been read. So they are put
by in a file without a name meanwhile, and the store's transaction is over before the table is written.
"""

import fcntl
import hashlib
import marshal
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from stoker.errors import Unavailable, UserError
from stoker.failpoints import hit
from stoker.model.pipeline import Pipeline
from stoker.model.selection import Selection
from stoker.project.value_tables.columns import Columns
from stoker.project.value_tables.formats import Format, Separated, open_format
from stoker.spec.condition import Condition
from stoker.spec.value_tables import steps_needed
from stoker.store.reports.value_rows import ValueRow, value_rows
from stoker.work.durable import sync_all
from stoker.work.permit import Permit, no_limit
from stoker.work.scratch import HIDDEN

if TYPE_CHECKING:
    from stoker.store.unit import Store

_TURNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a table is to have: the columns that are named, or all, of the items that are chosen."""

    pipeline: Pipeline
    columns: tuple[str, ...] = ()
    where: str | None = None
    selection: Selection | None = None


class Gathered:
    """The rows of a table, read and put by: how many, in which columns. To be closed."""

    def __init__(self, file: IO[bytes], columns: Columns) -> None:
        self.count = 0
        self.columns = columns
        self._file = file

    def add(self, rows: Iterable[ValueRow]) -> None:
        """These rows are put by."""
        taken = [self.columns.take(row) for row in rows]
        self.count += len(taken)
        marshal.dump(taken, self._file)

    def pages(self) -> Iterator[list[list[Any]]]:
        """Yield all rows, some at a time, as cells in the columns' types."""
        self._file.seek(0)
        while True:
            try:
                taken = marshal.load(self._file)  # noqa: S302 - what this process has written
            except EOFError:
                return
            yield self.columns.cells(taken)


@contextmanager
def gathered(
    store: "Store", wanted: Wanted, *, folder: str | None = None, permit: Permit = no_limit
) -> Iterator[Gathered]:
    """Yield the table's rows, of one state of the store, put by in `folder`."""
    columns = Columns(wanted.pipeline, wanted.columns)
    where = _condition(wanted.where)
    with tempfile.TemporaryFile(dir=folder) as file:
        found = Gathered(file, columns)
        for page in value_rows(
            store,
            wanted.pipeline.name,
            steps=steps_needed(wanted.pipeline, wanted.columns, wanted.where),
            selection=wanted.selection,
            with_outputs=columns.with_outputs,
        ):
            permit()
            found.add(page if where is None else [row for row in page if where(row)])
        yield found


def _condition(text: str | None) -> Callable[[ValueRow], bool] | None:
    if text is None:
        return None
    condition = Condition(text)

    def holds(row: ValueRow) -> bool:
        try:
            return condition.holds(params=row.params, meta=row.meta, values=row.values, key=row.key)
        except UserError:
            return False  # the row lacks what the condition asks about

    return holds


def write_hidden(
    found: Gathered, target: str, *, title: str, place: Callable[[str], None], permit: Permit
) -> None:
    """The table is in a hidden file beside `target`, on disk, and `place` was called with its path.

    Unavailable while another process writes the same table. What a crash leaves is written over.
    """
    folder, name = os.path.split(target)
    suffix = os.path.splitext(name)[1]
    digest = hashlib.blake2b(os.fsencode(name), digest_size=8).hexdigest()
    hidden = os.path.join(folder, f"{HIDDEN}table-{digest}{suffix}")
    os.makedirs(folder, exist_ok=True)
    with _locked(hidden, target):
        try:
            table = open_format(
                hidden, suffix, found.columns.names, found.columns.kinds, title=title
            )
            _write(table, found, permit)
            sync_all([hidden], permit)
            hit("table.written")
            place(hidden)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(hidden)
            raise
        with suppress(OSError):
            sync_all([folder], permit)


def _write(table: Format, found: Gathered, permit: Permit) -> None:
    try:
        for page in found.pages():
            permit()
            table.add(page)
    finally:
        table.close()


@contextmanager
def _locked(hidden: str, target: str) -> Iterator[None]:
    """The hidden file is there, empty and nobody else's, until the block ends."""
    for _ in range(_TURNS):
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(hidden, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UserError(
                    f"`{hidden}` is not a file; delete it, so that the table can be made"
                )
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Unavailable(f"another process writes `{target}` just now") from None
            if _is_at(hidden, descriptor):  # not renamed by the process that had it before
                os.ftruncate(descriptor, 0)
                yield
                return
        finally:
            os.close(descriptor)
    raise Unavailable(f"other processes write `{target}` all the time")


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def write_out(store: "Store", wanted: Wanted, out: str, *, permit: Permit = no_limit) -> int:
    """The table is in the file `out` (`-`: CSV on standard output); return how many rows it has.

    A file that is there is replaced from one moment to the next. UserError for anything else there.
    """
    if out == "-":
        with gathered(store, wanted, permit=permit) as found:
            sys.stdout.reconfigure(newline="")  # type: ignore[union-attr]  # as csv wants it
            _write(Separated(sys.stdout, found.columns.names, separator=","), found, permit)
            return found.count
    target = os.path.abspath(out)
    if os.path.lexists(target) and not os.path.isfile(target):
        raise UserError(f"`{out}` is not a file, and a table would not replace it")
    target = os.path.realpath(target)
    try:
        with gathered(store, wanted, folder=_existing(target), permit=permit) as found:
            write_hidden(
                found,
                target,
                title=wanted.pipeline.name,
                place=lambda hidden: os.replace(hidden, target),
                permit=permit,
            )
            return found.count
    except OSError as error:
        raise UserError(f"`{out}` cannot be written: {error.strerror}") from None


def _existing(target: str) -> str:
    """Return the folder of `target`, which is made if it is missing."""
    folder = os.path.dirname(target)
    os.makedirs(folder, exist_ok=True)
    return folder
