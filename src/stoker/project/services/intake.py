"""The intake of a service: a process of its own, so that a look never keeps the worker waiting."""

import sys
from collections.abc import Callable, Sequence

from stoker.project.services.beside import Beside


class Intake(Beside):
    """The service that runs the process that follows the sources of the project at `file`.

    `on_taken` is called whenever there are new items.
    """

    name = "intake"
    silence = "nothing is taken in"

    def __init__(self, file: str, *, on_taken: Callable[[], None]) -> None:
        super().__init__()
        self._file = file
        self._on_taken = on_taken

    def _command(self) -> Sequence[str]:
        return _command(self._file)

    def _hear(self, said: bytes) -> None:  # noqa: ARG002 - any word means that there are new items
        self._on_taken()


def _command(file: str) -> list[str]:
    return [sys.executable, "-P", "-m", "stoker.project.services.taking", file]
