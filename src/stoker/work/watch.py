"""The one place where a worker waits: for ends of processes, replies, its own threads and signals.

Each process is watched through a descriptor of its own (pidfd), so that nobody else's children are
reaped and no signal is blocked. Kernels before 5.3 have none: there, ends are looked for every few
milliseconds.
"""

import os
import select
from contextlib import suppress
from typing import Any

_BLIND_S = 0.005


class Watcher:
    """Waits for processes and descriptors; each is watched on behalf of an owner."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._owners: dict[int, tuple[Any, int]] = {}  # by descriptor; pid, or 0 for a plain one
        self._by_pid: dict[int, int] = {}
        self._blind: dict[int, Any] = {}
        self._can_see = hasattr(os, "pidfd_open")
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_out, select.EPOLLIN)

    @property
    def wake_descriptor(self) -> int:
        """What to write a byte to in order to end a wait; for `signal.set_wakeup_fd`."""
        return self._wake_in

    def wake(self) -> None:
        """End the wait, from any thread."""
        with suppress(BlockingIOError, OSError):
            os.write(self._wake_in, b"\0")

    def watch_process(self, pid: int, owner: Any) -> None:
        """`poll` yields `(owner, pid)` once the process has ended; the owner reaps it."""
        if self._can_see:
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:
                self._can_see = False
            else:
                self._epoll.register(descriptor, select.EPOLLIN)
                self._owners[descriptor] = (owner, pid)
                self._by_pid[pid] = descriptor
                return
        self._blind[pid] = owner

    def watch_descriptor(self, descriptor: int, owner: Any) -> None:
        """`poll` yields `(owner, 0)` when the descriptor can be read."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._owners[descriptor] = (owner, 0)

    def forget_process(self, pid: int) -> None:
        """The process is not watched any more."""
        descriptor = self._by_pid.pop(pid, None)
        if descriptor is None:
            self._blind.pop(pid, None)
            return
        self.forget_descriptor(descriptor)
        os.close(descriptor)

    def forget_descriptor(self, descriptor: int) -> None:
        """The descriptor is not watched any more.

        Called before it is closed: a child between fork and exec may hold a copy, for which the
        kernel would go on reporting.
        """
        if self._owners.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def poll(self, timeout_s: float) -> list[tuple[Any, int]]:
        """Return what has happened within `timeout_s`; empty if nothing has, or on `wake`."""
        if self._blind:
            timeout_s = min(timeout_s, _BLIND_S)
        found: list[tuple[Any, int]] = []
        for descriptor, _ in self._epoll.poll(timeout_s, 64):
            entry = self._owners.get(descriptor)
            if entry is not None:
                found.append(entry)
            elif descriptor == self._wake_out:
                with suppress(BlockingIOError):
                    os.read(self._wake_out, 4096)
        if self._blind:
            found += [(owner, pid) for pid, owner in self._blind.items() if _has_ended(pid)]
        return found

    def close(self) -> None:
        """Give all descriptors back."""
        for pid in list(self._by_pid):
            self.forget_process(pid)
        self._epoll.close()
        os.close(self._wake_out)
        os.close(self._wake_in)


def _has_ended(pid: int) -> bool:
    with suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True
