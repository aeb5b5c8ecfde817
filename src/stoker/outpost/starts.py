"""Starts: the lives of workers at an outpost. Whether one is over is known, or not known: never guessed."""

import os
import socket
from collections.abc import Mapping
from typing import Any

from stoker.work.scratch import boot_id, process_start


def own_facts() -> dict[str, Any]:
    """Return what distinguishes this process from any other, on any host, before or after."""
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "boot": boot_id(),
        "pid": pid,
        "began": process_start(pid) or 0,
    }


def is_over(facts: Mapping[str, Any]) -> bool | None:
    """Whether the process has ended; None if that cannot be seen from this host."""
    pid, began = facts.get("pid"), facts.get("began")
    if not isinstance(pid, int) or not isinstance(began, int) or pid <= 0:
        return None
    if facts.get("host") != socket.gethostname():
        return None
    boot, here = str(facts.get("boot")), boot_id()
    if boot.partition(".")[0] != here.partition(".")[0]:
        return True
    return process_start(pid) != began if boot == here else None
