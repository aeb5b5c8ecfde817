"""Owns the attempts in hand: starts them, waits for them, ends them, and concludes them.

It knows processes, places and results, and nothing of the store but how to reserve a path. All of it
runs in the worker's main thread, except for concluding what needs slow I/O, which threads do.
"""

import logging
import os
import shlex
import signal
import time
from typing import TYPE_CHECKING

from stoker.errors import StokerError
from stoker.failpoints import hit
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.words import shown
from stoker.work import brand, contain, spawn, usage
from stoker.work.checks import Ending, too_much_memory
from stoker.work.closing import Closing
from stoker.work.conclude import unstarted
from stoker.work.desk import Desk
from stoker.work.disk import DiskWatch
from stoker.work.ends import Ends
from stoker.work.exit import Exit
from stoker.work.running import Begun, Running, Sitting, Stopping
from stoker.work.slot import Place
from stoker.work.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from stoker.model.id_types import AttemptId

GRACE_S = 5.0  # between TERM and KILL
_SWEEP_S = 0.005  # between looks at strays that do not die
_GIVE_UP_S = 10.0  # on strays that cannot be killed

_log = logging.getLogger(__name__)


class Executor:
    """Carries out attempts. `ends` are those that nobody has taken yet."""

    def __init__(self, desk: Desk, watcher: Watcher, *, slots: int) -> None:
        self.ends = Ends()
        self.running: dict[AttemptId, Running] = {}
        self.cpus_used = 0
        self.memory_used = 0
        self.desk = desk
        self.watcher = watcher
        self.own: set[int] = set()  # the processes that were started here
        self.on_left: Callable[[Running], None] = lambda _: None
        self._closing = Closing(desk, watcher, self.ends, slots=slots)
        self._places: list[Place] = []
        self._made = 0
        self._sessions: dict[bytes, int] = {}
        self._brand = brand.read(os.getpid())
        self._strays = contain.Strays()
        self._peaks = usage.Peaks()
        self._disks = DiskWatch(watcher.wake, desk.fail)
        self._sweeping: list[tuple[Running, Exit, float]] = []
        self._ended: list[tuple[Running, Exit]] = []

    # ------------------------------------------------------------------------------- what there is

    @property
    def is_busy(self) -> bool:
        """Whether any attempt is in hand."""
        return bool(self.running or self._sweeping or self._ended or self._closing.count)

    @property
    def publishing(self) -> list[Running]:
        """The attempts whose outputs are being published."""
        return self._closing.publishing

    @property
    def is_backed_up(self) -> bool:
        """Whether so many ends wait for slow I/O that nothing more should be started."""
        return self._closing.is_full

    # ------------------------------------------------------------------------------------ starting

    def start(self, running: Running) -> None:
        """The attempt runs, or, where something is wrong with it, has its result already."""
        try:
            place = self._take_place()
        except OSError as problem:
            self.fail(running, problem)
            return
        running.sitting = Sitting(place.seat, self._give_place, place)
        try:
            self._spawn(running, running.sitting, place)
        except (OSError, StokerError, ValueError) as problem:
            self.fail(running, problem)

    def fail(self, running: Running, problem: Exception) -> None:
        """The attempt has failed before its process started, and its seat is free again."""
        ending = self.desk.failure_of(running.claimed, problem)
        self.end_unstarted(running, ending)
        if running.seat is not None:
            running.give_up_seat(is_clean=running.seat.clean(self.desk.folder))

    def is_needless(self, running: Running) -> bool:
        """Whether the attempt has its result without a process: false condition, missing file."""
        ending = self._needless(running)
        if ending is not None:
            self.end_unstarted(running, ending)
        return ending is not None

    def end_unstarted(self, running: Running, ending: Ending) -> None:
        """The attempt has ended so, and no process ever worked on it."""
        self.ends.record(unstarted(running.claimed, ending))

    def _needless(self, running: Running) -> Ending | None:
        """Return how the attempt ends without a process; None if it needs one."""
        claimed, recipe = running.claimed, running.recipe
        if recipe.broken is not None:
            return Ending(AttemptState.FAILED, Verdict.RETRY, recipe.broken, "prepare failed")
        if recipe.condition is not None:
            try:
                holds = recipe.condition.holds(
                    params=claimed.params,
                    meta=claimed.meta,
                    values={step: left.values for step, left in claimed.produced.items()},
                    key=claimed.key,
                    item=claimed.path,
                )
            except (StokerError, ValueError) as problem:
                return self.desk.failure_of(claimed, problem)
            if not holds:
                reason = f"`when` is false: {recipe.step.when}"
                return Ending(AttemptState.CANCELLED, Verdict.SKIP, reason, "`when` is false")
        missing = recipe.missing_file(claimed)
        if missing is not None:
            reason = f"the item's file `{shown(missing)}` is gone"
            return Ending(AttemptState.FAILED, Verdict.RETRY, reason, "the item's file is gone")
        lacks = recipe.missing_input(claimed)
        if lacks is not None:
            step, name, path = lacks
            cause = f"the output `{name}` of step `{step}` is gone"
            again = f"stoker rerun {shlex.quote(shown(claimed.key))} --step {step}"
            reason = f"{cause} (`{shown(path)}`); `{again}` makes it again"
            return Ending(AttemptState.FAILED, Verdict.RETRY, reason, cause)
        return None

    def _take_place(self) -> Place:
        if self._places:
            return self._places.pop()
        self._made += 1
        folder = self.desk.folder
        return Place(os.path.join(folder.path, str(self._made)), rights=folder.rights)

    def _give_place(self, sitting: Sitting, is_clean: bool) -> None:  # noqa: FBT001 - a callback
        place = sitting.place
        if place is None:
            return
        if is_clean:
            self._places.append(place)
        else:
            warn_of_scratch(place.seat.scratch)
            place.close()

    def _spawn(self, running: Running, sitting: Sitting, place: Place) -> None:
        claimed, recipe = running.claimed, running.recipe
        seat_outputs(running, sitting, self.desk)
        open_files = recipe.step.open_files
        if open_files is not None:
            spawn.check_open_files(open_files)
        start = recipe.command(claimed, place.seat, sitting.made)
        running.command = start.shown
        argv = start.argv if open_files is None else spawn.with_open_files(start.argv, open_files)
        with brand.changed(self._brand, brand.of_attempt(self._brand, running.serial)):
            pid = place.launcher.start(
                argv,
                start.env,
                path=recipe.path,
                folder=place.seat.scratch,
                stdout=place.stdout.descriptor,
                stderr=place.stderr.descriptor,
            )
        self.enter(running, pid)
        self.own.add(pid)
        self.watcher.watch_process(pid, running)
        hit("started")

    def enter(self, running: Running, pid: int) -> None:
        """The attempt runs in process `pid` and fills its cpus."""
        running.begin(pid)
        claimed = running.claimed
        self.running[claimed.attempt] = running
        self._sessions[claimed.attempt] = pid
        self.cpus_used += claimed.cpus
        self.memory_used += claimed.memory_bytes or 0
        limit_bytes = running.recipe.step.disk_bytes
        if limit_bytes is not None and running.seat is not None:
            self._disks.add(claimed.attempt, running.seat.folders, limit_bytes)

    def retract(self, running: Running) -> bool:
        """Whether the attempt was in a process; it is in none any more, and its cpus are free."""
        claimed = running.claimed
        self._sessions.pop(claimed.attempt, None)
        if self.running.pop(claimed.attempt, None) is None:
            return False
        self.cpus_used -= claimed.cpus
        self.memory_used -= claimed.memory_bytes or 0
        self._disks.remove(claimed.attempt)
        return True

    def leave(self, running: Running, end: Exit) -> None:
        """The attempt runs no more, and is to be concluded."""
        hit("swept")
        if self.retract(running):
            running.end()
            self.on_left(running)
        self._ended.append((running, end))

    # ------------------------------------------------------------------------------------- waiting

    def poll(self, timeout_s: float) -> None:
        """What has happened within the time is taken in; `conclude` brings it to results."""
        if self._sweeping:
            timeout_s = min(timeout_s, _SWEEP_S)
        for owner, pid in self.watcher.poll(timeout_s):
            if isinstance(owner, Running):
                self._reap(owner)
            else:
                owner(pid)
        if self._sweeping:
            self.sweep()

    def conclude(self) -> None:
        """What has ended is brought to results, or to the threads that will."""
        ended, self._ended = self._ended, []
        for running, end in ended:
            self._closing.take(running, end)
        self._closing.collect()

    def _reap(self, running: Running) -> None:
        """The attempt's process has ended."""
        end = self.reap(running.process.pid)
        hit("exited")
        end.max_rss_bytes = end.max_rss_bytes or running.process.peak_bytes
        if end.exit_code == 255 and running.place is not None:
            failure = running.place.launcher.failure(end.exit_code)
            if failure is not None:
                end.exit_code, end.problem = None, _not_started(running, failure)
        self.settle(running, end)

    def settle(self, running: Running, end: Exit) -> None:
        """The attempt is over once none of its descendants is left."""
        attempt = running.claimed.attempt
        self._sessions.pop(attempt, None)
        if self._strays.sweep(self.own, self._sessions, attempt):
            self.leave(running, end)
        else:
            self._sweeping.append((running, end, time.monotonic() + _GIVE_UP_S))

    def has_left_strays(self, running: Running) -> bool:
        """Whether an attempt that ended in a warm process had left any, which are dead now."""
        self._sessions.pop(running.claimed.attempt, None)
        before = self._strays.killed
        self._strays.sweep(self.own, self._sessions, running.claimed.attempt)
        return self._strays.killed > before

    def sweep(self) -> bool:
        """Strays are looked at again, of attempts that are ending or of none; whether none is left."""
        waiting, self._sweeping = self._sweeping, []
        for running, end, until_s in waiting:
            is_clean = self._strays.sweep(self.own, self._sessions, running.claimed.attempt)
            if is_clean or time.monotonic() > until_s:
                if not is_clean:
                    _log.error("a process cannot be killed", extra={"event": "unkillable"})
                self.leave(running, end)
            else:
                self._sweeping.append((running, end, until_s))
        return not waiting and self._strays.sweep(self.own, self._sessions, None)

    def reap(self, pid: int) -> Exit:
        """Return how the process ended; what was left of its group is killed."""
        contain.kill_group(pid, signal.SIGKILL)  # not reaped yet, so the id is still its own
        self.watcher.forget_process(pid)
        _, status, used = os.wait4(pid, 0)
        self.own.discard(pid)
        code = os.waitstatus_to_exitcode(status)
        return Exit(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            user_us=int(used.ru_utime * 1e6),
            system_us=int(used.ru_stime * 1e6),
            max_rss_bytes=self._peaks.of(used),
            ended_us=time.time_ns() // 1000,
        )

    # -------------------------------------------------------------------------------------- ending

    def stop(self, running: Running, ending: Ending, *, grace_s: float | None = None) -> None:
        """The attempt ends as `ending`: by TERM now and by KILL after the grace, the whole tree."""
        now_s = time.monotonic()
        grace_s = GRACE_S if grace_s is None else grace_s
        stage = running.stage
        if isinstance(stage, Begun):
            running.stage = Stopping(stage, ending, now_s + grace_s)
            contain.kill_tree(stage.pid, signal.SIGTERM if grace_s > 0 else signal.SIGKILL)
        elif isinstance(stage, Stopping) and grace_s <= 0:
            stage.kill_s = now_s
            contain.kill_tree(stage.begun.pid, signal.SIGKILL)

    def next_limit_s(self) -> float | None:
        """Return when the next limit of a running attempt is due, by the monotonic clock."""
        due = None
        for running in self.running.values():
            stage = running.stage
            at_s = stage.kill_s if isinstance(stage, Stopping) else running.process.deadline_s
            if at_s is not None and (due is None or at_s < due):
                due = at_s
        return due

    def hold_limits(self) -> None:
        """What has run into a limit of time or disk, or outlived its grace, is ended. Called often."""
        now_s = time.monotonic()
        for attempt, ending in self._disks.take_over().items():
            if attempt in self.running:
                self.stop(self.running[attempt], ending, grace_s=0.0)
        for running in list(self.running.values()):
            stage, deadline_s = running.stage, running.process.deadline_s
            if isinstance(stage, Stopping):
                if now_s >= stage.kill_s:
                    contain.kill_tree(stage.begun.pid, signal.SIGKILL)
                    stage.kill_s = now_s + 1.0
            elif deadline_s is not None and now_s >= deadline_s:
                limit_s = running.recipe.step.timeout_s
                reason = f"it ran into its time limit of {limit_s:g} s"
                ending = Ending(AttemptState.TIMED_OUT, Verdict.RETRY, reason, "time limit reached")
                self.stop(running, ending)

    def watch_memory(self) -> None:
        """An attempt that takes more memory than its step has is ended."""
        for running in list(self.running.values()):
            begun = running.process
            if not running.recipe.is_warm:
                begun.peak_bytes = max(begun.peak_bytes, usage.tree_peak_bytes(begun.pid))
            limit = running.claimed.memory_bytes
            if limit is None or running.stopped is not None:
                continue
            strays = self._strays.of(running.claimed.attempt)
            used = usage.tree_memory_bytes((begun.pid, *strays), limit=limit)
            if used > limit:
                self.stop(running, too_much_memory(used, limit), grace_s=0.0)

    def close(self, *, within_s: float) -> bool:
        """Whether all threads have ended; descriptors are given back.

        A thread that hangs longer, with a file system that does not answer, is left behind.
        """
        if not self._closing.close(within_s=within_s):
            return False
        self._disks.close()
        for place in self._places:
            place.close()
        self._strays.close()
        return True


def seat_outputs(running: Running, sitting: Sitting, desk: Desk) -> None:
    """The seat is ready for the attempt, with the folders for its outputs and lists of members."""
    seat = sitting.seat
    seat.make_ready()
    if running.recipe.lists is not None:
        seat.make_lists(running.claimed, running.recipe.lists, desk.members_of)
    if running.recipe.step.outputs:
        sitting.targets = running.recipe.targets(running.claimed, seat)
        mark = running.claimed.attempt.hex()
        sitting.made = seat.make_outputs(running.recipe.step, sitting.targets, desk.folder, mark)


def warn_of_scratch(path: str) -> None:
    """The log says that a scratch could not be wiped, if it is still there."""
    if not os.path.lexists(path):
        return
    _log.warning(
        "a scratch could not be wiped and is left", extra={"event": "scratch_left", "path": path}
    )


def _not_started(running: Running, failure: OSError) -> str:
    """Return why the attempt's program could not be executed, in words."""
    program = running.command.split(" ")[0] if running.command else "the command"
    return f"`{program}` could not be started: {failure.strerror}"
