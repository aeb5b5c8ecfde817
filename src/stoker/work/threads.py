"""Owns the start of threads beside a loop, so that what one of them raises reaches that loop."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

OnFailure = Callable[[BaseException], None]


def start(
    target: Callable[..., None], *arguments: Any, name: str, on_failure: OnFailure
) -> threading.Thread:
    """The thread runs. `on_failure` is called in it with whatever it did not handle itself.

    The traceback goes to standard error, as with every thread. The thread is a daemon: one that a
    dead file system holds keeps no process from its end.
    """

    def run() -> None:
        try:
            target(*arguments)
        except BaseException as problem:
            on_failure(problem)
            raise

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


class Companion(ABC):
    """A loop in a thread of its own, from `start` to `stop`. It is started once.

    `_run` is that loop; it returns soon after `_over` has been set.
    """

    name: str

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, on_failure: OnFailure) -> None:
        """The loop runs beside the caller. `on_failure` is called with whatever it cannot handle."""
        self._thread = start(self._run, name=self.name, on_failure=on_failure)

    def stop(self) -> None:
        """The loop has ended."""
        self._over.set()
        self._join()

    def health(self) -> str | None:
        """Return why it cannot do its work just now, in words; None if it can."""
        return None

    def _join(self, within_s: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(within_s)

    @abstractmethod
    def _run(self) -> None: ...
