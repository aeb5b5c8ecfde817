"""The verbs of a project that read."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from stoker.errors import NotFound
from stoker.project.parts import Part
from stoker.project.verbs.narrowing import Narrowing, select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from stoker.model.selection import Selection
    from stoker.model.sharing import Sharing
    from stoker.project.checks.finding import Finding
    from stoker.project.plans.planning import Plan
    from stoker.project.verbs.rehearsal import Rehearsal
    from stoker.store.claims.demand import Demand
    from stoker.store.forecasts.utilisation import Busy
    from stoker.store.reports.attempts import StoredStream
    from stoker.store.reports.searching import Found
    from stoker.store.rows import AttemptRow, ItemRow, MakerRow, Page, Rows, TaskRow
    from stoker.store.status_rows import SlotRow, Status, WorkerRow
    from stoker.store.story_rows import FailureRow, Story, Why
    from stoker.store.unit import Store


LIMIT = 100  # rows of one page, unless somebody asks for another number


class Reading(Part):
    """What a project can be asked. Nothing here changes anything but the counts' being up to date."""

    def status(self, *, pipeline: str | None = None) -> "Status":
        """Return the counts of items and tasks by state, pools and workers."""
        from stoker.store.reports import overview

        found = overview.status(self._project.store, pipeline=pipeline)
        return replace(found, trouble=store_trouble(self._project.store))

    def demand(self) -> "list[Demand]":
        """Return what is ready, by needs: how many tasks wait for which cpus, memory, tags and pools."""
        from stoker.store.claims.demand import demand

        return demand(self._project.store)

    def each_item(self, selection: "Selection") -> "Iterator[ItemRow]":
        """Yield the selected items one by one; for millions."""
        from stoker.store.reports import lists

        return lists.items(self._project.store, selection)

    def each_task(self, selection: "Selection") -> "Iterator[TaskRow]":
        """Yield the selected tasks one by one."""
        from stoker.store.reports import lists

        return lists.tasks(self._project.store, selection)

    def each_attempt(self, selection: "Selection") -> "Iterator[AttemptRow]":
        """Yield the attempts of the selected tasks one by one, oldest first."""
        from stoker.store.reports import attempts

        return attempts.attempts(self._project.store, selection)

    def page_items(
        self, selection: "Selection", *, after: str | None = None, limit: int = LIMIT
    ) -> "Page[ItemRow]":
        """Return at most `limit` of the selected items, behind the page whose `next` is `after`."""
        from stoker.store.reports import lists

        return lists.page_of_items(self._project.store, selection, after=after, limit=limit)

    def page_tasks(
        self, selection: "Selection", *, after: str | None = None, limit: int = LIMIT
    ) -> "Page[TaskRow]":
        """Return at most `limit` of the selected tasks, behind the page whose `next` is `after`."""
        from stoker.store.reports import lists

        return lists.page_of_tasks(self._project.store, selection, after=after, limit=limit)

    def page_attempts(
        self, selection: "Selection", *, after: str | None = None, limit: int = LIMIT
    ) -> "Page[AttemptRow]":
        """Return at most `limit` attempts, oldest first, behind the page whose `next` is `after`."""
        from stoker.store.reports import attempts

        return attempts.page_of_attempts(self._project.store, selection, after=after, limit=limit)

    def items(
        self, *keys: str, selection: "Selection | None" = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[ItemRow]":
        """Return the selected items."""
        from stoker.store.rows import Rows

        return Rows(self.each_item(select(keys, selection, narrow)))

    def tasks(
        self, *keys: str, selection: "Selection | None" = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[TaskRow]":
        """Return the selected tasks."""
        from stoker.store.rows import Rows

        return Rows(self.each_task(select(keys, selection, narrow)))

    def attempts(
        self, *keys: str, selection: "Selection | None" = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[AttemptRow]":
        """Return the attempts of the selected tasks, oldest first."""
        from stoker.store.rows import Rows

        return Rows(self.each_attempt(select(keys, selection, narrow)))

    def failures(
        self, *keys: str, selection: "Selection | None" = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[FailureRow]":
        """Return the failed tasks grouped by step and cause, most frequent first.

        Then the items in quarantine grouped by reason; they have no step.
        """
        from stoker.store.arrivals.quarantine import reasons
        from stoker.store.reports.failures import failures
        from stoker.store.rows import Rows

        chosen = select(keys, selection, narrow)
        return Rows([*failures(self._project.store, chosen), *reasons(self._project.store, chosen)])

    def show(self, key: str, *, pipeline: str | None = None) -> "Story":
        """Return the whole story of an item."""
        from stoker.store.reports.story import story

        return story(self._project.store, key, pipeline=pipeline)

    def find_key(self, text: str, *, pipeline: str | None = None) -> tuple[str, str] | None:
        """Return pipeline and key of the only item that fits a glob, or whose key holds the text.

        None if no item does, or one has exactly this key. UserError names some of several.
        """
        from stoker.store.reports import finding

        return finding.find_key(self._project.store, text, pipeline=pipeline)

    def search(self, text: str) -> "Found":
        """Return the items whose keys are, begin with or hold the text, or fit it as a glob.

        At most 20 of each; also in a store of millions it takes no longer.
        """
        from stoker.store.reports.searching import search

        return search(self._project.store, text)

    def why(self, key: str, step: str | None = None, *, pipeline: str | None = None) -> "Why":
        """Return the one reason why the item's task is not running."""
        from stoker.store.reports.why_waiting import why

        found = why(self._project.store, key, step, pipeline=pipeline)
        trouble = store_trouble(self._project.store) if found.state == "ready" else None
        if trouble is None:
            return found
        return replace(found, kind="store", text=trouble, do="the work goes on by itself then")

    def attempt(self, name: str) -> "AttemptRow":
        """Return the attempt of that id, or of the only one that begins so."""
        from stoker.store.reports.attempts import attempt_by_id

        return attempt_by_id(self._project.store, name)

    def streams(self, attempt: str) -> "Mapping[str, StoredStream]":
        """Return what is kept of an attempt's `stdout` and `stderr`."""
        from stoker.store.reports.attempts import streams_of

        return streams_of(self._project.store, attempt)

    def which(self, path: str | os.PathLike[str]) -> "MakerRow":
        """Return the attempt that made the file, and the volumes it is in; NotFound if none did."""
        from stoker.store.reports.attempts import maker_of

        return maker_of(self._project.store, os.fspath(path))

    def rehearse(
        self,
        key: str,
        step: str,
        *,
        scratch: str,
        pipeline: str | None = None,
        attempt: str | None = None,
    ) -> "Rehearsal":
        """Return what it takes to do a task by hand, as an attempt was given it or would be now."""
        from stoker.project.verbs.rehearsal import rehearse
        from stoker.store.reports import attempts, reproduction

        if attempt is None:
            claimed, spec = reproduction.as_claimed(
                self._project.store, key, step, pipeline=pipeline
            )
        else:
            found = attempts.attempt_by_id(self._project.store, attempt)
            claimed, spec = reproduction.as_attempted(self._project.store, found)
        return rehearse(self._project.settings, spec, claimed, scratch=scratch)

    def plan(
        self,
        pipeline: str | None = None,
        paths: "Sequence[str | os.PathLike[str]]" = (),
        *,
        fleet: str | None = None,
    ) -> "Plan":
        """Return what would happen: the order, how long it takes, and what no order could beat.

        Of the paths, pushed or not, or without them of what the sources hold now, and of all that is
        left in the store. `fleet`: a number of slots, hosts and slots as `240x16`, or a file with a
        line `NAME SLOTS [SPEED] [MEMORY] [TAG…]` each; by default the workers alive, else this host.
        """
        from stoker.project.plans.planning import plan
        from stoker.work.post import own_place

        chosen = [
            self._project.pipeline(name)
            for name in ([pipeline] if pipeline else self._project.pipelines)
        ]
        try:
            store = self._project.store
        except NotFound:
            store = None
        return plan(
            store,
            chosen,
            [os.fspath(path) for path in paths],
            project_folder=self._project.settings.folder,
            pools=self._project.settings.pools,
            shares=self._project.settings.shares,
            described=fleet,
            own=own_place(self._project.settings, socket.gethostname()).host,
            user=self._project.user,
        )

    def busy_since(self, since: "datetime", *, while_worked: bool = False) -> "Busy | None":
        """Return how busy the slots were since then, and what an equal split would have taken.

        With `while_worked` only from the first start to the last end.
        """
        from stoker.store.forecasts.utilisation import busy_since

        since_us = int(since.timestamp() * 1_000_000)
        return busy_since(self._project.store, since_us, while_worked=while_worked)

    def task_counts(self) -> dict[str, int]:
        """Return how many tasks are in each state, of all pipelines together; without forecasts."""
        from stoker.store.reports import overview

        return overview.task_counts(self._project.store)

    def workers(self, *, everyone: bool = False) -> "Rows[WorkerRow]":
        """Return the workers that are alive, or all that ever were."""
        from stoker.store.reports import overview
        from stoker.store.rows import Rows

        return Rows(overview.workers(self._project.store, everyone=everyone))

    def slots(self, *, pool: str | None = None) -> "Rows[SlotRow]":
        """Return the slots of the pools, with who holds them."""
        from stoker.store.holdings import pools
        from stoker.store.rows import Rows

        return Rows(pools.slots(self._project.store, pool=pool))

    def sharing(self) -> "Sharing":
        """Return what holds for all workers: pools as declared and as set by hand, shares, retention."""
        from stoker.store.sharing import newest_sharing

        with self._project.store.reading() as unit:
            return newest_sharing(unit)

    def doctor(self) -> "list[Finding]":
        """Return what was found on checking this installation."""
        from stoker.project.checks.checkup import check_up

        return check_up(self._project)


def store_trouble(store: "Store") -> str | None:
    """Return why the store cannot be written just now, as far as this host can see; None if it can.

    Its workers cannot say so themselves then.
    """
    from stoker.store.dialects.holder import stopped_holder
    from stoker.work.room import shortage, trouble_of

    if not store.dialect.is_one_host:
        return None
    stopped = stopped_holder(Path(str(store.engine.url.database)))
    if stopped is not None:
        return stopped
    folder = str(store.folder)
    short_of = shortage(folder)
    return None if short_of is None else trouble_of("store", folder, short_of)
