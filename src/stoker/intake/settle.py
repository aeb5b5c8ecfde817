"""Whether a file is complete: it is once nothing has changed it for a while."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

PATIENCE = 10  # times `settle_s` that a file may go on changing before it is left for later


class Look(NamedTuple):
    """What one look at a file found; equal looks mean that nothing happened in between."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def look(path: str) -> Look | None:
    """Return what is seen of the file now; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return Look(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def settled(
    paths: Iterable[str],
    *,
    settle_s: float,
    is_known: Callable[[str], bool] = lambda _path: False,
    on_wait: Callable[[int, float], None] | None = None,
    on_left: Callable[[str], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    now_s: Callable[[], float] = time.time,
) -> Iterator[str]:
    """Yield the paths once they are complete: those that have not changed for `settle_s` first.

    A young file that `is_known` with just this content is left out, so that nobody waits for it.
    The other young ones are looked at again after `settle_s`, and again while they change, for ten times
    that long at most; `on_wait` hears how many and how long before each wait, and `on_left` of each
    that still changes at the end or is gone. The time of the last change is the file's ctime, which
    no copying program can set back; where a file server's clock runs behind this host's by more
    than `settle_s`, a file in the making looks old, and only a longer `settle` helps.
    """
    young: dict[str, Look | None] = {}
    for path in paths:
        seen = look(path)
        if seen is not None and now_s() - seen.ctime_ns / 1e9 >= settle_s:
            yield path
        elif not is_known(path):
            young[path] = seen
    until_s = now_s() + PATIENCE * settle_s
    while young and now_s() < until_s:
        if on_wait is not None:
            on_wait(len(young), settle_s)
        sleep(settle_s)
        changing: dict[str, Look | None] = {}
        for path, before in young.items():
            seen = look(path)
            if seen is not None and seen == before:
                yield path
            else:
                changing[path] = seen
        young = changing
    for path in young:
        if on_left is not None:
            on_left(path)
