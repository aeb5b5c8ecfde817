"""Owns `prepare`: run once for a worker and step, its environment kept for all attempts."""

import os
import signal
import time
from typing import TYPE_CHECKING

from stoker.work import contain
from stoker.work.room import is_full_error, speaks_of_room
from stoker.work.slot import Place
from stoker.work.spawn import encode_env

if TYPE_CHECKING:
    from stoker.work.executor import Executor
    from stoker.work.recipe import Recipe

LIMIT_S = 600.0
_DUMPED = ("_", "SHLVL", "PWD", "OLDPWD", "STOKER_DUMP")


class Preparation:
    """One run of a `prepare`. When it has ended, its recipe is prepared or broken."""

    def __init__(self, recipe: "Recipe", executor: "Executor", folder: str) -> None:
        self.recipe = recipe
        self.is_over = False
        self._executor = executor
        self._place = Place(folder)
        self._dump = os.path.join(folder, "environment")
        self._until_s = time.monotonic() + LIMIT_S
        self._pid = 0
        self._start()

    def _start(self) -> None:
        text = f'{self.recipe.step.prepare}\nexec env -0 > "$STOKER_DUMP"\n'
        environment = {**self.recipe.warm_environment, "STOKER_DUMP": self._dump}
        try:
            self._place.seat.make_ready()
            self._pid = self._place.launcher.start(
                [os.fsencode(word) for word in ("bash", "-eo", "pipefail", "-c", text)],
                encode_env(environment),
                path=os.fsencode(environment.get("PATH", os.defpath)),
                folder=self._place.seat.scratch,
                stdout=self._place.stdout.descriptor,
                stderr=self._place.stderr.descriptor,
            )
        except OSError as problem:
            self._end(f"prepare failed: {problem.strerror}", is_full=is_full_error(problem))
            return
        self._executor.own.add(self._pid)
        self._executor.watcher.watch_process(self._pid, self)

    def __call__(self, _pid: int) -> None:
        """Take in that the process has ended."""
        end = self._executor.reap(self._pid)
        said = self._place.stderr.collect().text.decode("utf-8", "replace").strip()
        last = said.splitlines()[-1] if said else ""
        if end.exit_code == 0:
            self._end(None)
            return
        how = f"exit code {end.exit_code}" if end.signal is None else f"signal {end.signal}"
        is_full = speaks_of_room(said.encode("utf-8", "replace"))
        self._end(f"prepare failed: {last or how}", is_full=is_full)

    def hold_limit(self) -> None:
        """A preparation that takes too long is ended."""
        if time.monotonic() > self._until_s:
            self.kill()

    def kill(self) -> None:
        """The preparation ends now."""
        if not self.is_over:
            contain.kill_tree(self._pid, signal.SIGKILL)

    def _end(self, problem: str | None, *, is_full: bool = False) -> None:
        """The recipe is prepared or broken; or neither, to be prepared again when there is room."""
        self.is_over = True
        desk = self._executor.desk
        if problem is None:
            try:
                with open(self._dump, "rb") as file:
                    entries = file.read().split(b"\0")
            except OSError:
                problem = "prepare failed: it left no environment"
            else:
                pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
                self.recipe.prepared = {
                    name: value for name, _, value in pairs if name not in _DUMPED
                }
        if is_full and desk.room.excuses(self.recipe.key):
            desk.room.note(desk.folder.path)
        elif problem is not None:
            self.recipe.broken, self.recipe.prepared = problem, {}
        self._place.seat.clean(desk.folder)
        self._place.close()
