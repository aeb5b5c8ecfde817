"""Owns the start of a process: one fork and exec, with nothing inherited by chance.

The interpreter's own `fork_exec` is called directly where its signature is known: it is three times
as fast as `subprocess.Popen`, and every attempt pays for it. Where a Python has changed it, `Popen`
does the same work. Never call this from any thread but the main one: a child dies with the thread
that started it once it asks for `PR_SET_PDEATHSIG`.
"""

import ctypes
import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from stoker.errors import UserError

_EXEC_FAILED = 255  # what CPython's child exits with when it could not execute
_FORK_EXEC_ARGUMENTS = 22 if sys.version_info >= (3, 14) else 23  # 3.14 dropped `allow_vfork`


def _find_fork_exec() -> Callable[..., int] | None:
    """Return the interpreter's `fork_exec`, or None where this Python has none."""
    try:
        import _posixsubprocess
    except ImportError:
        return None
    return _posixsubprocess.fork_exec


_fork_exec = _find_fork_exec()


def encode_env(env: Mapping[str, str]) -> list[bytes]:
    """Return `env` as the kernel wants it; ValueError if something in it has a NUL."""
    encoded = os.fsencode("\0".join([f"{name}={value}" for name, value in env.items()]))
    entries = encoded.split(b"\0") if env else []
    if len(entries) != len(env):
        raise ValueError("a value for the environment has a NUL byte")
    return entries


@lru_cache(maxsize=256)
def _places(program: bytes, path: bytes) -> tuple[bytes, ...]:
    """Return the paths at which `program` may be, in the order of a PATH."""
    if b"/" in program:
        return (program,)
    return tuple(os.path.join(folder or b".", program) for folder in path.split(b":"))


def clean_inheritance() -> None:
    """From now on no child inherits a blocked or ignored signal, or an open file, from our parent.

    Called once, in the main thread, when a worker starts. Signals ignored on our behalf (`nohup`, a
    background job of a shell) get a handler that does nothing, which exec turns into the default.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) == signal.SIG_IGN and number not in (
            signal.SIGPIPE,  # fork_exec itself restores this one, and Python relies on it
            signal.SIGXFSZ,
        ):
            with suppress(OSError, ValueError):
                signal.signal(number, _do_nothing)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):
                os.set_inheritable(int(name), False)  # noqa: FBT003 - by position only


def _do_nothing(_number: int, _frame: object) -> None:
    """Take a signal that our parent had us ignore."""


def use_short_slice() -> bool:
    """Whether the kernel gave this thread a slice of 0.1 ms, so that it wakes soon after a fork.

    The scheduler's default slice of some milliseconds lets a child that has just been started keep
    the processor while its parent waits. Children start with the default again (reset on fork).
    """
    size = 48
    sched_setattr = {"x86_64": 314, "aarch64": 274, "ppc64le": 355, "s390x": 345}
    number = sched_setattr.get(os.uname().machine)
    if number is None:
        return False
    attributes = (ctypes.c_uint8 * size)()
    view = memoryview(attributes).cast("B")
    view[0:4] = size.to_bytes(4, sys.byteorder)
    view[8:16] = (1).to_bytes(8, sys.byteorder)  # SCHED_FLAG_RESET_ON_FORK
    view[24:32] = (100_000).to_bytes(8, sys.byteorder)  # runtime in nanoseconds: the slice
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.syscall(number, 0, ctypes.byref(attributes), 0) == 0)


def raise_open_files(needed: int) -> None:
    """The caller may have as many files open from now on, or as many as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))


def check_open_files(wanted: int) -> None:
    """UserError if no process here may have so many files open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if wanted > hard:
        raise UserError(
            f"`open_files = {wanted}` is more than the {hard} that this host allows; lower it, or "
            "raise the limit for the account (`ulimit -Hn`, `LimitNOFILE=`)"
        )


def with_open_files(argv: Sequence[bytes], most: int) -> list[bytes]:
    """Return a command that is `argv`, and may have no more files open at a time from its first call.

    To set the limit once the process has started would be too late on a busy host.
    """
    return [b"/bin/sh", b"-c", b'ulimit -n "$0" && exec "$@"', str(most).encode(), *argv]


class Launcher:
    """Starts processes in sessions of their own, with /dev/null to read from.

    One belongs to each place of a worker. After `start`, a process that ends with code 255 may never
    have been executed: `failure` shows it.
    """

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._errors, self._errors_in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def start(
        self,
        argv: Sequence[bytes],
        env: Sequence[bytes],
        *,
        path: bytes,
        folder: str,
        stdout: int,
        stderr: int,
        stdin: int | None = None,
    ) -> int:
        """Return the id of a new process, leader of a new session, working in `folder`.

        `path` is the PATH on which the program is looked up; the descriptors stay the caller's.
        OSError if the system has no room for a process, or (by `Popen` only) if the program cannot
        be executed.
        """
        read = self._null if stdin is None else stdin
        if _fork_exec is None:
            return _start_by_popen(argv, env, folder, (read, stdout, stderr))
        arguments: tuple[Any, ...] = (
            argv,
            _places(argv[0], path),
            False,  # close nothing: every descriptor of ours is closed on exec
            (),
            folder,
            env,
            read,
            -1,
            -1,
            stdout,
            -1,
            stderr,
            self._errors,
            self._errors_in,
            True,  # restore SIGPIPE and SIGXFSZ
            True,  # a new session
            -1,
            None,
            None,
            None,
            -1,
            None,
            True,  # vfork
        )
        return _fork_exec(*arguments[:_FORK_EXEC_ARGUMENTS])

    def failure(self, exit_code: int | None) -> OSError | None:
        """Return why the process that ended with `exit_code` was never executed; None if it was."""
        if exit_code != _EXEC_FAILED:
            return None
        try:
            text = os.read(self._errors, 4096)
        except BlockingIOError:
            return None
        number = int(text.split(b":")[1] or b"0", 16) or errno.EINVAL
        return OSError(number, os.strerror(number))

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (self._null, self._errors, self._errors_in):
            os.close(descriptor)


def _start_by_popen(
    argv: Sequence[bytes], env: Iterable[bytes], folder: str, streams: tuple[int, int, int]
) -> int:
    """Start by the public way, for a Python whose `fork_exec` we do not know."""
    pairs = (entry.partition(b"=") for entry in env)
    process = subprocess.Popen(
        argv,
        env={name: value for name, _, value in pairs},
        cwd=folder,
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        start_new_session=True,
    )
    process.returncode = 0  # the worker waits for it; `Popen` must not
    return process.pid
