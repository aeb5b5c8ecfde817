"""A project with an outpost on this host; both ends of a visit, and the worker, as forks of the test.

A fork costs no imports, so that each can be killed at every failpoint.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from integration.work.rig import Rig
from stoker import failpoints
from stoker.outpost import running, serve
from stoker.outpost.visit import Visit
from stoker.outpost.visited import Visited
from stoker.store.database.connect import open_store
from stoker.store.outposts import entries
from stoker.store.unit import Store

STEPS = """
[pipelines.p.steps.here]
run = 'echo "{\\"n\\": 3}" > "$STOKER_VALUES"'
[pipelines.p.steps.make]
site = "far"
run = '''echo $STOKER_ATTEMPT {key} {in.here.values.n} > {out.root}
mkdir {out.tree}; echo {key} > {out.tree}/leaf; echo "$STOKER_ATTEMPT" >> "$RUNS/{key}"
echo out; echo "{\\"v\\": \\"{key}\\"}" > "$STOKER_VALUES"'''
outputs.root = "root/{key}.root"
outputs.tree = "tree/{key}/"
[pipelines.p.steps.last]
run = 'test {in.make.values.v} = {key}'
"""


def arm(text: str) -> None:
    """This process has these failpoints, and has hit none."""
    failpoints._armed = failpoints.parse(text)
    failpoints._hits = {}


class Forked:
    """A process with three pipes that is a fork of this one."""

    def __init__(self, act: Callable[[], None]) -> None:
        pipes = [os.pipe() for _ in range(3)]
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            code = 70
            try:
                os.setsid()
                os.dup2(pipes[0][0], 0)
                os.dup2(pipes[1][1], 1)
                os.dup2(pipes[2][1], 2)
                os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                act()
                code = 0
            except BaseException as error:  # noqa: BLE001 - a fork must not go on as the test
                os.write(2, f"in a far end: {error!r}\n".encode())
            finally:
                os._exit(code)
        os.close(pipes[0][0])
        os.close(pipes[1][1])
        os.close(pipes[2][1])
        self.stdin = os.fdopen(pipes[0][1], "wb", 0)
        self.stdout = os.fdopen(pipes[1][0], "rb", 0)
        self.stderr = os.fdopen(pipes[2][0], "rb", 0)

    def wait(self, timeout: float | None = None) -> int:
        until = None if timeout is None else os.times().elapsed + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG if until is not None else 0)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif until is not None and os.times().elapsed > until:
                raise subprocess.TimeoutExpired("fork", timeout or 0)
        return self.returncode


def fork(act: Callable[[], Any], *, armed: str = "") -> int:
    """Return how a fork of this process ended that did this; negative: by that signal."""
    pid = os.fork()
    if not pid:
        code = 70
        try:
            signal.alarm(60)
            arm(armed)
            act()
            code = 0
        except BaseException as error:  # noqa: BLE001 - as above
            sys.stderr.write(f"in a fork: {error!r}\n")
            sys.stderr.flush()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class OutpostRig(Rig):
    """A project with one pipeline `p` and one outpost `far`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.far = folder / "far"
        self.spool = self.far / "spool"
        self.site = f'[sites.far]\nfolder = "{self.far}"\n'
        self.runs = folder / "runs"
        self.runs.mkdir()
        os.environ["RUNS"] = str(self.runs)

    def write(self, steps: str = STEPS, *, items: str = "records", extra: str = "") -> None:
        """Write the file; the store knows the outpost."""
        site = f"{extra}\n{self.site}"
        if self.store is None:
            (self.folder / ".stoker").mkdir()
            self.store = open_store(f"sqlite:///{self.folder}/.stoker/stoker.db")
            text = f'[project]\nname = "rig"\n{site}\n[pipelines.p]\nitems = "{items}"\n{steps}\n'
            (self.folder / "stoker.toml").write_text(text)
            from stoker.spec.load import load_project

            said = load_project(self.folder / "stoker.toml").settings
            entries.set_entries(self.store, (*said.sites, *said.farms), file="f")
        super().write(steps, items=items, extra=site)

    def entry(self) -> entries.Entry:
        with self.store.reading() as unit:
            (found,) = entries.entries(unit)
        return found

    def visit(self, *, far: str = "", store: Store | None = None, **more: Any) -> Visited:
        """Visit, with a far end that has these failpoints."""

        def spawn(command: Sequence[str]) -> Forked:
            def act() -> None:
                arm(far)
                serve.serve_here(command[-1], "test")

            return Forked(act)

        given = store or self.store
        entry = self.entry()
        more.setdefault("brings_worker", False)
        self.last = Visit(given, entry.outpost, place=entry.place, spawn=spawn, **more)
        done = self.last.run()
        entries.note_visit(given, entry.name, trouble=None, told={"waiting": done.waiting})
        return done

    def visit_apart(self, armed: str = "", *, far: str = "", **more: Any) -> int:
        """Visit in a process of its own, with these failpoints; return how it ended."""

        def act() -> None:
            with closing(open_store(self.settings.store_url)) as store:
                self.visit(far=far, store=store, **more)

        return fork(act, armed=armed)

    def work_there(self, armed: str = "", **more: Any) -> int:
        """Work off what waits there, in a process of its own; return how it ended."""
        return fork(lambda: running.run(str(self.spool), **{"slots": 2} | more), armed=armed)

    @contextmanager
    def worker_there(self, **more: Any) -> Iterator[Forked]:
        """A worker there, which is gone when the block is over."""
        worker = Forked(lambda: running.run(str(self.spool), **{"slots": 2} | more))
        try:
            yield worker
        finally:
            with suppress(ProcessLookupError):
                if worker.returncode is None:
                    os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
            for pipe in (worker.stdin, worker.stdout, worker.stderr):
                pipe.close()

    def settle(self, *, rounds: int = 12) -> None:
        """Visit and work until nothing is left."""
        for _ in range(rounds):
            self.work()
            done = self.visit()
            if not (done.out or self.is_open()):
                return
            assert self.work_there() == 0
        raise AssertionError(f"not over after {rounds} rounds: {self.task_states()}")

    def is_open(self) -> bool:
        return bool({"ready", "running", "blocked"} & set(self.task_states().values()))

    def check(self, *keys: str) -> None:
        """Everything was done once; what is published names the attempt that is recorded."""
        made = [
            seen.key
            for seen in self.all_attempts()
            if seen.step == "make" and seen.state == "succeeded"
        ]
        assert sorted(made) == sorted(keys)
        self.check_last(*keys)

    def check_last(self, *keys: str) -> None:
        """Everything is done; what is published names the last attempt that is recorded."""
        from store.rig import Rig as Checks

        made = {
            seen.key: seen
            for seen in self.all_attempts()
            if seen.step == "make" and seen.state == "succeeded"
        }
        assert set(made) == set(keys)
        assert set(self.task_states().values()) == {"done"}
        for key, seen in made.items():
            name = (self.far / "root" / f"{key}.root").read_text().split()
            assert name[0].replace("-", "") == bytes(seen.row.id).hex()
            assert name[1:] == [key, "3"]
            assert (self.far / "tree" / key / "leaf").read_text() == f"{key}\n"
            assert seen.stdout == b"out\n"
        assert self.left_there() == []
        Checks(self.store).check()

    def left_there(self) -> list[str]:
        """What the spool must not hold once all is over, and what publishing must not leave."""
        kept = ("todo", "taken", "runs", "members", "done", "back", "stop", "scratch")
        left = [str(path) for name in kept for path in (self.spool / name).rglob("*")]
        return left + [str(path) for path in self.far.rglob(".stoker-*")]
