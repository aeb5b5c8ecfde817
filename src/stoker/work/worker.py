"""A worker: claims tasks of a store and carries them out on this host, until stopped or done.

Owns the order of things from start to end: clear what dead workers left, enlist, work, and leave
nothing. What it does in between stands in `incarnation`.
"""

import gc
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from stoker.errors import StaleAttempt, Unavailable, UserError
from stoker.model.bounds import CPUS, TIME_S
from stoker.model.settings import Settings
from stoker.work import brand, contain, leftovers, spawn
from stoker.work.allocation import Allocation
from stoker.work.incarnation import END_S, Incarnation
from stoker.work.lease import LEASE_S
from stoker.work.link import Link
from stoker.work.post import Post, own_place
from stoker.work.progress import Event, Summary
from stoker.work.reports import Counts
from stoker.work.room import Room, existing, is_full_error
from stoker.work.scheduler import Job
from stoker.work.signals import STOPS, WARNINGS
from stoker.work.stopping import Stopping
from stoker.work.telling import EVENT_S, Telling
from stoker.work.watch import Watcher

if TYPE_CHECKING:
    from stoker.model.id_types import WorkerId

SWITCH_S = 0.0005  # that another thread may go on with Python while the loop has something to do
LOOK_S = 0.5  # between looks at what is left, for a worker that drains; times the crowding
LOOK_MOST_S = 2.0
FILES, FILES_PER_SLOT = 256, 32  # that a worker may need to have open
REJOIN_S = 1.0  # between attempts to reach a store that does not answer

_log = logging.getLogger(__name__)


class Worker:
    """One worker on this host. `work` is called once, in the main thread.

    `slots` is how many cpus it fills (None: all it may use), `tags` what steps may need of it (None:
    what the settings say of this host); with `drain` it ends when nothing is left that it could do,
    and after `idle_timeout_s` without work of its own. `job` says how long it may go on; `given`,
    what its batch job has. `on_event` gets a snapshot at most ten times a second, from the loop
    itself: it must be quick.
    """

    name = "worker"  # as a service; in the store it has the name that it is given

    def __init__(  # noqa: PLR0913 - each is what somebody may want of a worker
        self,
        link: Link,
        settings: Settings,
        *,
        slots: int | None = None,
        tags: Sequence[str] | None = None,
        name: str | None = None,
        drain: bool = False,
        job: Job | None = None,
        idle_timeout_s: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        given: Allocation | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        if slots is not None:
            CPUS.check("slots", slots)
        if idle_timeout_s is not None:
            TIME_S.check("idle_timeout_s", idle_timeout_s)
        job = job or Job()
        place, root = (
            own_place(settings, link.host, given=given),
            leftovers.scratch_root(link, settings),
        )
        self._watcher = Watcher()
        self._stopping = Stopping(self._watcher.wake, job)
        self._post = Post(
            link=link,
            settings=settings,
            name=name or f"{link.host}-{os.getpid()}",
            slots=slots or place.slots,
            place=place,
            tags=tuple(sorted(place.tags)) if tags is None else tuple(tags),
            scratch_root=root,
            room=Room(_places(link, root), self._watcher.wake, self.fail),
            fail=self.fail,
            lease_s=lease_s,
            term=job.term,
        )
        self._link = link
        self._enlisted: WorkerId | None = None  # while its incarnation has no place yet
        self._incarnation: Incarnation | None = None
        self._is_draining = drain
        self._counts = Counts()
        self._has_news = False
        self._began_s = self._busy_s = time.monotonic()
        self._idle_timeout_s = math.inf if idle_timeout_s is None else idle_timeout_s
        self._trouble = ""
        self._look_s = 0.0
        self._telling = Telling(on_event, self._counts, self._began_s)

    def stop(self) -> None:
        """Stop as on a signal: the first time in order, the second at once. From any thread."""
        self._stopping.order()

    def fail(self, problem: BaseException) -> None:
        """Stop in order, and have `work` raise Bug: one of the worker's threads has failed so."""
        self._stopping.fail(problem)

    def health(self) -> str | None:
        """Return why it claims or records nothing just now, in words; None if it can. From any thread."""
        held = self._incarnation
        if held is None:
            return self._trouble or None
        return self._post.room.trouble or held.claims.trouble or held.reports.trouble

    def crowding(self) -> float:
        """Return how many times over its cpus are promised to workers: see `Grant`. From any thread."""
        held = self._incarnation
        return 1.0 if held is None else held.claims.crowding

    def hurry(self) -> None:
        """There may be something new: the next claim need not wait. From any thread."""
        self._has_news = True
        self._watcher.wake()

    def work(self) -> Summary:
        """Work until the end that was asked for; return what was done. Nothing is left running.

        Bug if one of the worker's threads has failed; its attempts have been stopped and recorded.
        """
        self._check_scratch()
        with self._inheritance_and_signals(), self._post.room:
            leftovers.clear(self._link, self._post.scratch_root)
            while not self._live_once():
                pass
        self._stopping.raise_failure()
        self._watcher.close()
        counts = self._counts
        return Summary(
            done=counts.done,
            failed=counts.failed,
            skipped=counts.skipped,
            cancelled=counts.cancelled,
            stale=counts.stale,
            elapsed_s=time.monotonic() - self._began_s,
            was_interrupted=self._stopping.was_asked,
            crowded_s=counts.crowded_s,
            is_time_up=self._stopping.is_time_up,
        )

    # ------------------------------------------------------------------------------ beginning, end

    @contextmanager
    def _inheritance_and_signals(self) -> Iterator[None]:
        """Children inherit nothing by chance, and signals to this process stop it in order."""
        was_subreaper = contain.become_subreaper()
        try:
            with brand.worn(), self._umask(), self._signals_taken():
                yield
        finally:
            contain.become_subreaper(wanted=was_subreaper)

    @contextmanager
    def _umask(self) -> Iterator[None]:
        """The group gets all rights to what attempts make, if the project is the group's."""
        if not self._link.rights.is_shared:
            yield
            return
        before = os.umask(0)
        os.umask(before & ~0o070)
        try:
            yield
        finally:
            os.umask(before)

    @contextmanager
    def _signals_taken(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[signal.Signals, Any] = dict.fromkeys(STOPS, self._stopping.on_signal)
        handlers |= dict.fromkeys(WARNINGS, self._stopping.on_warning)
        spawn.clean_inheritance()
        spawn.use_short_slice()
        spawn.raise_open_files(FILES + FILES_PER_SLOT * self._post.slots)
        gc.freeze()  # what is imported by now stays: collections need not look at it
        thresholds = gc.get_threshold()
        gc.set_threshold(50_000, *thresholds[1:])  # tasks come and go by thousands, without cycles
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        before: dict[signal.Signals, Any] = {}
        for number, handler in handlers.items():
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
        descriptor = signal.set_wakeup_fd(self._watcher.wake_descriptor, warn_on_full_buffer=False)
        try:
            yield
        finally:
            gc.set_threshold(*thresholds)
            sys.setswitchinterval(interval_s)
            signal.set_wakeup_fd(descriptor)
            for number, usual in before.items():
                signal.signal(number, usual)

    def _check_scratch(self) -> None:
        """UserError where no scratch can be made, with what to do about it."""
        root = self._post.scratch_root
        try:
            self._post.scratch_rights.make_folder(root)
        except OSError as problem:
            if is_full_error(problem):
                return  # it waits until there is room
            raise UserError(
                f"scratch `{root}` cannot be made: {problem.strerror}; "
                "set `scratch` under `[worker]` to a folder that this account can write"
            ) from problem
        if not os.access(root, os.W_OK | os.X_OK):
            raise UserError(
                f"scratch `{root}` cannot be written by this account; change its rights, or set "
                "`scratch` under `[worker]` to another folder"
            )

    def _live_once(self) -> bool:
        """Work as one incarnation; return whether that is the end of the worker too."""
        try:
            incarnation = self._begin()
        except Unavailable as problem:
            return self._wait_to_join(str(problem))
        if incarnation is None:
            return self._wait_to_join(self._post.room.trouble or "its scratch is full")
        self._incarnation = incarnation
        is_lost = True
        try:
            is_lost = not self._loop(incarnation)
        except StaleAttempt:
            is_lost = True
        finally:
            self._incarnation = None
            incarnation.end(is_lost=is_lost, within_s=1.0 if self._stopping.is_overdue else END_S)
            self._counts.crowded_s += incarnation.claims.crowded_s
            if is_lost and self._link.gone is None:
                if not self._stopping.is_overdue:
                    _log.warning(
                        "the lease was lost; starting again", extra={"event": "lease_lost"}
                    )
                with suppress(Unavailable):  # all it ran is dead: nobody needs to wait
                    self._link.reap(dead_workers=[incarnation.id])
        return self._stopping.is_overdue or not (is_lost or incarnation.claims.is_doubtful)

    def _begin(self) -> Incarnation | None:
        """Return a new incarnation; None while its scratch is full, which is reported to the store."""
        if self._enlisted is None:
            self._enlisted = self._post.enlist()
        try:
            found = Incarnation(self._post, self._enlisted, self._watcher, self._counts)
        except OSError as problem:
            room, link, worker = self._post.room, self._link, self._enlisted
            if not is_full_error(problem):
                link.retire(worker)
                raise
            room.note(existing(self._post.scratch_root))
            link.note_trouble(worker, room.trouble)
            if not link.renew(worker, lease_s=self._post.lease_s).is_alive:
                self._enlisted = None
            return None
        self._enlisted = None
        return found

    def _wait_to_join(self, trouble: str) -> bool:
        """Say why there is no incarnation, wait a moment; return whether the worker is to end."""
        if self._stopping.is_ordered:
            with suppress(Unavailable):
                if self._enlisted is not None:
                    self._link.retire(self._enlisted)
            return True
        if trouble not in (self._trouble, self._post.room.trouble):  # which has been said
            _log.warning(
                "nothing can be claimed", extra={"event": "cannot_join", "reason": trouble}
            )
        self._trouble = trouble
        self._telling.tell_of_waiting(trouble)
        self._watcher.poll(REJOIN_S)
        return False

    def _loop(self, incarnation: Incarnation) -> bool:
        """Return whether it ended in order: False if the lease was lost, or a last order cut it off."""
        while True:
            if self._link.gone is not None:  # another thread may have found out
                raise self._link.gone
            if not incarnation.is_held or self._stopping.is_overdue:
                return False
            self._stopping.hold(incarnation)
            if self._has_news:
                self._has_news = False
                incarnation.claims.hurry()
            incarnation.turn(self._wait_most_s(incarnation))
            if self._telling.is_due():
                self._telling.tell(incarnation, self.health())
            if not incarnation.is_idle:
                self._busy_s = time.monotonic()
            elif self._is_over(incarnation):
                return True

    def _wait_most_s(self, incarnation: Incarnation) -> float:
        if self._stopping.is_under_way:
            return 0.05
        return EVENT_S if self._telling.is_heard and not incarnation.is_idle else 1.0

    def _is_over(self, incarnation: Incarnation) -> bool:
        """Whether an incarnation that has nothing in hand has nothing to come either."""
        if incarnation.is_stopping or incarnation.claims.is_doubtful:
            return True
        if time.monotonic() - self._busy_s >= self._idle_timeout_s:
            return True
        if not incarnation.claims.found_nothing or time.monotonic() < self._look_s:
            return False
        self._look_s = time.monotonic() + min(LOOK_S * self.crowding(), LOOK_MOST_S)
        if not self._is_draining:
            return False
        with suppress(Unavailable):
            left = self._link.anything_left()
            if left.is_settled:
                # What is ready and was not given to us needs more than this worker has, if it was
                # not in another worker's hands just then.
                return not left.ready or incarnation.claims.have_nothing_to_come()
        return False


def _places(link: Link, root: str) -> dict[str, str]:
    """Return the folders that this worker writes to, by what they are for."""
    places = {"scratch": root}
    if link.is_here:
        places["store"] = str(link.folder)
    return places | {"logs": str(link.folder / "logs")}
