"""One incarnation of a worker: from enlisting to retiring, or to the loss of its lease.

The loop of a worker stands here: start what is claimed, wait, conclude what ended, deliver results,
claim more. Everything that belongs to an incarnation (its row, lease, folder, mark, processes) is
made with it and gone with it, so that a worker that was declared dead simply begins another.
"""

import logging
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stoker.errors import StaleAttempt, StokerError, Unavailable
from stoker.model.id_types import WorkerId
from stoker.model.task import Claimed
from stoker.work import brand, cgroups, contain, warden
from stoker.work.checks import Ending
from stoker.work.claims import Claims
from stoker.work.desk import Desk
from stoker.work.doubts import Doubts
from stoker.work.executor import Executor
from stoker.work.lease import Lease
from stoker.work.notes import Notes
from stoker.work.orders import CANCELLED, STOPPED, TAKEN, TIME_UP, Orders, cut_off
from stoker.work.post import Post
from stoker.work.preparation import Preparations
from stoker.work.recipe import Recipe
from stoker.work.reports import Counts, Reports
from stoker.work.running import Running
from stoker.work.scratch import Owner, WorkerFolder, boot_id, process_start
from stoker.work.term import Term
from stoker.work.warmers import Warmers
from stoker.work.watch import Watcher

if TYPE_CHECKING:
    from stoker.model.sharing import Terms

TICK_S = 0.25
MEMORY_TICK_S = 0.5
LONG_S = 0.2  # after which a pool's slots are worth a transaction of their own
WAIT_MOST_S = 1.0
REAP_S = 5.0  # like the next times the crowding, as workers of one place do it for each other
REAP_MOST_S = 10.0
PROMOTE_S, PROMOTE_MOST_S = 0.5, 2.0
END_S = 5.0  # that processes and threads get to end with their incarnation

_log = logging.getLogger(__name__)


class Incarnation:
    """What a worker's row in the store stands for: all that it holds. OSError if it has no place."""

    def __init__(self, post: Post, worker_id: WorkerId, watcher: Watcher, counts: Counts) -> None:
        self._post = post
        self._link = post.link
        self.orders = Orders()
        self.id = worker_id
        boot, pid = boot_id(), os.getpid()
        started = process_start(pid) or 0
        owner = Owner(
            host=post.link.host,
            boot_id=boot,
            pid=pid,
            started=started,
            worker=self.id,
            store=post.link.store_id,
            group=cgroups.own_group(),
        )
        self._mark = str(contain.mark_of(owner))
        brand.put(brand.of_worker(self._mark))
        self._folder = WorkerFolder(post.scratch_root, owner, rights=post.scratch_rights)
        warden.note_folder(self._folder.path)
        self._lease = Lease(post.link, self.id, watcher.wake, post.fail, lease_s=post.lease_s)
        logs = str(post.link.folder / "logs")
        desk = Desk(
            self._folder,
            post.link.host,
            logs,
            post.link.rights,
            post.room,
            post.link.contents_of,
            post.link.reserve,
            post.link,
            lambda: self._lease.is_held,
            self.orders.ended_by,
            self.orders.broken_off_by,
            post.link.members_of,
            post.fail,
            post.link.staging,
        )
        self.executor = Executor(desk, watcher, slots=post.slots)
        self.executor.on_left = self._note_elapsed
        self.warmers = Warmers(self.executor, most=4 * post.slots)
        self.claims = Claims(
            post.link,
            self.id,
            self._recipe_of,
            slots=post.slots,
            memory_bytes=post.memory_bytes,
            term=post.term,
        )
        self._doubts = Doubts(is_batch_job=post.place.batch_id is not None)
        self.reports = Reports(post.link, counts, on_recorded=self.claims.settle)
        self._recipes: dict[tuple[int, str, Terms], Recipe] = {}
        self._preparing = Preparations(self.executor)
        self._is_paused = False  # while a disk is full
        self._told_trouble: str | None = None  # what the store has of it
        self._tick_s = self._memory_s = 0.0
        self._notes = Notes(post.link)
        self._promoted_s = self._reaped_s = 0.0

    # ------------------------------------------------------------------------------------ the loop

    @property
    def is_held(self) -> bool:
        """Whether the lease is."""
        return self._lease.is_held

    @property
    def is_stopping(self) -> bool:
        """Whether it is to end."""
        return self.orders.is_stopping

    @property
    def is_idle(self) -> bool:
        """Whether nothing is claimed, running, or waiting to be recorded."""
        return not (
            self.claims.queue
            or self._preparing
            or self.executor.is_busy
            or self.executor.ends
            or self._doubts
            or self.reports.is_any_left
            or self.warmers.returned
        )

    def turn(self, wait_most_s: float) -> None:
        """Go once through the loop: start, conclude, deliver, claim, wait. StaleAttempt if dead."""
        self._take_orders()
        self._mind_room()
        self._dispatch()
        self.executor.conclude()
        stopped = STOPPED if self.is_stopping else None
        self.reports.add(self._doubts.sift(self.executor.ends.take(), stopped))
        due_s = self.reports.due_s()
        is_due = due_s is not None and (due_s <= time.monotonic() or not self._is_working)
        if is_due:
            self._dispatch()  # what is claimed runs while the store is written
            if self.reports.flush():
                self.claims.hurry()
        if self._may_claim:
            cpus, memory = self.executor.cpus_used, self.executor.memory_used
            if self.claims.refill(cpus_used=cpus, memory_used=memory):
                self._lease.serial = self.claims.serial
                self._dispatch()
        self.executor.poll(self._wait_s(wait_most_s))
        if time.monotonic() >= self._tick_s:
            self._tick()

    @property
    def _may_claim(self) -> bool:
        return not (self._is_paused or self.is_stopping or self.claims.is_doubtful)

    @property
    def _is_working(self) -> bool:
        return self.executor.is_busy or bool(self.claims.queue)

    def _wait_s(self, most_s: float) -> float:
        now_s = time.monotonic()
        due = now_s + min(most_s, WAIT_MOST_S)
        for at_s in (self.reports.due_s(), self._doubts.due_s(), self.executor.next_limit_s()):
            if at_s is not None:
                due = min(due, at_s)
        if self.executor.is_busy or self._preparing:
            due = min(due, self._tick_s)
        if self._may_claim and self.executor.cpus_used < self._post.slots:
            due = min(due, self.claims.next_s or now_s)
        return max(0.0, due - now_s)

    def _dispatch(self) -> None:
        """What is claimed and fits is started, in order."""
        claims, executor = self.claims, self.executor
        if self.warmers.returned:
            claims.push_back(self.warmers.returned)
            self.warmers.returned.clear()
        if self.is_stopping and claims.queue:
            claims.give_back(claims.clear())  # what a process had before it when it was ended
        is_paused = self.is_stopping or self._is_paused
        while claims.queue and not is_paused and not executor.is_backed_up:
            running = claims.queue[0]
            recipe = running.recipe
            if recipe.prepared is None:
                self._preparing.add(claims.pop())
            elif self._fits(running):
                claims.pop()
                if not executor.is_needless(running):
                    (self.warmers.start if recipe.is_warm else executor.start)(running)
            elif recipe.is_warm and recipe.condition is None:
                expected_s = claims.appetite.expected_s(recipe.key)
                if not self.warmers.give_ahead(running, expected_s):
                    return
                claims.pop()
                if self.warmers.returned:
                    return
            else:
                return

    def _fits(self, running: Running) -> bool:
        executor, claimed = self.executor, running.claimed
        if not executor.running:
            return True
        memory = executor.memory_used + (claimed.memory_bytes or 0)
        return (
            executor.cpus_used + claimed.cpus <= self._post.slots
            and memory <= self._post.memory_bytes
        )

    def _recipe_of(self, claimed: Claimed) -> Recipe:
        key = (claimed.version_id, claimed.step, claimed.terms)
        recipe = self._recipes.get(key)
        if recipe is None:
            pipeline = self._link.pipeline_of(claimed.version_id)
            recipe = Recipe(pipeline, claimed, self._post.settings.own_secrets, self._mark)
            self._recipes[key] = recipe
        return recipe

    def _note_elapsed(self, running: Running) -> None:
        if running.ended is not None:
            elapsed_s = running.ended.ended_s - running.process.started_s
            self.claims.appetite.note(running.recipe.key, elapsed_s)
            if running.claimed.slots and elapsed_s >= LONG_S:
                self.reports.await_result(running.claimed.attempt)

    # ------------------------------------------------------------------------------------- the tick

    def _tick(self) -> None:
        """What has to be looked at a few times a second, whatever else goes on."""
        now_s = time.monotonic()
        self._tick_s = now_s + TICK_S
        self.executor.hold_limits()
        self.executor.sweep()
        self.warmers.tend()
        for running in self.executor.running.values():
            if running.place is not None:
                running.place.stdout.bound()
                running.place.stderr.bound()
        is_slow = self._notes.take(self.executor.running.values(), self.executor.publishing)
        self._lease.be_brisk(wanted=is_slow or bool(self._preparing))
        self.claims.push_back(self._preparing.take_ended())
        self._tell_trouble()
        self.look_around()
        if now_s >= self._memory_s:
            self.executor.watch_memory()
            took_s = time.monotonic() - now_s  # of a second, while much memory is shared
            self._memory_s = now_s + max(MEMORY_TICK_S, 10 * took_s)

    def look_around(self) -> None:
        """Tasks whose back-off is over can be claimed, and what dead workers held is ready.

        Any worker does this for all, now and then, so that nothing depends on a service.
        """
        now_s, now_us = time.monotonic(), time.time_ns() // 1000
        with suppress(Unavailable):
            if now_s >= self._reaped_s:
                self._reaped_s = now_s + min(REAP_S * self.claims.crowding, REAP_MOST_S)
                if self._link.reap().attempts:
                    self.claims.hurry()
            if now_s < self._promoted_s:
                return
            due_us = self._link.next_due_us()
            if due_us is not None and due_us <= now_us and self._link.promote_due():
                self.claims.hurry()  # there may be more: the next turn sees to that
            else:
                self._promoted_s = now_s + min(PROMOTE_S * self.claims.crowding, PROMOTE_MOST_S)

    # -------------------------------------------------------------------------------------- orders

    def _take_orders(self) -> None:
        """What the store wants stopped, or gave to others, is stopped."""
        cancel, told = self._lease.take_orders()
        stop = dict.fromkeys(cancel, CANCELLED)
        if told is not None:
            serial, known = told
            held = [*self.executor.running.values(), *self.claims.queue, *self._preparing.waiting]
            for running in held:
                if running.serial <= serial and running.claimed.attempt not in known:
                    stop[running.claimed.attempt] = TAKEN
        if not stop:
            return
        self.warmers.withdraw_all()
        self._dispatch()
        for running in (*self.claims.remove(stop), *self._preparing.remove(stop)):
            ending = stop[running.claimed.attempt]
            self.executor.end_unstarted(running, ending)
        for attempt, ending in stop.items():
            if attempt in self.executor.running:
                self.executor.stop(self.executor.running[attempt], ending)
            else:
                self.orders.give_up(attempt, ending)

    def _mind_room(self) -> None:
        """Once a disk is full, others may have what has not begun."""
        was_paused, self._is_paused = self._is_paused, self._post.room.trouble is not None
        if self._is_paused and not was_paused:
            self._take_from_warmers()
            self.claims.give_back(self.claims.clear())

    def _tell_trouble(self) -> None:
        """The store knows why this worker claims nothing, or that it claims again."""
        trouble = self._post.room.trouble
        if trouble != self._told_trouble:
            with suppress(Unavailable):
                self._link.note_trouble(self.id, trouble)
                self._told_trouble = trouble

    def _take_from_warmers(self) -> None:
        """What warm processes had before them is in the queue again."""
        self.warmers.withdraw_all()
        self.claims.push(self.warmers.returned)
        self.warmers.returned.clear()

    def begin_to_stop(self, *, publish_s: float) -> None:
        """Nothing is claimed any more, and what is claimed and has not begun is ready again.

        What is being published has so long to end.
        """
        self.orders.stop(within_s=publish_s)
        self._take_from_warmers()
        self.claims.push(self._preparing.end())
        self.claims.give_back(self.claims.clear())

    def stop_all(self, ending: Ending, *, grace_s: float) -> None:
        """Every running attempt ends, and without a grace so does publishing."""
        if grace_s <= 0:
            self.orders.break_off()
        for running in list(self.executor.running.values()):
            self.executor.stop(running, ending, grace_s=grace_s)

    def stop_for_time(self, term: Term, *, grace_s: float) -> None:
        """Every running attempt ends, as the worker's time is up."""
        for running in list(self.executor.running.values()):
            started_s = running.process.started_s
            is_cut = started_s < term.half_s
            ending = cut_off(term, time.monotonic() - started_s) if is_cut else TIME_UP
            self.executor.stop(running, ending, grace_s=grace_s)

    # ----------------------------------------------------------------------------------------- end

    def end(self, *, is_lost: bool, within_s: float = END_S) -> None:
        """Nothing of this incarnation is left: no process, no folder, no right.

        If its lease was lost nothing is recorded any more; otherwise it is reported to the store. What hangs
        for longer than `within_s` is left behind, its folder included: the next worker clears it.
        """
        self._lease.end()
        self._kill_what_is_left(within_s)
        if not self.executor.close(within_s=within_s):
            _log.warning(
                "what an attempt made could not be read or removed in time, and is left",
                extra={"event": "scratch_left", "path": self._folder.path},
            )
            return
        left = self._folder.remove()
        if left:
            _log.warning(
                "scratch could not be removed", extra={"event": "scratch_left", "path": left[0]}
            )
        if not is_lost:
            with suppress(StaleAttempt, StokerError):
                self._link.retire(self.id)

    def _kill_what_is_left(self, within_s: float) -> None:
        self._preparing.end()
        self.stop_all(STOPPED, grace_s=0.0)
        self.warmers.dismiss_all()
        until_s = time.monotonic() + within_s
        while not self._is_all_gone() and time.monotonic() < until_s:
            self.executor.poll(0.01)
            self.executor.conclude()
            if time.monotonic() > until_s - 0.8 * within_s:
                for pid in list(self.executor.own):
                    contain.kill_tree(pid, signal.SIGKILL)

    def _is_all_gone(self) -> bool:
        """Whether no child is left, known or not."""
        return self.executor.sweep() and not (self.executor.own or self.executor.is_busy)
