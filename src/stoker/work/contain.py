"""Owns the end of processes: whatever an attempt started is gone when the attempt has ended.

Three nets, from cheap to thorough. The session that every attempt leads is killed as one group. What
left the group becomes a child of the worker when its parent dies, since the worker is a child
subreaper, and is killed by the sweep. What outlives the worker itself carries a mark in its
environment, and a brand that it keeps without one, by which the warden, or the next worker on this
host, knows it.

A stray is only killed once the attempts that may own it have ended: its mark says which, or its
session, or its brand, and where all were shed, those that ran when it was first seen.
"""

import ctypes
import os
import signal
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from stoker.work import brand
from stoker.work.scratch import Owner, process_start

MARK = "STOKER_WORKER"  # in the environment of everything a worker starts
ATTEMPT = "STOKER_ATTEMPT"
_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper(*, wanted: bool = True) -> bool:
    """Orphans below this process become its children from now on; return whether they did before.

    With `wanted` false they go to the next reaper above again.
    """
    before = ctypes.c_int(0)
    _libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)
    return bool(before.value)


def die_with_parent(number: int) -> None:
    """From now on the caller gets signal `number` when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def close_to_others(*, wanted: bool = True) -> bool:
    """No other process of an ordinary account can read this one's memory, environment or files.

    Neither can the tasks, which run under the same account and lack the secrets in it. What is
    forked from here is closed too; what is executed is open again. Return whether it was before.
    """
    was_closed: bool = _libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 1
    _libc.prctl(_PR_SET_DUMPABLE, int(not wanted), 0, 0, 0)
    return was_closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Who started a process: store, host, boot and worker.

    `pid` and `started` name the worker's process, so that whether it still lives can be seen
    without asking the store.
    """

    store: str
    host: str
    boot: str
    pid: int
    started: int
    worker: int

    def __str__(self) -> str:
        return f"{self.store}:{self.host}:{self.boot}:{self.pid}:{self.started}:{self.worker}"

    @classmethod
    def parse(cls, text: str) -> "Mark | None":
        """Return the mark that `text` is; None for any other text."""
        parts = text.split(":")
        if len(parts) != 6 or not all(part.isdecimal() for part in parts[3:]):
            return None
        pid, started, worker = (int(part) for part in parts[3:])
        return cls(
            store=parts[0], host=parts[1], boot=parts[2], pid=pid, started=started, worker=worker
        )


def mark_of(owner: Owner) -> Mark:
    """Return the mark of the worker whose folder this is."""
    return Mark(
        store=owner.store,
        host=owner.host,
        boot=owner.boot_id,
        pid=owner.pid,
        started=owner.started,
        worker=owner.worker,
    )


def read_environment(pid: int) -> dict[bytes, bytes]:
    """Return the environment with which process `pid` was started; empty if it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return {}
    return {name: value for name, _, value in (entry.partition(b"=") for entry in entries)}


def marked_processes() -> Iterator[tuple[int, Mark]]:
    """Yield every process of this host that carries a worker's mark, as far as we may look."""
    name = MARK.encode() + b"="
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                content = file.read()
        except OSError:
            continue
        if name not in content:
            continue
        value = read_environment(int(entry)).get(MARK.encode(), b"")
        mark = Mark.parse(value.decode("utf-8", "replace"))
        if mark is not None:
            yield int(entry), mark


def kill_marked(*, store: str, host: str, boot: str, spare: Iterable[int] = ()) -> int:
    """Kill what dead workers of this store, host and boot left running; return how many.

    A batch system may have exported a mark to another host or a later boot: those are not ours to
    kill.
    """

    def left() -> Iterator[int]:
        for pid, mark in marked_processes():
            is_ours = (mark.store, mark.host, mark.boot) == (store, host, boot)
            if is_ours and process_start(mark.pid) != mark.started:
                yield pid

    return _kill_all(left, spare)


def kill_branded(workers: Container[int], spare: Iterable[int] = ()) -> int:
    """Kill whatever has the brand of one of these workers, which are dead; return how many.

    It finds what has shed its environment.
    """

    def left() -> Iterator[int]:
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            of = brand.read(pid)
            if of and brand.worker_in(of) in workers:
                yield pid

    return _kill_all(left, spare)


def _kill_all(left: Callable[[], Iterable[int]], spare: Iterable[int]) -> int:
    """Kill what is found until nothing is, as a process may fork while we look; return how many."""
    killed: set[int] = set()
    spared = {os.getpid(), *spare}
    for _ in range(50):
        found = False
        for pid in left():
            if pid in spared or process_start(pid) is None:
                continue
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                found = True
                killed.add(pid)
        if not found:
            break
    return len(killed)


def children(pid: int) -> list[int]:
    """Return the ids of the children of process `pid`, dead ones that nobody waited for included."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        return found
    return found


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below `pid`, parents before their children."""
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children(todo.pop())
        found += below
        todo += below
    return found


def kill_group(pid: int, number: int) -> None:
    """Everything in the session's group that `pid` leads gets signal `number`.

    The caller has not reaped `pid`, so that its id cannot belong to another group.
    """
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_tree(pid: int, number: int) -> None:
    """Signal `number` goes to the group that `pid` leads and to all that left it below `pid`."""
    below = descendants(pid)
    kill_group(pid, number)
    for process in below:
        with suppress(OSError):
            os.kill(process, number)


_spared: set[int] = set()
_starting = 0


@contextmanager
def sparing() -> Iterator[Callable[[int], None]]:
    """A child that is started in this block, and reported to what it yields, is never a stray.

    For helpers that another thread of a worker starts.
    """
    global _starting  # noqa: PLW0603 - children are the process's, not an object's
    _starting += 1
    try:
        yield _spared.add
    finally:
        _starting -= 1


def unspare(pid: int) -> None:
    """The helper is gone, and its id may be somebody else's."""
    _spared.discard(pid)


class Strays:
    """The children that a subreaper did not start itself, and when they may be killed.

    Children that the process had before, when a notebook or a test works itself, are no strays.
    """

    def __init__(self) -> None:
        self._spared = frozenset(children(os.getpid()))
        self.killed = 0  # how often one was sent a signal
        self._suspects: dict[int, frozenset[bytes]] = {}  # who may own a stray, by its pid
        self._children = os.open(
            f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC
        )

    def sweep(self, own: Container[int], running: dict[bytes, int], ended: bytes | None) -> bool:
        """Kill and reap the strays whose owners have all ended; return whether none is left.

        `own` are the children that are known, `running` the live attempts with their sessions, and
        `ended` the attempt that is just ending. A stray that may belong to a running attempt does
        not count as left.
        """
        is_clean = True
        strays = self._unknown(own)
        if not strays:
            self._suspects.clear()
            return _starting == 0
        for pid in strays:
            owners = self._suspects.get(pid)
            if owners is None:
                owners = self._suspects[pid] = _owners(pid, running, ended)
            if _reap(pid):  # it has ended by itself; nobody else will take it away
                del self._suspects[pid]
                continue
            if not owners.isdisjoint(running):
                continue
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                self.killed += 1
            if not _reap(pid):
                is_clean = False
            else:
                self._suspects.pop(pid, None)
        return is_clean and not self._has_fresh(own, strays)

    def of(self, attempt: bytes) -> list[int]:
        """Return the strays that are known to be this attempt's, as the latest sweep saw them."""
        return [pid for pid, owners in self._suspects.items() if owners == {attempt}]

    def _has_fresh(self, own: Container[int], seen: list[int]) -> bool:
        """Whether the death of strays has made orphans that were not looked at yet."""
        return any(pid not in seen for pid in self._unknown(own))

    def _unknown(self, own: Container[int]) -> list[int]:
        text = os.pread(self._children, 1 << 16, 0)
        is_starting = _starting > 0  # asked before the spared are: a start ends by sparing
        known = (own, self._spared, _spared)
        found = [pid for pid in map(int, text.split()) if not any(pid in one for one in known)]
        return [] if is_starting else found

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._children)


def _owners(pid: int, running: dict[bytes, int], ended: bytes | None) -> frozenset[bytes]:
    """Return the attempts that may own a stray: one by mark, session or brand, else all there are."""
    marked = read_environment(pid).get(ATTEMPT.encode(), b"")
    with suppress(ValueError):
        attempt = bytes.fromhex(marked.decode("ascii", "replace").replace("-", ""))
        if attempt:
            return frozenset((attempt,))
    with suppress(OSError):
        session = os.getsid(pid)
        for attempt, leader in running.items():
            if leader == session:
                return frozenset((attempt,))
    own = brand.read(pid)
    if brand.names_attempt(own) and brand.worker_in(own) == brand.read(os.getpid()):
        return frozenset(
            attempt for attempt, leader in running.items() if brand.read(leader) == own
        )
    return frozenset(running) | ({ended} if ended else frozenset())


def _reap(pid: int) -> bool:
    """Whether the child is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
