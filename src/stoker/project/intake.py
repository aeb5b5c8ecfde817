"""The intake of a service: a process of its own, so that a look never keeps the worker waiting."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from stoker.work import contain

AGAIN_S = 2.0  # after its end, before it is started again
_END_S = 20.0  # that it gets to finish what it is registering

_log = logging.getLogger(__name__)


class Intake:
    """Runs the process that follows the sources of the project at `file`, until the block ends.

    It is started again when it dies. It hears of our end by its input, which only we hold open, so
    that it ends with us whatever ends us. `on_taken` is called whenever there are new items.
    """

    def __init__(self, file: str, *, on_taken: Callable[[], None]) -> None:
        self._file = file
        self._on_taken = on_taken
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._mind, name="intake", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self.restart()
        self._thread.join(_END_S)
        with self._lock:
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    def restart(self) -> None:
        """The process ends in order, and unless this is the end, another begins: the file changed."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(OSError):
                    self._process.stdin.close()

    def _mind(self) -> None:
        """Start the process, listen to it until it ends, and start it again."""
        while not self._over.is_set():
            process = self._start()
            if process.stdout is not None:
                while os.read(process.stdout.fileno(), 4096):
                    self._on_taken()
                process.stdout.close()
            code = process.wait()
            contain.unspare(process.pid)
            with self._lock:
                self._process = None
                if process.stdin is not None:
                    with suppress(OSError):
                        process.stdin.close()
            if code != 0 and not self._over.is_set():
                _log.warning(
                    "the intake ended and begins anew",
                    extra={"event": "intake_ended", "exit_code": code},
                )
                self._over.wait(AGAIN_S)

    def _start(self) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-P", "-m", "stoker.project.taking", self._file]
        with self._lock, contain.sparing() as spare:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            spare(process.pid)
            self._process = process
        return process
