"""Owns `prepare`: run once for a worker and step, its environment kept for all attempts."""

import os
import signal
import time
from collections.abc import Container
from typing import TYPE_CHECKING

from stoker.model.id_types import AttemptId
from stoker.work import contain
from stoker.work.answers import BadAnswer, read_regular
from stoker.work.room import is_full_error, speaks_of_room
from stoker.work.slot import Place
from stoker.work.spawn import encode_env

if TYPE_CHECKING:
    from stoker.work.executor import Executor
    from stoker.work.recipe import Recipe
    from stoker.work.running import Running

LIMIT_S = 600.0
_DUMP_BYTES = 16 * 1024 * 1024  # more than a kernel gives to a process
_DUMPED = ("_", "SHLVL", "PWD", "OLDPWD", "STOKER_DUMP")


class Preparations:
    """The preparations under way, and the attempts that wait for each."""

    def __init__(self, executor: "Executor") -> None:
        self._executor = executor
        self._under_way: dict[tuple[int, str], tuple[Preparation, list[Running]]] = {}

    def __bool__(self) -> bool:
        return bool(self._under_way)

    def add(self, running: "Running") -> None:
        """The attempt waits for its step's `prepare`, which runs now."""
        recipe = running.recipe
        if recipe.key not in self._under_way:
            name = f"prepare-{running.serial}"
            folder = os.path.join(self._executor.desk.folder.path, name)
            try:
                preparation = Preparation(recipe, self._executor, folder)
            except OSError as problem:
                self._executor.fail(running, problem)
                return
            self._under_way[recipe.key] = (preparation, [])
        self._under_way[recipe.key][1].append(running)

    @property
    def waiting(self) -> list["Running"]:
        """The attempts that wait."""
        return [running for _, waiting in self._under_way.values() for running in waiting]

    def remove(self, attempts: Container[AttemptId]) -> list["Running"]:
        """Return those of these attempts that waited; what nobody waits for any more is ended."""
        removed: list[Running] = []
        for preparation, waiting in self._under_way.values():
            gone = [running for running in waiting if running.claimed.attempt in attempts]
            waiting[:] = [running for running in waiting if running not in gone]
            if gone and not waiting:
                preparation.abandon()
            removed += gone
        return removed

    def take_ended(self) -> list["Running"]:
        """Return the attempts whose preparation is over; one that takes too long is ended."""
        freed: list[Running] = []
        for key, (preparation, waiting) in list(self._under_way.items()):
            preparation.hold_limit()
            if preparation.is_over:
                del self._under_way[key]
                freed += waiting
        return freed

    def end(self) -> list["Running"]:
        """Return all that waits; every preparation is killed."""
        freed: list[Running] = []
        for preparation, waiting in self._under_way.values():
            preparation.abandon()
            freed += waiting
            waiting.clear()
        return freed


class Preparation:
    """One run of a `prepare`. When it has ended, its recipe is prepared or broken."""

    def __init__(self, recipe: "Recipe", executor: "Executor", folder: str) -> None:
        self.recipe = recipe
        self.is_over = False
        self._is_abandoned = False  # nobody waits for it any more
        self._executor = executor
        self._place = Place(folder)  # private: the environment that it dumps may hold secrets
        self._dump = os.path.join(folder, "environment")
        self._until_s = time.monotonic() + LIMIT_S
        self._pid = 0
        self._start()

    def _start(self) -> None:
        text = f'{self.recipe.step.prepare}\nexec env -0 > "$STOKER_DUMP"\n'
        environment = {**self.recipe.prepare_environment, "STOKER_DUMP": self._dump}
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

    def abandon(self) -> None:
        """The preparation ends now, and says nothing about its step."""
        self._is_abandoned = True
        self.kill()

    def _end(self, problem: str | None, *, is_full: bool = False) -> None:
        """The recipe is prepared or broken; or neither, and is prepared again when it is needed.

        That is so where nobody waits any more, and where there was no room.
        """
        self.is_over = True
        desk = self._executor.desk
        if problem is None and not self._is_abandoned:
            try:
                self.recipe.prepared = _environment_in(self._dump)
            except BadAnswer as bad:
                problem = f"prepare failed: its environment {bad}"
        if self._is_abandoned:
            pass
        elif is_full and desk.room.excuses(self.recipe.key):
            desk.room.note(desk.folder.path)
        elif problem is not None:
            self.recipe.broken, self.recipe.prepared = problem, {}
        self._place.seat.clean(desk.folder)
        self._place.close()


def _environment_in(path: str) -> dict[str, str]:
    """Return the environment that `env -0` wrote; BadAnswer if it did not."""
    content = read_regular(path, _DUMP_BYTES)
    if content is None:
        raise BadAnswer("was not written")
    pairs = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if entry)
    return {name: value for name, _, value in pairs if name not in _DUMPED}
