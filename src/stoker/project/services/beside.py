"""A process of ours that runs beside the worker, and is started again when it dies."""

import logging
import os
import subprocess
import threading
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress

from stoker.errors import Unavailable
from stoker.work import contain
from stoker.work.patience import Patience
from stoker.work.threads import Companion

_log = logging.getLogger(__name__)


class Beside(Companion):
    """The service that runs one process until it is stopped, and starts it again when it dies.

    The process is notified of our end by its standard input, which only we hold open, so that it ends
    with us whatever ends us. `_hear` gets what it writes to standard output.
    """

    end_s = 20.0  # that the process gets to finish its work
    silence = ""  # the effect of a store that does not answer, as the beginning of a sentence

    def __init__(self) -> None:
        super().__init__()
        self._outage = Patience()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """The process has ended, by force if it did not in time, and so has the thread."""
        self._over.set()
        self.restart()
        self._join(self.end_s)
        with self._lock:
            if self._process is not None:
                self._process.kill()
        super().stop()

    def health(self) -> str | None:
        """Return why the process does not do its work."""
        return self._outage.trouble

    def restart(self) -> None:
        """The process ends in order, and unless this is the end, another begins: the file changed."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                with suppress(OSError):
                    self._process.stdin.close()

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the words that start the process."""

    @abstractmethod
    def _hear(self, said: bytes) -> None:
        """The process wrote this to its standard output."""

    def _descriptors(self) -> Sequence[int]:
        """Return the descriptors that the process inherits."""
        return ()

    def _run(self) -> None:
        """Start the process, listen to it until it ends, and start it again."""
        while not self._over.is_set():
            try:
                process = self._start()
            except OSError as error:
                self._rest(f"the {self.name} process cannot be started: {error}")
                continue
            if process is None:
                return
            if process.stdout is not None:
                while said := os.read(process.stdout.fileno(), 4096):
                    self._outage.end()
                    self._hear(said)
                process.stdout.close()
            code = process.wait()
            contain.unspare(process.pid)
            with self._lock:
                self._process = None
                if process.stdin is not None:
                    with suppress(OSError):
                        process.stdin.close()
            if code == Unavailable.exit_code:
                self._rest(f"{self.silence}, as the store does not answer; it is tried again")
            elif code != 0:
                self._outage.end()
                self._rest(f"the {self.name} process ended with {code} and begins again")
            else:
                self._outage.end()

    def _rest(self, trouble: str) -> None:
        """Report the trouble, once, and wait until it is time for another attempt."""
        if self._over.is_set():
            return
        if self._outage.is_news(trouble):
            _log.warning("%s", trouble, extra={"event": f"{self.name}_ended"})
        self._over.wait(self._outage.next_pause_s())

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """Return the process that was started; None if we are being stopped."""
        with self._lock, contain.sparing() as spare:
            if self._over.is_set():
                return None
            process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                pass_fds=self._descriptors(),
            )
            spare(process.pid)
            self._process = process
        return process
