"""Starts `stoker` as a process of its own, with what only tests may change.

Run as a script it serves: for every line of JSON on standard input it forks a `stoker`, or tells
what became of one, which spares the half second of imports that each start takes.
"""

import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

TESTS = str(Path(__file__).parents[1])


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What is different from production. Times in seconds."""

    failpoints: str = ""  # of the worker
    warden: str = ""  # those of its warden
    once: str = ""  # a file: the first worker that makes it is armed, those after it are not
    lease_s: float = 4.0
    renew_s: float = 0.5
    reap_s: float = 0.5
    grace_s: float = 0.5
    patience_s: float = 3.0
    apart_s: float = 0.3
    note_after_s: float = 0.05
    janitor_s: float = 0.1
    leftovers_s: float = 15.0
    disks_s: float = 0.2
    clock: str = (
        ""  # a file with the seconds by which the wall clock is wrong, read again and again
    )
    groups: bool = True  # control groups, where there are any
    sabotage: Sequence[str] = field(default_factory=tuple)


class Launcher:
    """The client's side. Threads may share it.

    `empty_store` is a store that can be copied, which is quicker than to make one.
    """

    def __init__(self, empty_store: Path) -> None:
        self.empty_store = empty_store
        if not empty_store.exists():
            make_empty_store(empty_store)
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()

    def start(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        log: Path,
        knobs: Knobs,
        environment: Mapping[str, str] | None = None,
    ) -> "Started":
        """Start `stoker` with these arguments in `folder`; both its streams are added to `log`."""
        pid = self._ask(
            arguments=list(arguments),
            folder=str(folder),
            log=str(log),
            knobs=asdict(knobs),
            environment=dict(environment or {}),
        )
        return Started(self, pid, log)

    def status(self, pid: int) -> int | None:
        """Return the exit code of a process that was started here; None while it runs."""
        return self._ask(wait=pid)

    def _ask(self, **request: Any) -> Any:
        with self._lock:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """The server is gone."""
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


@dataclass
class Started:
    """A `stoker` that was started: `pid` is its warden's."""

    launcher: Launcher
    pid: int
    log: Path
    code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, below nought for a signal; None while it runs."""
        if self.code is None:
            self.code = self.launcher.status(self.pid)
        return self.code

    @property
    def said(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def make_empty_store(path: Path) -> None:
    """There is an SQLite store at `path`, complete in one file."""
    from stoker.store.database.connect import opened

    with opened(f"sqlite:///{path}"):
        pass


def serve() -> None:
    """Fork a `stoker` for every request, and answer with its pid or its exit code."""
    import stoker
    import stoker.cli

    for module in pkgutil.walk_packages(stoker.__path__, "stoker."):
        if not any(part in module.name for part in (".migrations", ".warm", "__main__", ".web")):
            __import__(module.name)
    codes: dict[int, int] = {}
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if "wait" in request:
            answer = _status(request["wait"], codes)
        else:
            answer = os.fork()
            if answer == 0:
                _be_stoker_and_exit(request)
            codes.pop(answer, None)  # of an earlier process with that number
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _status(pid: int, codes: dict[int, int]) -> int | None:
    if pid not in codes:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == 0:
            return None
        codes[pid] = os.waitstatus_to_exitcode(status)
    return codes[pid]


def _be_stoker_and_exit(request: dict[str, Any]) -> NoReturn:
    """The fork never returns into the server."""
    code = 70
    try:
        code = _be_stoker(request)
    except BaseException:  # noqa: BLE001 - as the interpreter itself would
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _be_stoker(request: dict[str, Any]) -> int:
    os.setsid()
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, log, log)):
        os.dup2(source, target)
    sys.stdin = os.fdopen(0, "r")
    return launch(request["arguments"], Knobs(**request["knobs"]))


def launch(arguments: Sequence[str], knobs: Knobs) -> int:
    """Be `stoker`, whose worker is armed when its warden starts it; return its exit code."""
    from stoker import failpoints
    from stoker.cli.main import run
    from stoker.work import warden

    _turn(knobs)
    guard = warden.guard

    def guard_armed(work: Callable[[bool], int]) -> int:
        def work_armed(has_said: bool) -> int:
            failpoints._hits.clear()
            armed = failpoints.parse(knobs.failpoints)
            failpoints._armed = armed if _is_first(knobs.once) else {}
            return work(has_said)

        return guard(work_armed)

    warden.guard = guard_armed
    failpoints._armed = failpoints.parse(knobs.warden)
    return run(arguments)


def _is_first(path: str) -> bool:
    """Whether the file was not there; it is now."""
    if not path:
        return True
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _turn(knobs: Knobs) -> None:
    """Set the knobs, in this process and those that it forks."""
    from stoker.model import retry
    from stoker.project.services import janitor
    from stoker.work import (
        cgroups,
        disk,
        executor,
        incarnation,
        lease,
        notes,
        room,
        stopping,
        worker,
    )

    if TESTS not in sys.path:
        sys.path.insert(0, TESTS)
    from faults import sabotage

    worker.Worker.__init__.__kwdefaults__["lease_s"] = knobs.lease_s
    janitor.Janitor.__init__.__kwdefaults__["tick_s"] = knobs.janitor_s
    janitor.LEFTOVERS_S = knobs.leftovers_s
    lease.RENEW_S = lease.BRISK_S = knobs.renew_s
    incarnation.REAP_S = knobs.reap_s
    disk.LOOK_S = room.LOOK_S = knobs.disks_s
    notes.NOTE_AFTER_S = knobs.note_after_s
    executor.GRACE_S = knobs.grace_s
    stopping.PATIENCE_S = knobs.patience_s
    retry.APART_S = knobs.apart_s
    if not knobs.groups:
        cgroups.enter = lambda: False
    if knobs.clock:
        _set_clock(Path(knobs.clock))
    for name in knobs.sabotage:
        sabotage.GUARDS[name]()


def _set_clock(file: Path) -> None:
    """The wall clock of this process, and of those that it forks, is wrong by what the file says."""
    right = time.time_ns

    def wrong() -> int:
        return right() + int(float(file.read_text()) * 1e9)

    time.time_ns = wrong
    time.time = lambda: wrong() / 1e9


if __name__ == "__main__":
    serve()
