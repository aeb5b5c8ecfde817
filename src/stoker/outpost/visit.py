"""The near end of a visit: results in, losses, what is not wanted any more, and new work out.

In this order, so that what an attempt without a claim has staged is gone before the task's next one is
handed out. A visit may end anywhere; the next one goes by what the store has and what is there.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.failpoints import hit
from stoker.model.id_types import WorkerId
from stoker.model.outpost import Outpost
from stoker.model.pipeline import Verdict
from stoker.model.states import AttemptState
from stoker.model.words import shown
from stoker.outpost.accept import nodes_in
from stoker.outpost.dial import Line, Spawn, start
from stoker.outpost.recording import (
    ended,
    number,
    pieces,
    states,
)
from stoker.outpost.removing import remove_temporary
from stoker.outpost.results import Results
from stoker.outpost.sending import Sending
from stoker.outpost.visited import Counts, Visited
from stoker.store.claims import claim
from stoker.store.ends import finish
from stoker.store.outposts import entries
from stoker.store.reports.carried import Carried, carried, okeys_of

if TYPE_CHECKING:
    from stoker.store.unit import Store

MOST_OUT = 400  # attempts of an outpost at a time
LIMIT_S = 60.0
_CLAIMED = 50  # tasks between a claim and their hand-over


class Visit:
    """One visit to one outpost."""

    def __init__(  # noqa: PLR0913 - each is what a test or a person may want of a visit
        self,
        store: "Store",
        outpost: Outpost,
        *,
        place: int,
        is_held: bool = False,
        limit_s: float = LIMIT_S,
        slots: int | None = None,
        most_out: int = MOST_OUT,
        brings_worker: bool = True,
        resumes: bool = False,
        dry_run: bool = False,
        spawn: Spawn = start,
    ) -> None:
        self._store = store
        self._outpost = outpost
        self._place = place
        self._is_held = is_held
        self._until_s = time.monotonic() + limit_s
        self._limit_s = limit_s
        self._slots = slots
        self._most_out = most_out
        if outpost.is_shared and outpost.batch is not None:  # others here want a part of it
            self._most_out = min(most_out, _ROUNDS * outpost.batch.max_pilots * outpost.batch.cpus)
        self._brings_worker = brings_worker
        self._resumes = resumes  # pilots come again, whatever became of the last ones
        self._dry_run = dry_run
        self._spawn = spawn
        self._done = Counts()
        self._more = False
        self._line: Line | None = None
        self.pilots = {"pilots_waiting": 0, "pilots_running": 0}
        self.system_trouble: str | None = None  # why its batch system brings no worker
        self.todo: list[str] = []  # of what is out, the attempts that wait there, when it is over

    def run(self) -> Visited:
        """Visit it; return what was done. Of a visit that fails, what was recorded until then stays."""
        self._line = Line(self._outpost, spawn=self._spawn)
        with self._line as line:
            return self._run(line)

    def break_off(self) -> None:
        """The visit ends soon, as if the line had been cut. From any thread."""
        if self._line is not None:
            self._line.break_off()

    def _run(self, line: Line) -> Visited:
        identity = self._store.identity
        told = line.ask("hello", {"store": identity.uid, "epoch": self._store.epoch})
        hit("visit.greeted")
        cpus, memory, *_ = (number(told, one) for one in ("cpus", "memory_bytes", *_TOLD))
        cpus = cpus if self._slots is None else self._slots
        batch = self._outpost.batch
        tags: Sequence[str] = ()
        if batch is not None:  # what a node has, not the host that is visited
            cpus, memory, tags = batch.cpus, batch.memory_bytes or _ALL_BYTES, batch.tags or ()
        worker = entries.join(
            self._store,
            self._outpost.name,
            cpus=min(max(cpus, 1), 4096),
            memory_bytes=memory,
            tags=tags,
        )
        listed = line.ask("list")
        there = states(listed)
        hit("visit.listed")
        mine = carried(self._store, worker)
        if self._dry_run:
            self._foresee(there, mine)
            return self._visited(told, worker)
        mine = self._seen(mine, nodes_in(listed))
        results = Results(self._store, self._outpost, line, place=self._place, done=self._done)
        results.take(there, mine, lambda: self._has_time(2 / 3))
        self._more |= results.is_more
        self.system_trouble = results.trouble
        self._settle(line, results, there, mine)
        self.todo = [one for one, word in there.items() if word == "todo" and one in mine]
        self._rank(line, mine)
        if not self._outpost.is_shared:
            self._done.removed = remove_temporary(self._store, line, self._place)
        if not self._is_held:
            self._hand_out(line, worker)
        line.ask("clear")
        if self._brings_worker:
            self._bring_workers(line)
        hit("visit.before_bye")
        line.ask("bye")
        return self._visited(told, worker)

    def _seen(
        self, mine: Mapping[str, Carried], nodes: Mapping[str, tuple[str, str | None]]
    ) -> dict[str, Carried]:
        """Return what is out, with the nodes and batch jobs it was seen in; the store knows the nodes."""
        seen = {
            name: replace(one, node=nodes[name][0], batch_id=nodes[name][1] or one.batch_id)
            for name, one in mine.items()
            if name in nodes
        }
        moved = {
            one.attempt: nodes[name][0] for name, one in seen.items() if one.node != mine[name].node
        }
        entries.note_nodes(self._store, moved)
        return {**mine, **seen}

    def _rank(self, line: Line, mine: Mapping[str, Carried]) -> None:
        """What waits there begins in the order that the store has now."""
        order = okeys_of(self._store, [mine[one].task_id for one in self.todo])
        for some in pieces(self.todo):
            known = {one: order[mine[one].task_id] for one in some if mine[one].task_id in order}
            line.ask("rerank", {"okeys": known})

    def _bring_workers(self, line: Line) -> None:
        """A worker is under way there if there is work for it, or pilots with one each."""
        batch = self._outpost.batch
        with self._store.reading() as unit:
            now_us = unit.now_us
        asked = {"slots": self._slots, "now_us": now_us, "resumes": self._resumes}
        answer = line.ask("start", asked | {"batch": None if batch is None else batch.data})
        self._done.started = answer.get("started") is True
        for name in self.pilots:
            self.pilots[name] = number({name: 0} | answer, name)
        trouble = answer.get("trouble")
        if trouble is not None:
            self.system_trouble = shown(str(trouble))[:1000]

    def _foresee(self, there: Mapping[str, str], mine: Mapping[str, Carried]) -> None:
        """Count what a visit would do with what is out."""
        words = [there.get(one) for one in mine]
        self._done.recorded, self._done.lost = words.count("done"), words.count("lost")
        self._done.given_back = words.count(None) + words.count("back")
        self._done.forgotten = sum(one not in mine for one in there)
        self.todo = [one for one in mine if there.get(one) == "todo"]

    def _visited(self, told: Mapping[str, Any], worker: WorkerId) -> Visited:
        done = self._done
        with self._store.reading() as unit:
            out = entries.out_of(unit, worker)
        return Visited(
            site=self._outpost.name,
            recorded=done.recorded,
            failed=done.failed,
            lost=done.lost,
            cancelled=done.cancelled,
            given_back=done.given_back,
            sent=done.sent,
            forgotten=done.forgotten,
            removed=done.removed,
            started=done.started,
            out=out,
            waiting=len(self.todo),
            bad=number(told, "bad"),
            orphans=number({"orphans": 0} | dict(told), "orphans"),
            free_bytes=number(told, "free_bytes"),
            more=self._more,
        )

    def _has_time(self, part: float) -> bool:
        """Whether less than this part of the time is over."""
        return time.monotonic() < self._until_s - (1 - part) * self._limit_s

    # ------------------------------------------------------------------ what is lost, or not wanted

    def _settle(
        self, line: Line, results: Results, there: dict[str, str], mine: Mapping[str, Carried]
    ) -> None:
        """Every attempt there is one of ours, and every one of ours is there or has ended."""
        lost = [mine[one] for one in mine if there.get(one) == "lost"]
        self._lose(
            results,
            lost,
            f"what ran it at `{self._outpost.name}` is gone, without a result",
        )
        nowhere = [one for one in mine if one not in there]
        again = [one for one in mine if there.get(one) == "back"]
        unwanted = [one for one, known in mine.items() if known.is_unwanted]
        foreign = [one for one in there if one not in mine]
        recalled = set(
            self._recall(line, [one for one in (*unwanted, *foreign) if there.get(one) == "todo"])
        )
        for one in recalled:
            there[one] = "back"
        self._tell(line, [one for one in (*unwanted, *foreign) if there.get(one) == "taken"])
        free = [mine[one] for one in {*nowhere, *again, *(recalled & mine.keys())}]
        self._give_back(free)
        hit("visit.settled")
        gone = [one.attempt.hex() for one in (*lost, *free)]
        over = [one for one in foreign if there[one] in ("done", "back", "lost", "passing")]
        results.forget([one for one in gone if one in there])
        results.forget(over, is_foreign=True)

    def _lose(self, results: Results, over: Sequence[Carried], reason: str) -> None:
        for some in pieces(over):
            jobs = {one.attempt: one.batch_id for one in some if one.batch_id is not None}
            entries.note_batch_jobs(self._store, jobs)
            results.record(
                [ended(one, AttemptState.LOST, Verdict.RETRY, reason) for one in some],
                {one.attempt.hex(): one for one in some},
            )

    def _give_back(self, free: Sequence[Carried]) -> None:
        """What never began is cancelled if somebody has asked for that, and else ready again."""
        for some in pieces(free):
            results = [
                ended(
                    one,
                    AttemptState.CANCELLED,
                    Verdict.STOP if one.is_unwanted else Verdict.LATER,
                    "cancelled before it began" if one.is_unwanted else "never handed over",
                )
                for one in some
            ]
            stale = finish.finish(self._store, results)
            for one, result in zip(some, results, strict=True):
                if result.attempt not in stale:
                    self._done.cancelled += one.is_unwanted
                    self._done.given_back += not one.is_unwanted

    def _recall(self, line: Line, attempts: Sequence[str]) -> list[str]:
        won: list[str] = []
        for some in pieces(attempts):
            found = line.ask("recall", {"attempts": list(some)}).get("recalled")
            won += [one for one in found if one in some] if isinstance(found, list) else []
        return won

    def _tell(self, line: Line, attempts: Sequence[str]) -> None:
        for some in pieces(attempts):
            line.ask("stop", {"attempts": list(some)})

    # ------------------------------------------------------------------------------------- new work

    def _hand_out(self, line: Line, worker: WorkerId) -> None:
        """What is ready is claimed and handed over, a few at a time."""
        sending = Sending(self._store, self._outpost, line)
        while self._has_time(2 / 3):
            with self._store.reading() as unit:
                room = self._most_out - entries.out_of(unit, worker)
            if room <= 0:
                break
            tasks = claim.claim(
                self._store, worker, limit=min(room, _CLAIMED), cpus_free=_ALL_CPUS
            ).tasks
            if not tasks:
                return
            hit("visit.claimed")
            sent = sending.send(tasks)
            hit("visit.sent")
            self._done.sent += len(sent)
            self.todo += [one.attempt.hex() for one in sent]
        self._more = True


_TOLD = ("bad", "free_bytes")
_ALL_BYTES = 1 << 50  # of a node of which nothing is said
_ROUNDS = 4  # of tasks for all pilots of nodes that take what others here could do, too
_ALL_CPUS = 1 << 30  # the worker's own limit holds
