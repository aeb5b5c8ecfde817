"""What a warm process puts right between two tasks: its streams, and the state that is no module's.

A part of `warm.py`, and under its rules: it runs in any Python from 3.8 on, with nothing but the
standard library. It takes the functions that it needs when it is loaded, so that a task which
replaces them harms nobody else.
"""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]  # without the enums of `signal`, which are slow
import _thread
import fcntl
import gc
import os
import resource
import sys
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIGNALS = tuple(
    number for number in range(1, _signal.NSIG) if number not in (_signal.SIGKILL, _signal.SIGSTOP)
)
_TIMERS = (_signal.ITIMER_REAL, _signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF)
_LIMITS = tuple(  # but that of open files, which each task has of its own
    sorted(
        {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
        - {resource.RLIMIT_NOFILE}
    )
)
THREAD_S = 0.05  # that a thread which is ending anyway gets

_getsignal, _setsignal, _sigmask = _signal.getsignal, _signal.signal, _signal.pthread_sigmask
_getitimer, _setitimer = _signal.getitimer, _signal.setitimer
_getrlimit, _setrlimit = resource.getrlimit, resource.setrlimit
_setlocale, _umask, _dup, _close = _locale.setlocale, os.umask, os.dup, os.close
_getpriority, _setpriority = os.getpriority, os.setpriority
_getaffinity, _setaffinity = os.sched_getaffinity, os.sched_setaffinity
_waitid = os.waitid
_count_threads = _thread._count  # noqa: SLF001 - `threading` does not see them all
_sleep, _monotonic = time.sleep, time.monotonic
_pread, _fstat, _ftruncate, _dup2 = os.pread, os.fstat, os.ftruncate, os.dup2
_open = open

TEXT_BYTES = 8192  # a longer stream goes to the worker in a file
KEPT_BYTES = 10 * 1024 * 1024  # of one stream
NAMES = {1: "stdout", 2: "stderr"}


class Streams:
    """Stdout and stderr of the process, which are files that the worker made."""

    def __init__(self) -> None:
        self._kept = [(number, above(number)) for number in (1, 2)]
        self._own = (sys.stdout, sys.stderr)

    def restore(self) -> None:
        """Both are again what they were at the start, whatever a task did to them."""
        sys.stdout, sys.stderr = self._own
        for number, kept in self._kept:
            try:
                same = os.path.sameopenfile(number, kept)
            except OSError:
                same = False
            if not same:
                _dup2(kept, number)
        if any(stream.closed for stream in self._own):  # as by a wrapper around its buffer
            self._own = (_opened(1), _opened(2))
            sys.stdout, sys.stderr = self._own

    def collect(self, seat: str) -> Sequence[Any]:
        """Return what was written, and empty the files: nothing, or an entry for each stream.

        An entry is a short stream's text, or `[size, head, tail]`, with as many bytes from either
        end in a file in the seat's folder.
        """
        for stream in (sys.stdout, sys.stderr, *self._own):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        sizes = [_fstat(kept).st_size for _, kept in self._kept]
        if not any(sizes):
            return ()
        found: list[Any] = []
        for (number, kept), size in zip(self._kept, sizes):  # noqa: B905 - 3.8 has no `strict`
            if size > TEXT_BYTES:
                found.append(_move(kept, size, os.path.join(seat, NAMES[number])))
            else:
                found.append(_pread(kept, size, 0).decode("latin-1"))
            if size:
                _ftruncate(kept, 0)
        return found


def _move(descriptor: int, size: int, path: str) -> list[int]:
    """Write the stream's head and tail to `path`; return its size and theirs."""
    half = KEPT_BYTES // 2
    head = size if size <= KEPT_BYTES else half
    tail = 0 if size <= KEPT_BYTES else half
    with _open(path, "wb") as file:
        for start, length in ((0, head), (size - tail, tail)):
            file.writelines(
                _pread(descriptor, min(length - offset, 1 << 20), start + offset)
                for offset in range(0, length, 1 << 20)
            )
    return [size, head, tail]


def _opened(number: int) -> Any:
    """Return a text stream that writes to this descriptor, and leaves it open."""
    return _open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def above(number: int) -> int:
    """Return a copy of a descriptor that no child of ours inherits, out of the way of the user's."""
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100)


class State:
    """The state of the process as it was found, or as an import left it.

    `remember` is called after each import of a step's module: what a module sets up for good, as a
    locale or a folder on `sys.path`, is to stay. `restore` is called after each task.
    """

    def __init__(self) -> None:
        self.remember()

    def remember(self) -> None:
        """The state is what `restore` makes it again from now on."""
        self._handlers = [_getsignal(number) for number in _SIGNALS]
        self._mask = _sigmask(_signal.SIG_BLOCK, ())
        self._umask = _umask(0o077)
        _umask(self._umask)
        self._limits = [_getrlimit(which) for which in _LIMITS]
        self._most_files = _getrlimit(resource.RLIMIT_NOFILE)[1]
        self._locale = _setlocale(_locale.LC_ALL, None)
        self._priority = _getpriority(os.PRIO_PROCESS, 0)
        self._affinity = _getaffinity(0)
        self._path = list(sys.path)
        self._argv = list(sys.argv)
        self._recursion = sys.getrecursionlimit()
        self._collects = gc.isenabled()
        self._environ = os.environ
        self._filters = list(warnings.filters)
        self._threads = _count_threads()

    def restore(self) -> bool:
        """Whether the process is fit for another task: all is as it was, and nothing goes on in it.

        Threads and children cannot be ended from here, a hard limit not raised, and what is open not
        distinguished from what a module keeps open; a process with such things left is to end.
        """
        for timer in _TIMERS:
            _setitimer(timer, 0.0)
        sys.settrace(None)
        sys.setprofile(None)
        _umask(self._umask)
        self._restore_signals()
        self._restore_interpreter()
        try:
            self._restore_limits()
        except (OSError, ValueError):
            return False
        return not (has_children() or self._has_more_threads() or self._is_short_of_files())

    def _restore_signals(self) -> None:
        for number, handler in zip(_SIGNALS, self._handlers):  # noqa: B905 - 3.8 has no `strict`
            if handler is not None and _getsignal(number) is not handler:
                with suppress(OSError, ValueError, TypeError):
                    _setsignal(number, handler)
        if _sigmask(_signal.SIG_BLOCK, ()) != self._mask:
            _sigmask(_signal.SIG_SETMASK, self._mask)

    def _restore_interpreter(self) -> None:
        os.environ = self._environ  # noqa: B003 - the object itself, if a task replaced it
        if sys.path != self._path:
            sys.path[:] = self._path
        if sys.argv != self._argv:
            sys.argv = list(self._argv)
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
        if gc.isenabled() != self._collects:
            (gc.enable if self._collects else gc.disable)()
        if warnings.filters != self._filters:
            warnings.resetwarnings()
            warnings.filters[:] = self._filters  # type: ignore[index]  # a list, whatever typeshed says
        if _setlocale(_locale.LC_ALL, None) != self._locale:
            _setlocale(_locale.LC_ALL, self._locale)

    def _restore_limits(self) -> None:
        limits = [_getrlimit(which) for which in _LIMITS]
        if limits != self._limits:
            for which, limit in zip(_LIMITS, self._limits):  # noqa: B905 - 3.8 has no `strict`
                _setrlimit(which, limit)
        if _getpriority(os.PRIO_PROCESS, 0) != self._priority:
            _setpriority(os.PRIO_PROCESS, 0, self._priority)
        if _getaffinity(0) != self._affinity:
            _setaffinity(0, self._affinity)

    def _has_more_threads(self) -> bool:
        """Whether a thread of the task goes on; one that is ending gets a moment."""
        if _count_threads() <= self._threads:
            return False
        until_s = _monotonic() + THREAD_S
        while _count_threads() > self._threads and _monotonic() < until_s:
            _sleep(0.001)
        return bool(_count_threads() > self._threads)

    def _is_short_of_files(self) -> bool:
        """Whether over half of the descriptors are taken, or the task made it so for good."""
        try:
            lowest = _dup(0)
        except OSError:
            return True
        _close(lowest)
        soft, hard = _getrlimit(resource.RLIMIT_NOFILE)
        return hard != self._most_files or lowest > soft // 2 > 0


def has_children() -> bool:
    """Whether any process started by this one is left, running or not."""
    try:
        _waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
