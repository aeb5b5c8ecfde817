"""Services: the loops of one process as rows, started in order and stopped in the opposite order.

The last row has the calling thread to itself: the worker, which has to have the main thread, as
signals reach that. A service that dies makes it stop in order; then the others stop, and the error
reaches the caller.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Generic, Protocol, TypeVar

_R = TypeVar("_R")
_R_co = TypeVar("_R_co", covariant=True)


class Service(Protocol):
    """A loop beside the calling thread."""

    name: str

    def start(self, on_failure: Callable[[BaseException], None]) -> None:
        """It runs. `on_failure` is called, from any thread, with an error that has ended it.

        Where this raises, nothing is left that would have to be stopped.
        """

    def stop(self) -> None:
        """It has ended in order, and has nothing in hand. Also called for one that has died."""

    def health(self) -> str | None:
        """Return why it cannot do its work just now, in words; None if it can. From any thread."""


class Foreground(Protocol[_R_co]):
    """The row that has the calling thread to itself."""

    name: str

    def work(self) -> _R_co:
        """Work until the end; return what was done. Bug, after stopping in order, if `fail` was called."""

    def fail(self, problem: BaseException) -> None:
        """Stop in order and have `work` raise Bug with this problem. From any thread."""

    def health(self) -> str | None:
        """As of a service."""


class Services(Generic[_R]):
    """The rows of one process, and the `foreground` that works while they run."""

    def __init__(self, rows: Sequence[Service], foreground: Foreground[_R]) -> None:
        self._rows = tuple(rows)
        self._foreground = foreground

    def run(self) -> _R:
        """Return what the foreground has done. All rows have been started, and all have ended."""
        with running(self._rows, on_failure=self._foreground.fail):
            return self._foreground.work()

    def health(self) -> dict[str, str | None]:
        """Return by name why a row cannot do its work just now; None for those that can."""
        found = {row.name: row.health() for row in self._rows}
        return found | {self._foreground.name: self._foreground.health()}


@contextmanager
def running(
    rows: Sequence[Service], *, on_failure: Callable[[BaseException], None]
) -> Iterator[None]:
    """In the block the rows run, each started after those before it and stopped before them.

    If one cannot be started, or one fails to stop, all others are stopped nevertheless.
    """
    with ExitStack() as started:
        for row in rows:
            row.start(on_failure)
            started.callback(row.stop)
        yield
