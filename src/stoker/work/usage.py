"""What this machine has for attempts, and what a running attempt takes of it."""

import os
import resource
from collections.abc import Sequence
from contextlib import suppress

from stoker.work.contain import descendants

_PAGE = os.sysconf("SC_PAGE_SIZE")
_UNLIMITED = 1 << 60  # version 1 of cgroups says no limit by a huge number


def host_cpus() -> int:
    """Return how many cpus this process may use: of its affinity mask and of its control group."""
    cpus = len(os.sched_getaffinity(0))
    quota = _cgroup_value("cpu.max", "cpu/cpu.cfs_quota_us")
    period = _cgroup_value("cpu.max", "cpu/cpu.cfs_period_us", field=1)
    if quota is not None and period and quota > 0:
        cpus = min(cpus, max(1, quota // period))
    return cpus


def host_memory_bytes() -> int:
    """Return how much memory attempts may use together: of the machine and of the control group."""
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE
    limit = _cgroup_value("memory.max", "memory/memory.limit_in_bytes")
    return total if limit is None or not 0 < limit < _UNLIMITED else min(total, limit)


def _cgroup_value(unified: str, split: str, *, field: int = 0) -> int | None:
    """Return a number of this process's control group, version 2 first; None if there is none."""
    for path in (*_group_files(unified), f"/sys/fs/cgroup/{split}"):
        with suppress(OSError, ValueError, IndexError), open(path, encoding="ascii") as file:
            return int(file.read().split()[field])
    return None


def _group_files(name: str) -> list[str]:
    """Return where version 2 may have a file for this process: its group and all above it."""
    found: list[str] = []
    with suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            number, _, group = line.strip().split(":", 2)
            while number == "0" and group not in ("", "/"):
                found.append(f"/sys/fs/cgroup{group}/{name}")
                group = os.path.dirname(group)
    return found


class Peaks:
    """Tells the peak memory of the processes that its own process has started.

    Linux counts what the parent had at the start of a command into the command's own peak, so that
    a figure below the parent's says nothing. The parent's only grows: it is asked for again only
    where what was last heard of it does not decide.
    """

    def __init__(self) -> None:
        self._own_kib = 0

    def of(self, used: resource.struct_rusage) -> int:
        """Return the peak, in bytes, of a process that has ended, by `wait4`; 0 if it is not known."""
        if used.ru_maxrss > self._own_kib:
            self._own_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used.ru_maxrss * 1024 if used.ru_maxrss > self._own_kib else 0


def tree_peak_bytes(pid: int) -> int:
    """Return the peak so far of the largest process among this one and all below it."""
    most = 0
    for process in (pid, *descendants(pid)):
        name = f"/proc/{process}/status"
        with suppress(OSError, IndexError, ValueError), open(name, "rb") as file:
            peaks = (line.split()[1] for line in file if line.startswith(b"VmHWM:"))
            most = max([most, *(int(peak) * 1024 for peak in peaks)])
    return most


def tree_memory_bytes(pids: Sequence[int], *, limit: int) -> int:
    """Return the resident memory of these processes and all below them.

    Pages that several of them share count once, as far as the kernel tells: it is asked only where
    the plain sum is above `limit`, as that takes it longer the more memory there is.
    """
    resident: dict[int, int] = {}
    for process in {*pids, *(below for pid in pids for below in descendants(pid))}:
        name = f"/proc/{process}/statm"
        with suppress(OSError, IndexError, ValueError), open(name, "rb") as file:
            resident[process] = int(file.read().split()[1]) * _PAGE
    total = sum(resident.values())
    if total <= limit or len(resident) == 1:
        return total
    return sum(_share_bytes(process, whole) for process, whole in resident.items())


def _share_bytes(pid: int, resident_bytes: int) -> int:
    """Return a process's share of the memory it has; all of it where the kernel does not tell."""
    with suppress(OSError, IndexError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return resident_bytes
