"""A project in a temporary folder, `stoker` processes on it that can be killed, and its tasks' ledger."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults import check
from faults.launch import Knobs, Launcher, Started
from integration.work.rig import freeze, is_locked, is_stopped, wait_until
from stoker.model.item import NewItem
from stoker.spec.load import load_project
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.orders import versions
from stoker.store.unit import Store
from stoker.work.contain import children, descendants
from stoker.work.scratch import process_start

ME = Actor("tester")

# What every task has at hand: `tick` writes a line into the ledger, `live N` lives for N twentieths
# of a second with a tick in each.
LIFE = """
tick() { printf '%s %s %s\\n' "$EPOCHREALTIME" "$STOKER_ATTEMPT" "$1" >> "LEDGER"; }
live() { tick start; for n in $(seq "$1"); do sleep 0.05; tick on; done; }
"""


class Site:
    """A project with one pipeline `p` of records, at first without any item.

    Its store is a file, or the database of a server that `url` leads to.
    """

    def __init__(
        self,
        folder: Path,
        launcher: Launcher,
        *,
        scratch: Path | None = None,
        url: str | None = None,
    ) -> None:
        self.folder = folder
        self.url = url
        self.launcher = launcher
        self.scratch = scratch or folder / ".stoker" / "scratch"
        self.excused: dict[int, int] = {}
        self.started: list[Started] = []
        self.outside: list[Path] = []
        self.clock = folder / "clock"
        self.jumps: list[tuple[int, int]] = []  # when, and by how much the clock is wrong since
        self.tag = f"stoker-tag-{random.SystemRandom().randrange(10**12)}"
        self._store: Store | None = None
        (folder / check.TAG).write_text(self.tag)

    def write(self, steps: str, *, pools: str = "", extra: str = "") -> None:
        """Write `stoker.toml`. LIFE, LEDGER, HERE and TAG in the steps stand for what they name."""
        steps = self.filled(steps)
        store = "" if self.url is None else f'[store]\nurl = "{self.url}"\n'
        (self.folder / "stoker.toml").write_text(
            f'[project]\nname = "site"\n{store}[worker]\nscratch = "{self.scratch}"\n[pools]\n{pools}\n'
            f'{extra}\n[pipelines.p]\nitems = "records"\n{steps}\n'
        )
        loaded = load_project(self.folder / "stoker.toml")
        assert not loaded.broken, loaded.broken
        self.settings = loaded.settings
        self.pipelines = loaded.pipelines

    def filled(self, text: str) -> str:
        """Return the text with what LIFE, LEDGER, HERE and TAG in it stand for."""
        text = text.replace("LIFE", LIFE).replace("LEDGER", str(self.folder / check.LEDGER))
        return text.replace("HERE", str(self.folder)).replace("TAG", self.tag)

    @property
    def database(self) -> Path:
        return self.folder / ".stoker" / "stoker.db"

    @property
    def store(self) -> Store:
        """The store, which is made if it is not there."""
        if self._store is None:
            (self.folder / ".stoker").mkdir(exist_ok=True)
            is_file = self.url is None and self.launcher.empty_store.exists()
            if is_file and not self.database.exists():
                shutil.copyfile(self.launcher.empty_store, self.database)
            self._store = open_store(self.settings.store_url)
        return self._store

    def apply(self) -> None:
        """The store has the pipelines and the pools."""
        from store.rig import set_pools

        for pipeline in self.pipelines.values():
            versions.apply_version(
                self.store, pipeline, host=self.store.host, path=str(self.folder / "stoker.toml")
            )
        set_pools(self.store, self.settings.pools)

    def push(self, *keys: str, group_of: Callable[[str], str] | None = None) -> None:
        """The items are registered, and noted as such."""
        metas = [{} if group_of is None else {"group": group_of(key)} for key in keys]
        items = [NewItem(key=key, meta=meta) for key, meta in zip(keys, metas, strict=True)]
        register.register(self.store, "p", items, ME)
        self.note(*keys)

    def note(self, *keys: str) -> None:
        """From now on these items must be there."""
        with (self.folder / check.KEYS).open("a") as file:
            file.write("".join(f"{key}\n" for key in keys))

    # ------------------------------------------------------------------------------------ processes

    def start(self, *arguments: str, environment: dict[str, str] | None = None, **knobs) -> Started:
        """Start `stoker` with these arguments."""
        started = self.launcher.start(
            arguments,
            folder=self.folder,
            log=self.folder / f"log.{len(self.started)}",
            knobs=Knobs(**knobs),
            environment=environment,
        )
        self.started.append(started)
        return started

    def end(self, started: Started, *, within_s: float = 60.0) -> int:
        """Wait until it has ended; return its exit code."""

        def ended() -> bool:
            return started.poll() is not None

        self.wait(ended, "it ends", within_s=within_s)
        return started.code

    def wait(self, holds: Callable[[], Any], what: str, *, within_s: float = 45.0) -> Any:
        """Return what `holds` returns once it is true; fail with all that is known."""
        try:
            return wait_until(holds, what, within_s=within_s)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.dump()}") from None

    def run(self, *arguments: str, code: int = 0, **knobs) -> Started:
        """Run `stoker` to its end, which must be with `code`."""
        started = self.start(*(arguments or ("run",)), **knobs)
        found = self.end(started)
        assert found == code, f"`stoker {' '.join(arguments)}` ended with {found}\n{self.dump()}"
        return started

    def worker(self, started: Started) -> int | None:
        """Return the pid of the worker below a warden; None if there is none just now."""
        own = _command(started.pid)
        for pid in children(started.pid):
            if own and _command(pid) == own and process_start(pid) is not None:
                return pid
        return None

    def stopped(self, started: Started, *, within_s: float = 45.0) -> int | None:
        """Return the pid of the worker once it has stopped itself; None if it ended before."""

        def find() -> tuple[int | None] | None:
            if started.poll() is not None:
                return (None,)
            pid = self.worker(started)
            return (pid,) if pid is not None and is_stopped(pid) else None

        return self.wait(find, "the worker has stopped itself", within_s=within_s)[0]

    def freeze(self, pid: int, *, within_s: float = 5.0) -> bool:
        """Whether the process is stopped as a whole, and keeps nobody from the store.

        On a server a transaction holds no more than its rows, so there it may be inside one.
        """
        return freeze(pid, self.is_locked, within_s=within_s)

    def is_locked(self) -> bool:
        """Whether somebody holds the store's write lock for longer than a moment."""
        return self.url is None and is_locked(self.database)

    def attempts_of(self, worker: int) -> list[int]:
        """Return the processes below a worker."""
        return descendants(worker)

    # ---------------------------------------------------------------------------------------- checks

    def scene(self, **more) -> check.Scene:
        facts = {"excused": self.excused, "outside": self.outside, "jumps": self.jumps} | more
        return check.Scene(self.folder, self.store, self.scratch, **facts)

    def check(self, **more) -> list[check.Violation]:
        """Return every broken promise."""
        return check.check(self.scene(**more))

    def hold(self, **more) -> None:
        """Fail if a promise is broken."""
        found = self.check(**more)
        assert not found, "\n".join(map(str, found)) + "\n" + self.dump()

    def left_behind(self) -> list[str]:
        return sorted(check.left_behind(self.scene()))

    def set_clock(self, wrong_by_s: float) -> None:
        """The wall clock of what was started with `clock=str(site.clock)` jumps."""
        self.jumps.append((time.time_ns() // 1000, int(wrong_by_s * 1e6)))
        fresh = self.clock.with_suffix(".new")
        fresh.write_text(str(wrong_by_s))
        fresh.rename(self.clock)

    def excuse(self, pid: int, *, for_s: float) -> None:
        """What this worker ran may live on for that long, lost as it is."""
        self.excused[pid] = time.time_ns() // 1000 + int(for_s * 1e6)

    def dump(self) -> str:
        """Return all that helps to see what went wrong."""
        from sqlalchemy import text

        lines = [f"{one.pid}: {one.code}: {one.said[-3000:]}" for one in self.started]
        with suppress(Exception), self.store.reading() as unit:
            for table in ("worker", "task", "attempt"):
                for row in unit.execute(text(f"SELECT * FROM {table}")).mappings():
                    short = {name: value for name, value in row.items() if value not in (None, b"")}
                    short.pop("command", None)
                    short.pop("stdout_text", None)
                    lines.append(f"{table} {short}")
        return "\n".join(lines)

    def close(self) -> None:
        """Nothing that was started here lives, and the scratch is gone."""
        for one in self.started:
            if one.poll() is None:
                for pid in (one.pid, *descendants(one.pid)):
                    kill(pid)
        if self._store is not None:
            for line in self.left_behind():
                kill(int(line.split()[1]))
            self._store.close()
        if self.folder not in self.scratch.parents:
            shutil.rmtree(self.scratch, ignore_errors=True)


def other_file_system() -> Path | None:
    """Return a new folder on another file system than temporary folders; None if there is none."""
    shared = Path("/dev/shm")
    if (
        not os.access(shared, os.W_OK)
        or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev
    ):
        return None
    return Path(tempfile.mkdtemp(prefix="stoker-test-", dir=shared))


def state_of(pid: int) -> str:
    """Return the state letter of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Whether the process was there to get the signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
