"""The row of `stoker up` that serves the web: a process of its own, which never holds the worker up.

The socket is made here and inherited, so that a connection that comes while the process is started
again waits, and is not refused.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec

from stoker.project.services.beside import Beside
from stoker.web.listening import Listening

NEEDED = ("fastapi", "uvicorn", "httptools", "python_multipart")
READY, REGISTERED = b"!", b"+"  # what the process writes: it serves; there are new items


def is_installed() -> bool:
    """Whether what the web service needs is installed."""
    return all(find_spec(name) is not None for name in NEEDED)


class Web(Beside):
    """Serves the project at `file` on a socket; `on_registered` is called when there are new items.

    `on_ready` is called once, when the first answer can be given.
    """

    name = "web"
    end_s = 2.0
    silence = "the web service does not answer"

    def __init__(
        self,
        file: str,
        listening: Listening,
        *,
        on_registered: Callable[[], None],
        on_ready: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._file = file
        self._listening = listening
        self._on_registered = on_registered
        self._on_ready: Callable[[str], None] | None = on_ready

    def leave(self) -> None:
        """Nothing listens any more, and the process ends its answers: it is gone in a second or two.

        Returns at once, and may be repeated; `stop` waits for the end.
        """
        self._over.set()
        with self._lock:
            self._listening.close()
        self.restart()

    def stop(self) -> None:
        """The process has ended, and nothing listens any more."""
        self.leave()
        super().stop()

    def reload(self) -> None:
        """The process reads the project's file again: it changed. Requests under way go on."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(OSError, ValueError):  # a process that ends reads nothing more
                    self._process.stdin.write(b"\n")
                    self._process.stdin.flush()

    def _command(self) -> Sequence[str]:
        descriptor = str(self._listening.socket.fileno())
        return [
            *(sys.executable, "-P", "-m", "stoker.web.serving"),
            *(self._file, descriptor, self._listening.url),
        ]

    def _descriptors(self) -> Sequence[int]:
        return (self._listening.socket.fileno(),)

    def _hear(self, said: bytes) -> None:
        if REGISTERED in said:
            self._on_registered()
        if READY in said and self._on_ready is not None:
            ready, self._on_ready = self._on_ready, None
            ready(self._listening.url)
