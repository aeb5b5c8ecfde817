"""Control groups (version 2), where they can be written: a worker and all below it in one of them.

The kernel kills such a group as a whole, whatever its processes have done to their sessions, names
and environments. Nothing depends on it: where there are none, the subreaper and the marks do.
"""

import os
import time
from contextlib import suppress

from stoker.work.scratch import process_start

_PREFIX = "stoker-"


def own_folder() -> str | None:
    """Return the folder of this process's group; None where there is no version 2."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            group = next(line[3:].strip() for line in file if line.startswith("0::"))
        with open("/proc/self/mounts", encoding="utf-8") as file:
            mount = next(line.split()[1] for line in file if line.split()[2] == "cgroup2")
    except (OSError, StopIteration, IndexError):
        return None
    folder = mount + group.rstrip("/")
    return folder if os.path.exists(f"{folder}/cgroup.kill") or group == "/" else None


def can_be_used() -> bool:
    """Whether workers of this process would get groups of their own."""
    folder = own_folder()
    return folder is not None and os.access(folder, os.W_OK)


def enter() -> bool:
    """Whether this process, and so all that it will start, is in a group of its own now.

    What dead workers left in groups beside it is killed first.
    """
    folder = own_folder()
    if folder is None:
        return False
    clear_dead(folder)
    pid = os.getpid()
    mine = f"{folder}/{_name(pid, process_start(pid) or 0)}"
    try:
        os.mkdir(mine)
        if os.path.exists(f"{mine}/cgroup.kill"):  # since Linux 5.14
            _write(f"{mine}/cgroup.procs", "0")
            return True
    except OSError:
        pass
    with suppress(OSError):
        os.rmdir(mine)
    return False


def own_group() -> str:
    """Return the folder of this process's group if `enter` made it; empty if not."""
    folder = own_folder() or ""
    return folder if os.path.basename(folder).startswith(_PREFIX) else ""


def end(folder: str, *, pid: int, started: int) -> None:
    """Whatever is left in the group that the process, which is gone, had made is gone too."""
    if os.path.basename(folder) == _name(pid, started) and os.path.exists(f"{folder}/cgroup.kill"):
        _end(folder)


def leave() -> None:
    """The caller is in the group above its own again, so that its own can be removed."""
    folder = own_folder()
    if folder is not None and os.path.basename(folder).startswith(_PREFIX):
        with suppress(OSError):
            _write(f"{os.path.dirname(folder)}/cgroup.procs", "0")
            os.rmdir(folder)


def kill(pid: int) -> None:
    """Whatever is left in the group that process `pid`, which is gone, had entered is gone too."""
    folder = own_folder()
    if folder is None:
        return
    with suppress(OSError):
        for name in os.listdir(folder):
            if _owner(name) is not None and name.startswith(f"{_PREFIX}{pid}-"):
                _end(f"{folder}/{name}")


def clear_dead(folder: str) -> None:
    """What workers that are dead have left in groups below `folder` is gone."""
    with suppress(OSError):
        for name in os.listdir(folder):
            owner = _owner(name)
            if owner is not None and process_start(owner[0]) != owner[1]:
                _end(f"{folder}/{name}")


def _name(pid: int, started: int) -> str:
    """Return the name of a process's group. Numbers of processes mean something in a namespace only.

    Containers may share the folder, and each would take the workers of the others for dead.
    """
    return f"{_PREFIX}{pid}-{started}-{os.stat('/proc/self/ns/pid').st_ino}"


def _owner(name: str) -> tuple[int, int] | None:
    """Return number and start of the process whose group has this name; None if it is not ours."""
    parts = name.removeprefix(_PREFIX).split("-")
    if not name.startswith(_PREFIX) or len(parts) != 3 or not all(map(str.isdecimal, parts)):
        return None
    pid, started = int(parts[0]), int(parts[1])
    return (pid, started) if name == _name(pid, started) else None


def _end(group: str) -> None:
    """Kill the group and remove it, once the kernel has let go of its processes."""
    with suppress(OSError):
        _write(f"{group}/cgroup.kill", "1")
    until_s = time.monotonic() + 2.0
    while time.monotonic() < until_s:
        try:
            _remove_inner(group)
            os.rmdir(group)
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.002)
        else:
            return


def _remove_inner(group: str) -> None:
    """The groups of workers that ran below this one's, all killed with it, are gone."""
    for folder, inner, _ in os.walk(group, topdown=False):
        for name in inner:
            os.rmdir(f"{folder}/{name}")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
