"""Owns what this process's control groups, of version 1 and 2, let it use: the least on the way up.

In a container the groups above its own cannot be seen, and the path that the kernel names may not be
either; then the limit is in the files at the mount's root.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_UNLIMITED = 1 << 60  # version 1 says by a huge number that there is no limit


class Bound(NamedTuple):
    """A limit, and the group that sets it, by an id that no other group of the host has."""

    n: int
    group: str


def cpu_bound() -> Bound | None:
    """Return how many whole cpus the groups allow, at least one; None without a limit."""
    found = []
    for folder in _folders("cpu"):
        words = _words(folder, "cpu.max") or [
            *_words(folder, "cpu.cfs_quota_us"),
            *_words(folder, "cpu.cfs_period_us"),
        ]
        with suppress(ValueError, IndexError):
            quota_us, period_us = int(words[0]), int(words[1])
            if quota_us > 0 and period_us > 0:
                found.append((max(1, quota_us // period_us), folder))
    return _least(found)


def memory_bound() -> Bound | None:
    """Return how many bytes the groups allow; None without a limit."""
    found = []
    for folder in _folders("memory"):
        words = _words(folder, "memory.max") or _words(folder, "memory.limit_in_bytes")
        with suppress(ValueError, IndexError):
            if 0 < int(words[0]) < _UNLIMITED:
                found.append((int(words[0]), folder))
    return _least(found)


def _least(found: list[tuple[int, str]]) -> Bound | None:
    if not found:
        return None
    n, folder = min(found)
    try:
        group = str(os.stat(folder).st_ino)
    except OSError:
        group = ""
    return Bound(n, group)


def _folders(controller: str) -> Iterator[str]:
    """Yield the folders of this process's group and of all above it, where they can be seen."""
    for mount, own in _groups(controller):
        group = own
        while group not in ("", "/"):
            yield mount + group
            group = os.path.dirname(group)
        yield mount


def _groups(controller: str) -> list[tuple[str, str]]:
    """Return mount and path of this process's groups that may limit this, of both versions."""
    mounts: dict[str, str] = {}  # by controller; "" is version 2
    paths: dict[str, str] = {}
    with suppress(OSError), open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            _, mount, kind, options, *_ = line.split(" ")
            if kind in ("cgroup", "cgroup2"):
                for name in options.split(",") if kind == "cgroup" else [""]:
                    mounts.setdefault(name, mount)
    with suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for name in controllers.split(","):
                paths[name] = path
    return [(mounts[name], paths.get(name, "/")) for name in ("", controller) if name in mounts]


def _words(folder: str, name: str) -> list[str]:
    try:
        with open(f"{folder}/{name}", encoding="ascii") as file:
            return file.read().split()
    except (OSError, ValueError):
        return []
