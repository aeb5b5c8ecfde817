"""A project in a temporary folder, worked on by a real worker, and what the store says of it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from stoker.model.item import NewItem
from stoker.model.states import AttemptState, TaskState
from stoker.spec.load import load_project
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.orders import versions
from stoker.store.orders.shared_settings import SharedSettings, set_settings
from stoker.store.unit import Store
from stoker.work import contain
from stoker.work.progress import Summary
from stoker.work.store_link import StoreLink
from stoker.work.worker import Worker

ME = Actor("tester")


def wait_until(holds: Callable[[], Any], what: str, *, within_s: float = 45.0) -> Any:
    """Return what `holds` returns as soon as it is true; fail, saying `what`, if it never is."""
    until = time.monotonic() + within_s
    while not (found := holds()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.01)
    return found


def is_stopped(pid: int) -> bool:
    """Whether all threads of the process have taken a SIGSTOP, each in its time."""
    try:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:
        return False
    return all(text.rpartition(")")[2].split()[0] == "T" for text in stats)


def is_locked(database: str | Path) -> bool:
    """Whether somebody holds the write lock of an SQLite store for longer than a moment."""
    with closing(sqlite3.connect(database, timeout=0.3)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
    return False


def freeze(pid: int, is_locked: Callable[[], bool], *, within_s: float = 5.0) -> bool:
    """Whether the process is stopped as a whole, outside any transaction; if not it goes on.

    One that is stopped while a thread of it writes would hold everybody else up.
    """
    try:
        os.kill(pid, signal.SIGSTOP)
        until = time.monotonic() + within_s
        while not is_stopped(pid) and time.monotonic() < until:
            time.sleep(0.002)
        if is_stopped(pid) and not is_locked():
            return True
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass
    return False


@dataclass
class Seen:
    """An attempt as the store has it."""

    key: str
    step: str
    task: str
    state: str
    row: Any

    @property
    def reason(self) -> str:
        return self.row.reason or ""

    @property
    def stdout(self) -> bytes:
        return self._stream("stdout")

    @property
    def stderr(self) -> bytes:
        return self._stream("stderr")

    def _stream(self, name: str) -> bytes:
        path = getattr(self.row, f"{name}_path")
        if path is not None:
            return Path(os.fsdecode(path)).read_bytes()
        return getattr(self.row, f"{name}_text") or b""


class Rig:
    """A project with one pipeline `p`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store | None = None

    def write(self, steps: str, *, items: str = "records", extra: str = "") -> None:
        """Write `stoker.toml`; `steps` are TOML tables below `[pipelines.p]`."""
        text = f'[project]\nname = "rig"\n{extra}\n[pipelines.p]\nitems = "{items}"\n{steps}\n'
        (self.folder / "stoker.toml").write_text(text)
        loaded = load_project(self.folder / "stoker.toml")
        assert not loaded.broken, loaded.broken
        self.settings = loaded.settings
        (self.folder / ".stoker").mkdir(exist_ok=True)
        if self.store is None:
            self.store = open_store(self.settings.store_url)
        for pipeline in loaded.pipelines.values():
            versions.apply_version(self.store, pipeline, host="h", path=str(self.folder))
        said = self.settings
        shared = SharedSettings(pools=said.pools, secrets=said.secrets, retention=said.retention)
        set_settings(self.store, shared, set_by=f"h:{self.folder}", actor=ME)

    def push(self, *keys: str, **more: Any) -> None:
        register.register(self.store, "p", [NewItem(key=key, **more) for key in keys], ME)

    def push_file(self, path: Path, key: str) -> None:
        register.register(self.store, "p", [NewItem(key=key, path=str(path))], ME)

    def worker(self, **more: Any) -> Worker:
        return Worker(StoreLink(self.store), self.settings, **{"slots": 2, "drain": True} | more)

    def work(self, **more: Any) -> Summary:
        summary = self.worker(**more).work()
        left = self.leftovers()
        assert left == [], left
        return summary

    def work_apart(self) -> None:
        """Work in a process of its own, which is as small as a worker is, and as these tests not."""
        subprocess.run(
            [sys.executable, "-c", "from stoker.cli.main import main; main()", "work", "--drain"],
            cwd=self.folder,
            check=True,
            timeout=60,
        )
        left = self.leftovers()
        assert left == [], left

    def run(self, steps: str, *keys: str, **more: Any) -> dict[str, Seen]:
        """Write, push, work; return the last attempt by key, or `key/step` with several steps."""
        self.write(steps, **more)
        self.push(*(keys or ("k",)))
        self.work()
        return self.attempts()

    def attempts(self) -> dict[str, Seen]:
        return {f"{seen.key}": seen for seen in self.all_attempts()}

    def all_attempts(self) -> list[Seen]:
        attempt, task, item, step = tables.attempt, tables.task, tables.item, tables.step
        query = (
            select(
                attempt,
                item.c.key.label("item_key"),
                step.c.name.label("step_name"),
                task.c.state.label("task_state"),
            )
            .select_from(
                attempt.join(task, task.c.id == attempt.c.task_id)
                .join(item, item.c.id == task.c.item_id)
                .join(step, step.c.id == task.c.step_id)
            )
            .order_by(attempt.c.id)
        )
        with self.store.reading() as unit:
            rows = unit.execute(query).fetchall()
        return [
            Seen(
                row.item_key,
                row.step_name,
                TaskState(row.task_state).word,
                AttemptState(row.state).word,
                row,
            )
            for row in rows
        ]

    def task_states(self) -> dict[str, str]:
        task, item, step = tables.task, tables.item, tables.step
        query = select(task.c.state, item.c.key, step.c.name).select_from(
            task.join(item, item.c.id == task.c.item_id).join(step, step.c.id == task.c.step_id)
        )
        with self.store.reading() as unit:
            rows = unit.execute(query).fetchall()
        return {f"{row.key}/{row.name}": TaskState(row.state).word for row in rows}

    def outputs(self) -> dict[str, Any]:
        with self.store.reading() as unit:
            rows = unit.execute(select(tables.output)).fetchall()
        return {os.fsdecode(row.path): row for row in rows}

    def values(self, seen: Seen) -> Any:
        return json.loads(seen.row.step_values or "{}")

    def leftovers(self) -> list[str]:
        """What a worker must not leave: processes with its mark, and scratch."""
        left = [f"process {pid}" for pid, _ in self.marked()]
        scratch = self.folder / ".stoker" / "scratch"
        if scratch.exists():
            left += [str(path) for path in scratch.iterdir()]
        left += [str(path) for path in self.folder.rglob(".stoker-*")]
        return left

    def marked(self) -> Iterator[tuple[int, contain.Mark]]:
        own = StoreLink(self.store).store_id
        return ((pid, mark) for pid, mark in contain.marked_processes() if mark.store == own)

    def close(self) -> None:
        if self.store is not None:
            self.store.close()


WORK = """
import sys
from pathlib import Path
from stoker.spec.load import load_project
from stoker.store.database.connect import open_store
from stoker.work.store_link import StoreLink
from stoker.work.worker import Worker

loaded = load_project(Path(sys.argv[1]) / "stoker.toml")
store = open_store(loaded.settings.store_url)
options = eval(sys.argv[2])
print(Worker(StoreLink(store), loaded.settings, **options).work(), flush=True)
store.close()
"""


def worker_command(rig: Rig, **options: Any) -> list[str]:
    """Return the command of a worker that is a process of its own."""
    return [sys.executable, "-c", WORK, str(rig.folder), repr({"slots": 2} | options)]
