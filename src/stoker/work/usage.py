"""What this machine has for attempts, and what a running attempt takes of it."""

import os
import resource
from collections.abc import Sequence
from contextlib import suppress

from stoker.work.bounds import cpu_bound, memory_bound
from stoker.work.contain import descendants

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def host_cpus() -> int:
    """Return how many cpus this process may use: of its affinity mask and of its control groups."""
    cpus = len(os.sched_getaffinity(0))
    bound = cpu_bound()
    return cpus if bound is None else min(cpus, bound.n)


def host_memory_bytes() -> int:
    """Return how much memory attempts may use together: of the machine and of the control groups."""
    total = os.sysconf("SC_PHYS_PAGES") * _PAGE
    bound = memory_bound()
    return total if bound is None else min(total, bound.n)


def cpu_mask() -> str:
    """Return the cpus that this process may run on, as the hexadecimal mask that `taskset` shows."""
    return f"{sum(1 << cpu for cpu in os.sched_getaffinity(0)):x}"


def quota_group() -> str:
    """Return what names the control group whose cpus this process shares; empty if none limits it."""
    bound = cpu_bound()
    is_limiting = bound is not None and bound.n < len(os.sched_getaffinity(0))
    return f"cgroup:{bound.group}" if bound is not None and is_limiting else ""


class Peaks:
    """Measures the peak memory of the processes that its own process has started.

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


def used_us(pid: int) -> tuple[int, int]:
    """Return user and system time of a process and the children it waited for; zeros if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            ticks = [int(text) for text in file.read().rpartition(")")[2].split()[11:15]]
    except (OSError, ValueError):
        return 0, 0
    user, system, child_user, child_system = ticks
    return (user + child_user) * _TICK_US, (system + child_system) * _TICK_US


def forget_peak(pid: int) -> None:
    """The peak of a process's memory counts from what it holds now, where the kernel can do that."""
    with suppress(OSError), open(f"/proc/{pid}/clear_refs", "wb", buffering=0) as file:
        file.write(b"5")


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

    Pages that several of them share count once, if the kernel counts them so: it is asked only where
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
