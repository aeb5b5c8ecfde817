"""The intake of a service: a process of its own, so that a look never keeps the worker waiting."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from stoker.errors import Unavailable
from stoker.work import contain
from stoker.work.patience import Patience
from stoker.work.threads import Companion

_END_S = 20.0  # that it gets to finish what it is registering

_log = logging.getLogger(__name__)


class Intake(Companion):
    """The service that runs the process that follows the sources of the project at `file`.

    It is started again when it dies. It hears of our end by its input, which only we hold open, so
    that it ends with us whatever ends us. `on_taken` is called whenever there are new items.
    """

    name = "intake"

    def __init__(self, file: str, *, on_taken: Callable[[], None]) -> None:
        super().__init__()
        self._file = file
        self._on_taken = on_taken
        self._outage = Patience()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """The process has ended, by force if it did not in time, and so has the thread."""
        self._over.set()
        self.restart()
        self._join(_END_S)
        with self._lock:
            if self._process is not None:
                self._process.kill()
        super().stop()

    def health(self) -> str | None:
        """Return why nothing is taken in."""
        return self._outage.trouble

    def restart(self) -> None:
        """The process ends in order, and unless this is the end, another begins: the file changed."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(OSError):
                    self._process.stdin.close()

    def _run(self) -> None:
        """Start the process, listen to it until it ends, and start it again."""
        while not self._over.is_set():
            try:
                process = self._start()
            except OSError as error:
                self._rest(f"the intake cannot be started: {error}")
                continue
            if process.stdout is not None:
                while os.read(process.stdout.fileno(), 4096):
                    self._outage.end()
                    self._on_taken()
                process.stdout.close()
            code = process.wait()
            contain.unspare(process.pid)
            with self._lock:
                self._process = None
                if process.stdin is not None:
                    with suppress(OSError):
                        process.stdin.close()
            if code == Unavailable.exit_code:
                self._rest("nothing is taken in, as the store does not answer; it is tried again")
            elif code != 0:
                self._outage.end()
                self._rest(f"the intake ended with {code} and begins again")
            else:
                self._outage.end()

    def _rest(self, trouble: str) -> None:
        """Say what is wrong, once, and wait until it is time for another attempt."""
        if self._over.is_set():
            return
        if self._outage.is_news(trouble):
            _log.warning("%s", trouble, extra={"event": "intake_ended"})
        self._over.wait(self._outage.next_pause_s())

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._lock, contain.sparing() as spare:
            process = subprocess.Popen(
                _command(self._file),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            spare(process.pid)
            self._process = process
        return process


def _command(file: str) -> list[str]:
    return [sys.executable, "-P", "-m", "stoker.project.taking", file]
