"""The parent that outlives a worker: whatever the worker leaves when it is killed, the warden ends.

`guard` forks before anything is opened. The child goes on and works; the parent stays as it is, one
thread and nothing to lose, and waits. It is a child subreaper: when the worker is killed, all that
the worker had started becomes the warden's, which kills it, and then starts the worker again. The
new worker clears the scratch and reports the lost attempts before it claims. Where control groups
can be written, the worker and all below it are in one of their own, which is killed as a whole.

A worker that was killed while the store does not answer has a successor that cannot begin. The
warden starts others, less and less often, until one can, or a signal comes.

If the warden itself is killed, the worker hears of it and stops in order. If both are, the next
worker on this host finds what they left by its marks and its group.

A second order to stop always ends both. The worker may be held in a call that nothing can interrupt,
such as a read from a file server that does not answer; the warden, which does no such thing itself,
then kills it, and leaves the cleaning to the next worker.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from stoker.errors import Unavailable
from stoker.failpoints import hit
from stoker.work import cgroups, contain
from stoker.work.patience import Patience
from stoker.work.scratch import remove_worker_folder
from stoker.work.signals import STOPS, WARNINGS, Signals, note_early

MOST_DEATHS = 5  # within
DEATHS_WINDOW_S = 60.0  # before the warden gives up
EXIT_GAVE_UP = 70
EXIT_INTERRUPTED = 130
LAST_S = 8.0  # that a worker gets after a second order; it needs less unless something holds it
_LEAVE_S = 12.0  # that its end, and that of what it left, may take once it was killed
_SWEEP_LIMIT_S = 10.0
_LOOK_S = 0.1  # for signals, while it waits for the store
_NO_STORE = "the worker cannot begin again, as the store does not answer"

_log = logging.getLogger(__name__)
_folder_note: int | None = None  # in the worker: where to say which folder it has


def note_folder(path: str) -> None:
    """The warden, if there is one, knows the worker's folder, to remove it if nobody else will."""
    if _folder_note is not None:
        with suppress(OSError):
            os.write(_folder_note, os.fsencode(path) + b"\0")


def guard(work: Callable[[bool], int]) -> int:
    """Return what `work` returns, called in a child that is watched over, and again if it is killed.

    Called in the main thread of a process without other threads. Signals that ask this process to
    stop reach the worker; the exit code of an orderly end is passed on. The first `work` may find
    that the store does not answer, which is an end; for one that follows a killed one it is not:
    it is called again later, then with True, as there is nothing new to say.
    """
    return _Warden(work).watch()


class _Warden:
    """One `guard`."""

    def __init__(self, work: Callable[[bool], int]) -> None:
        self._work = work
        self._worker = 0
        self._orders = Signals()
        self._stop_number = 0
        self._was_killed = False  # a worker before this one
        self._is_cut_off = False  # after a second order the worker did not end by itself
        self._deaths: list[float] = []
        self._notes = (-1, -1)
        self._left: list[str] = []  # folders of killed workers, which a successor clears if it can
        self._outage = Patience()
        self._has_said = False

    def watch(self) -> int:
        """Start the worker, and again when it is killed; return the code to end with."""
        was_closed = contain.close_to_others()
        was_subreaper = contain.become_subreaper()
        spared = frozenset(contain.children(os.getpid()))
        before = {
            number: signal.signal(number, self._pass_on)
            for number in (*STOPS, *WARNINGS)
            if signal.getsignal(number) != signal.SIG_IGN
        }
        try:
            while True:
                self._start(before)
                code = os.waitstatus_to_exitcode(self._wait())
                ended, self._worker = self._worker, 0
                hit("warden.worker_ended")
                cgroups.kill(ended)
                hit("warden.group_killed")
                self._sweep(spared)
                hit("warden.swept")
                folders = self._noted_folders()
                if code < 0:
                    self._left += folders
                    if self._is_cut_off:
                        return EXIT_INTERRUPTED
                    if not self._may_start_again(-code):
                        return 128 - code if self._orders.count else EXIT_GAVE_UP
                elif folders or not self._was_killed or code != Unavailable.exit_code:
                    return code
                elif not self._wait_for_store():
                    return 128 + self._stop_number
        finally:
            if not self._is_cut_off:  # whatever held the worker may hold us too
                self._remove_folders()
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            self._close_notes()
            for number, handler in before.items():
                signal.signal(number, handler)
            contain.become_subreaper(wanted=was_subreaper)
            contain.close_to_others(wanted=was_closed)

    def _start(self, handlers: Mapping[signal.Signals, Any]) -> None:
        self._close_notes()
        self._notes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)  # or one might go to nobody
        missed = self._orders.count
        self._worker = os.fork()
        if self._worker == 0:
            code = EXIT_GAVE_UP
            try:
                self._become_worker(parent, handlers, mask)
                code = self._work(self._has_said)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            finally:  # the child never returns into its parent's code
                kind, problem, trace = sys.exc_info()
                if kind is not None and problem is not None:
                    sys.excepthook(kind, problem, trace)
                with suppress(OSError, ValueError):
                    sys.stdout.flush()
                    sys.stderr.flush()
                cgroups.leave()
                os._exit(code)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if missed:  # it came before there was this worker
            os.kill(self._worker, signal.SIGTERM)

    def _become_worker(
        self, parent: int, handlers: Mapping[signal.Signals, Any], mask: set[int]
    ) -> None:
        """The child has its own handlers, its group, and the promise to hear of its parent's end."""
        global _folder_note  # noqa: PLW0603 - one per process, set right after the fork
        os.close(self._notes[0])
        _folder_note = self._notes[1]
        for number, handler in handlers.items():
            signal.signal(number, note_early if number in WARNINGS else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        contain.die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
        cgroups.enter()

    def _pass_on(self, number: int, _frame: object) -> None:
        """A signal to the warden is one to the worker; from a terminal it has come there already."""
        if number in WARNINGS:
            note_early(number, None)  # for a worker that is to follow
            if self._worker:
                with suppress(ProcessLookupError):
                    os.kill(self._worker, number)
            return
        self._stop_number = number
        if self._orders.add_signal() and self._orders.count == 2:
            signal.signal(signal.SIGALRM, self._cut_off)
            signal.setitimer(signal.ITIMER_REAL, LAST_S)
        if self._worker and not (number == signal.SIGINT and _is_shared_with(self._worker)):
            with suppress(ProcessLookupError):
                os.kill(self._worker, number)

    def _cut_off(self, _number: int, _frame: object) -> None:
        """The worker is killed; where even that does not end it, the warden ends without it."""
        if self._is_cut_off:
            os._exit(EXIT_INTERRUPTED)
        self._is_cut_off = True
        signal.setitimer(signal.ITIMER_REAL, _LEAVE_S)
        if self._worker:
            with suppress(ProcessLookupError):
                os.kill(self._worker, signal.SIGKILL)

    def _wait(self) -> int:
        """Return how the worker ended; whatever else becomes our child meanwhile is reaped."""
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self._worker:
                return status

    def _sweep(self, spared: frozenset[int]) -> None:
        """Nothing that the worker had started is left."""
        until_s = time.monotonic() + _SWEEP_LIMIT_S
        while time.monotonic() < until_s:
            left = [pid for pid in contain.children(os.getpid()) if pid not in spared]
            if not left:
                return
            hit("warden.sweeping")
            for pid in left:
                for below in (*contain.descendants(pid), pid):
                    with suppress(OSError):
                        os.kill(below, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.002)
        _log.error("a process cannot be killed", extra={"event": "unkillable"})

    def _may_start_again(self, number: int) -> bool:
        """Whether a worker that was killed is to be started again, and the log says so."""
        if self._orders.count:
            return False
        now_s = time.monotonic()
        self._deaths = [at_s for at_s in self._deaths if now_s - at_s < DEATHS_WINDOW_S]
        self._deaths.append(now_s)
        if len(self._deaths) > MOST_DEATHS:
            _log.error("the worker dies again and again", extra={"event": "worker_gave_up"})
            return False
        _log.warning(
            "the worker was killed and starts again",
            extra={"event": "worker_killed", "signal": number},
        )
        self._was_killed, self._has_said = True, False
        self._outage.end()
        return True

    def _wait_for_store(self) -> bool:
        """Wait until it is time for another worker to try; False if a signal has come."""
        if self._outage.is_news(_NO_STORE):
            _log.warning("%s; it is tried again", _NO_STORE, extra={"event": "store_away"})
        self._has_said = True
        until_s = time.monotonic() + self._outage.next_pause_s()
        while not self._orders.count and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
        return not self._orders.count

    def _noted_folders(self) -> list[str]:
        """Return the folders that the worker had; none if it never began to work."""
        noted = b""
        with suppress(BlockingIOError):
            noted = os.read(self._notes[0], 1 << 16)
        return [os.fsdecode(path) for path in noted.split(b"\0") if path]

    def _remove_folders(self) -> None:
        """Nothing is left of the folders of killed workers, also where no other worker followed."""
        for folder in self._left:
            with suppress(OSError):
                remove_worker_folder(folder)

    def _close_notes(self) -> None:
        for descriptor in self._notes:
            if descriptor >= 0:
                os.close(descriptor)
        self._notes = (-1, -1)


def _is_shared_with(pid: int) -> bool:
    """Whether a terminal's signals go to both processes: they are in its foreground group."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(descriptor) == os.getpgid(pid)
    except OSError:
        return False
    finally:
        os.close(descriptor)
