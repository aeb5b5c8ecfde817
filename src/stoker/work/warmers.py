"""Owns the warm processes: which there are, which task goes to which, and when they end.

A process serves one pipeline version in one interpreter. It is ended when it has been idle for a
minute, when a module that it imported has changed on disk, and after a task that left processes.
"""

import os
import signal
import time
from typing import TYPE_CHECKING

from stoker.errors import StokerError
from stoker.failpoints import hit
from stoker.model.pipeline import Python
from stoker.work import contain
from stoker.work.conclude import Exit, unstarted
from stoker.work.executor import Executor, seat_outputs, warn_of_scratch
from stoker.work.pyfunc import WarmProcess, call_message
from stoker.work.running import Running
from stoker.work.scratch import wipe
from stoker.work.spawn import encode_env

if TYPE_CHECKING:
    from stoker.work.recipe import WarmKey

IDLE_S = 60.0
AHEAD = 16  # tasks that lie before a process beyond the one it works on
AHEAD_S = 0.02  # and how long they may take together
SLOW_S = 0.1  # a task that takes longer does not keep the next ones waiting for it
_LEAVE_S = 5.0  # that a process gets which is to end by itself
_LOOK_S = 1.0  # between looks at the files of imported modules


class Warmers:
    """All warm processes of a worker. `returned` are tasks that a process never began."""

    def __init__(self, executor: Executor, *, most: int) -> None:
        self.returned: list[Running] = []
        self._executor = executor
        self._most = most
        self._idle: dict[WarmKey, list[WarmProcess]] = {}
        self._busy: dict[int, WarmProcess] = {}  # by pid
        self._ending: dict[int, WarmProcess] = {}  # told to go, not gone yet
        self._made = 0
        self._looked_s: dict[int, float] = {}

    def start(self, running: Running) -> None:
        """A warm process works on the task; or its result says why not."""
        try:
            warm = self._take(running)
        except (OSError, StokerError, ValueError) as problem:
            self._executor.fail(running, problem)
            return
        self._busy[warm.pid] = warm
        self._send(warm, running)
        if running.serial in warm.held:
            self._executor.enter(running, warm.pid)
            hit("started")
        else:
            self._rest(warm)

    def give_ahead(self, running: Running, expected_s: float) -> bool:
        """Whether a busy process will work on the task next, without filling further cpus."""
        most = min(AHEAD, int(AHEAD_S / max(expected_s, 1e-6)))
        if most < 1:
            return False
        key, step, cpus = running.recipe.warm_key, running.recipe.key, running.claimed.cpus
        best: WarmProcess | None = None
        for warm in self._busy.values():
            current = warm.current
            if (
                warm.key == key
                and not warm.is_leaving
                and current is not None
                and current.recipe.key == step
                and current.claimed.cpus == cpus
                and current.stopped is None
                and len(warm.held) <= most
                and (best is None or len(warm.held) < len(best.held))
            ):
                best = warm
        if best is None:
            return False
        self._send(best, running)
        return True

    def _send(self, warm: WarmProcess, running: Running) -> None:
        """The process has the task before it; or it is among those returned; or it has failed."""
        action = running.recipe.step.action
        seat = warm.take_seat()
        running.seat = seat
        running.release = _Release(warm)
        try:
            seat_outputs(running, seat, self._executor.desk)
            env = running.recipe.call_environment(running.claimed, seat, running.made)
            message = call_message(
                running.claimed,
                action if isinstance(action, Python) else Python(function=""),
                number=running.serial,
                seat=seat,
                outputs=running.made,
                env=env,
                open_files=running.recipe.step.open_files,
            )
            running.command = message["function"]
            is_sent = warm.send(message, running)
        except (OSError, StokerError, ValueError) as problem:
            self._executor.fail(running, problem)
            return
        if not is_sent:
            self._unseat(running)
            self.returned.append(running)

    def _take(self, running: Running) -> WarmProcess:
        """Return a process that has nothing to do and can serve the task."""
        key = running.recipe.warm_key
        idle = self._idle.get(key, [])
        while idle:
            warm = idle.pop()
            if not self._is_outdated(warm):
                return warm
            self._dismiss(warm)
        self._made += 1
        own = self._executor.desk.folder
        folder = os.path.join(own.path, f"warm-{self._made}")
        warm = WarmProcess(key, folder, rights=own.rights)
        recipe = running.recipe
        try:
            warm.start(encode_env(recipe.warm_environment), recipe.path)
        except OSError:
            warm.close()
            raise
        self._executor.own.add(warm.pid)
        self._executor.watcher.watch_process(warm.pid, _Ended(self, warm))
        self._executor.watcher.watch_descriptor(warm.fileno(), _Answered(self, warm))
        return warm

    def _is_outdated(self, warm: WarmProcess) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_s.get(warm.pid, 0.0) < _LOOK_S:
            return False
        self._looked_s[warm.pid] = now_s
        return warm.is_outdated()

    # -------------------------------------------------------------------------------------- events

    def on_answer(self, warm: WarmProcess) -> None:
        """Calls have ended; the next one, if there is one, is the current attempt now."""
        for running, end in warm.receive():
            if running.claimed.attempt not in self._executor.running:
                self._executor.enter(running, warm.pid)
            self._executor.leave(running, end)
        if warm.problem is not None:
            self._give_up(warm)
        elif warm.is_leaving:
            self._take_back(warm)
        current = warm.current
        if current is None:
            if warm.pid in self._busy:
                self._rest(warm)
        elif current.claimed.attempt not in self._executor.running:
            self._executor.enter(current, warm.pid)

    def _give_up(self, warm: WarmProcess) -> None:
        """A process that makes no sense is killed; what it has not begun is returned."""
        if warm.pid in self._ending and warm.pid not in self._busy:
            return
        self._executor.watcher.forget_descriptor(warm.fileno())
        self._take_back(warm)
        idle = self._idle.get(warm.key, [])
        if warm in idle:
            idle.remove(warm)
        self._ending[warm.pid] = warm
        contain.kill_tree(warm.pid, signal.SIGKILL)

    def on_end(self, warm: WarmProcess) -> None:
        """The process is gone: the call it worked on has failed, what it had not begun goes back."""
        self.on_answer(warm)
        first = warm.current
        self._take_back(warm)
        end = self._executor.reap(warm.pid)
        self._executor.watcher.forget_descriptor(warm.fileno())
        current = warm.current
        if first in self.returned and not warm.has_answered:
            current = first  # it never came as far as reading a task: the next would do no better
            self.returned.remove(first)
        self._busy.pop(warm.pid, None)
        self._ending.pop(warm.pid, None)
        self._looked_s.pop(warm.pid, None)
        idle = self._idle.get(warm.key, [])
        if warm in idle:
            idle.remove(warm)
        if current is not None:
            warm.held.pop(current.serial, None)
            self._executor.settle(current, _last_words(warm, end))
            current.release = _forget
        self._return(list(warm.held.values()))  # begun in a process that made no sense
        warm.held.clear()
        warm.close()

    def _take_back(self, warm: WarmProcess) -> None:
        """What the process has not begun is returned, the first one too if it was not read yet."""
        self._return(warm.withdraw())
        if warm.current is None and warm.pid in self._busy:
            self._rest(warm)

    def _return(self, several: list[Running]) -> None:
        """These attempts, which no process works on, are returned; or end, if they were stopped."""
        for running in several:
            self._executor.retract(running)
            self._unseat(running)
            if running.stopped is None:
                self.returned.append(running)
            else:
                self._executor.results.append(unstarted(running.claimed, running.stopped))

    def _unseat(self, running: Running) -> None:
        if running.seat is not None:
            running.release(running, running.seat.clean(self._executor.desk.folder))
            running.seat = None

    def _rest(self, warm: WarmProcess) -> None:
        """The process has nothing to do."""
        self._busy.pop(warm.pid, None)
        if warm.is_leaving:
            self._see_off(warm)
            return
        warm.idle_since_s = time.monotonic()
        self._idle.setdefault(warm.key, []).append(warm)

    def _dismiss(self, warm: WarmProcess) -> None:
        """The process ends by itself: it has lost its socket."""
        warm.is_leaving = True
        self._see_off(warm)
        self._executor.watcher.forget_descriptor(warm.fileno())
        warm.hang_up()

    def _see_off(self, warm: WarmProcess) -> None:
        """The process has to end by itself, and soon."""
        warm.kill_s = time.monotonic() + _LEAVE_S
        self._ending[warm.pid] = warm

    def tend(self) -> None:
        """Idle processes go, files stay bounded, and nothing waits behind a slow task."""
        now_s = time.monotonic()
        idle = sorted(
            (warm for several in self._idle.values() for warm in several),
            key=lambda warm: warm.idle_since_s,
        )
        surplus = len(idle) + len(self._busy) - self._most
        for index, warm in enumerate(idle):
            if index < surplus or now_s - warm.idle_since_s > IDLE_S:
                self._idle[warm.key].remove(warm)
                self._dismiss(warm)
        for warm in self._ending.values():
            if warm.kill_s is not None and now_s > warm.kill_s:
                contain.kill_tree(warm.pid, signal.SIGKILL)
        for warm in list(self._busy.values()):
            warm.place.stdout.bound()
            warm.place.stderr.bound()
            current = warm.current
            if len(warm.held) > 1 and current is not None and now_s - current.started_s > SLOW_S:
                self._take_back(warm)

    def withdraw_all(self) -> None:
        """No process has a task before it that it has not begun."""
        for warm in list(self._busy.values()):
            self._take_back(warm)

    def dismiss_all(self) -> None:
        """All idle processes end."""
        for several in self._idle.values():
            for warm in several:
                self._dismiss(warm)
        self._idle.clear()

    @property
    def count(self) -> int:
        """How many processes there are, those that are ending included."""
        return len(self._busy) + len(self._ending) + sum(map(len, self._idle.values()))


class _Ended:
    """Called when a warm process has ended."""

    __slots__ = ("_warm", "_warmers")

    def __init__(self, warmers: Warmers, warm: WarmProcess) -> None:
        self._warmers = warmers
        self._warm = warm

    def __call__(self, _pid: int) -> None:
        self._warmers.on_end(self._warm)


class _Answered(_Ended):
    """Called when a warm process has answered."""

    __slots__ = ()

    def __call__(self, _pid: int) -> None:
        self._warmers.on_answer(self._warm)


class _Release:
    """Gives the seat back to the process that it belongs to."""

    __slots__ = ("_warm",)

    def __init__(self, warm: WarmProcess) -> None:
        self._warm = warm

    def __call__(self, running: Running, is_clean: bool) -> None:  # noqa: FBT001 - a callback
        if running.seat is None:
            return
        if is_clean:
            self._warm.free_seats.append(running.seat)
        else:
            warn_of_scratch(running.seat.scratch)


def _forget(running: Running, _is_clean: bool) -> None:  # noqa: FBT001 - a callback
    """The seat of a process that is gone goes with its folder."""
    if running.seat is not None:
        wipe(running.seat.folder)


def _last_words(warm: WarmProcess, end: Exit) -> Exit:
    """Return the end of the call that its process did not survive, with what it had written."""
    problem = warm.problem
    failure = None if warm.has_answered else warm.place.launcher.failure(end.exit_code)
    if problem is not None:
        end.exit_code = end.signal = None
    elif failure is not None:
        problem = f"`{warm.key.interpreter}` could not be started: {failure.strerror}"
        end.exit_code = None
    elif end.exit_code == 0:
        problem = "the process ended by itself, with exit code 0, before the function returned"
        end.exit_code = None
    end.problem = problem
    end.stdout, end.stderr = warm.place.stdout.collect(), warm.place.stderr.collect()
    return end
