"""Owns the start of threads beside a worker's loop, so that what one of them raises reaches the loop."""

import threading
from collections.abc import Callable
from typing import Any


def start(
    target: Callable[..., None],
    *arguments: Any,
    name: str,
    on_failure: Callable[[BaseException], None],
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
