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
from stoker.work import contain
from stoker.work.executor import Executor, seat_outputs, warn_of_scratch
from stoker.work.exit import Exit
from stoker.work.lines import LineProcess
from stoker.work.pyfunc import PythonProcess
from stoker.work.running import WAITING, Running, Sitting, Stage
from stoker.work.scratch import wipe
from stoker.work.spawn import encode_env
from stoker.work.warm_key import Kind
from stoker.work.warm_process import WarmProcess, call_message

if TYPE_CHECKING:
    from stoker.work.household import Usual
    from stoker.work.warm_key import WarmKey

IDLE_S = 60.0
AHEAD = 16  # tasks that wait before a process beyond the one it works on
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
        self._ending: dict[int, WarmProcess] = {}  # asked to go, not gone yet
        self._made = 0
        self._looked_s: dict[int, float] = {}
        self._usual: Usual = {}

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
            self._enter(running, warm)
            hit("started")
        else:
            self._rest(warm)

    def _enter(self, running: Running, warm: WarmProcess) -> None:
        """The attempt runs in this process; its time has not begun while the process starts."""
        self._executor.enter(running, warm.pid)
        if warm.is_starting:
            running.process.deadline_s = None

    def give_ahead(self, running: Running, expected_s: float) -> bool:
        """Whether a busy process will work on the task next, without filling further cpus."""
        most = min(AHEAD, int(AHEAD_S / max(expected_s, 1e-6)))
        if most < 1:
            return False
        step, cpus = running.recipe.key, running.claimed.cpus
        key = running.recipe.warm_key(running.claimed)
        best: WarmProcess | None = None
        for warm in self._busy.values():
            current = warm.current
            if (
                warm.takes_ahead
                and warm.key == key
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
        seat = warm.take_seat()
        running.sitting = sitting = Sitting(seat, _Release(warm))
        try:
            seat_outputs(running, sitting, self._executor.desk)
            env = running.recipe.call_environment(running.claimed, seat, sitting.made)
            message = call_message(
                running.claimed,
                number=running.serial,
                seat=seat,
                outputs=sitting.made,
                env=env,
                open_files=running.recipe.step.open_files,
                function=running.recipe.function(running.claimed),
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
        key = running.recipe.warm_key(running.claimed)
        idle = self._idle.get(key, [])
        while idle:
            warm = idle.pop()
            warm.receive()  # nothing but what makes no sense
            if warm.problem is not None:
                self._give_up(warm)
            elif self._is_outdated(warm):
                self._dismiss(warm)
            else:
                return warm
        self._made += 1
        folder = os.path.join(self._executor.desk.folder.path, f"warm-{self._made}")
        warm = self._make(key, folder)
        recipe = running.recipe
        try:
            env = recipe.warm_environment
            if key.devices is not None:
                env["CUDA_VISIBLE_DEVICES"] = key.devices
            warm.start(encode_env(env), recipe.path)
        except (OSError, StokerError):
            warm.close()
            raise
        self._executor.own.add(warm.pid)
        self._executor.watcher.watch_process(warm.pid, _Ended(self, warm))
        self._executor.watcher.watch_descriptor(warm.fileno(), _Answered(self, warm))
        return warm

    def _make(self, key: "WarmKey", folder: str) -> WarmProcess:
        rights = self._executor.desk.folder.rights
        if key.kind is Kind.PYTHON:
            return PythonProcess(key, folder, rights=rights)
        return LineProcess(key, folder, rights=rights, usual=self._usual)

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
                self._enter(running, warm)
            warm.is_leaving |= running.stopped is not None  # it may not have taken notice
            warm.is_leaving |= self._executor.has_left_strays(running)
            limit_bytes = running.claimed.memory_bytes
            warm.is_leaving |= limit_bytes is not None and warm.is_swollen(limit_bytes)
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
            self._enter(current, warm)

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
        warm.is_over = True
        self.on_answer(warm)
        first = warm.current
        stage: Stage = WAITING if first is None else first.stage
        self._take_back(warm)
        end = self._executor.reap(warm.pid)
        self._executor.watcher.forget_descriptor(warm.fileno())
        current = warm.current
        if first in self.returned and not warm.has_answered:
            current = first  # it never came as far as reading a task: the next would do no better
            current.stage = stage
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
            if current.sitting is not None:
                current.sitting.release = _forget
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
                running.stage = WAITING
                self.returned.append(running)
            else:
                self._executor.end_unstarted(running, running.stopped)

    def _unseat(self, running: Running) -> None:
        if running.seat is not None:
            is_clean = running.seat.clean(self._executor.desk.folder)
            running.give_up_seat(is_clean=is_clean)
            running.sitting = None

    def _rest(self, warm: WarmProcess) -> None:
        """The process has nothing to do."""
        self._busy.pop(warm.pid, None)
        if warm.is_leaving:
            self._dismiss(warm)
            return
        warm.idle_since_s = time.monotonic()
        self._idle.setdefault(warm.key, []).append(warm)

    def _dismiss(self, warm: WarmProcess) -> None:
        """The process ends by itself: it has lost its socket."""
        warm.is_leaving = True
        warm.kill_s = time.monotonic() + _LEAVE_S
        self._ending[warm.pid] = warm
        self._executor.watcher.forget_descriptor(warm.fileno())
        warm.hang_up()

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
            warm.tend()
            if warm.problem is not None:
                self._give_up(warm)
            current = warm.current
            if len(warm.held) > 1 and current is not None and _runs_for_s(current, now_s) > SLOW_S:
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

    def __call__(self, sitting: Sitting, is_clean: bool) -> None:  # noqa: FBT001 - a callback
        if is_clean:
            self._warm.free_seats.append(sitting.seat)
        else:
            warn_of_scratch(sitting.seat.scratch)


def _forget(sitting: Sitting, _is_clean: bool) -> None:  # noqa: FBT001 - a callback
    """The seat of a process that is gone goes with its folder."""
    wipe(sitting.seat.folder)


def _runs_for_s(running: Running, now_s: float) -> float:
    return 0.0 if running.begun is None else now_s - running.begun.started_s


def _last_words(warm: WarmProcess, end: Exit) -> Exit:
    """Return the end of the call that its process did not survive, with what it had written."""
    problem = warm.problem
    failure = None if warm.has_answered else warm.place.launcher.failure(end.exit_code)
    if problem is not None:
        end.exit_code = end.signal = None
    elif failure is not None:
        problem = f"`{warm.key.program[0]}` could not be started: {failure.strerror}"
        end.exit_code = None
    elif end.exit_code == 0:
        is_program = warm.key.kind is Kind.PERSISTENT
        what = "it answered" if is_program else "the function returned"
        problem = f"the process ended by itself, with exit code 0, before {what}"
        end.exit_code = None
    end.problem = problem
    end.stdout, end.stderr = warm.place.stdout.collect(), warm.place.stderr.collect()
    return end
