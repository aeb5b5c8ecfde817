"""The mark that a process keeps when it clears its environment and leaves its session: a limit.

Limits of resources go from a process to all that it starts, whatever those do to their environments,
sessions, names and descriptors. The one for the time that a real-time process may run without a
pause (`RLIMIT_RTTIME`, in microseconds) bounds nobody from 2^62 on, so that its lower bits can say
which worker and which of its attempts a process belongs to. Who sets that limit sheds the mark; who
may set no such value, since a lower one is imposed on the account, has none.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import xxhash

_BASE = 1 << 62
_ATTEMPT_BITS = 24
_ATTEMPTS = (1 << _ATTEMPT_BITS) - 1
_WORKERS = (1 << 62 - _ATTEMPT_BITS) - 1


def of_worker(mark: str) -> int:
    """Return the brand of the worker that puts `mark` into environments."""
    number = xxhash.xxh3_64_intdigest(mark.encode()) & _WORKERS
    return _BASE | number << _ATTEMPT_BITS


def of_attempt(worker: int, serial: int) -> int:
    """Return the brand of a worker's attempt, by the worker's brand and the number of its claim.

    Nought where the worker has none.
    """
    return worker and worker | serial % _ATTEMPTS + 1


def worker_in(brand: int) -> int:
    """Return the brand of the worker to which this one belongs, which is itself if it is a worker's."""
    return brand & ~_ATTEMPTS


def names_attempt(brand: int) -> bool:
    """Whether the brand is that of an attempt."""
    return bool(brand & _ATTEMPTS)


def put(brand: int) -> None:
    """The caller, and what it starts from now on, has this brand; nought takes it away."""
    soft, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    if 0 <= soft < _BASE:
        return  # somebody means it
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (brand or hard, hard))


@contextmanager
def changed(own: int, brand: int) -> Iterator[None]:
    """In the block the caller, whose brand is `own`, has this one. Every attempt pays for it."""
    if not own:
        yield
        return
    hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
    resource.setrlimit(resource.RLIMIT_RTTIME, (brand, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, (own, hard))


def read(pid: int) -> int:
    """Return the brand of a process; nought if it has none, or is gone or not ours."""
    try:
        soft = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except OSError:
        return 0
    return soft if soft >= _BASE else 0


@contextmanager
def worn() -> Iterator[None]:
    """Whatever is put on in the block is taken off after it."""
    before = read(os.getpid())
    try:
        yield
    finally:
        put(before)
