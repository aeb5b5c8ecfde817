"""One visit to a batch system: look, conclude, want, submit; bounded, and safe to be killed anywhere.

The service makes one every few seconds, `stoker up --once` one, and `stoker batch` some. Several at
once do no harm: what is decided is decided in one transaction that holds the batch system's row.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.batch import script
from stoker.batch.reconcile import Outcome, ending, reconcile
from stoker.batch.system import MAINTENANCE, Answer, Ask, End, Refused, Submitted, System, Unknown
from stoker.batch.wanted import decide
from stoker.errors import Unavailable
from stoker.failpoints import hit
from stoker.model.batch import BatchSystem, Manners, Pause
from stoker.model.states import PilotState
from stoker.store.pilots import entries, looks, submissions
from stoker.store.pilots.pilots import Pilot, live_pilots

if TYPE_CHECKING:
    from stoker.store.unit import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where pilots come from: the project's name in their jobs' names, its folder, `stoker` itself.

    `start` are the words that start a pilot, but for its id.
    """

    project: str
    folder: str
    start: Sequence[str]


@dataclass(slots=True)
class Visited:
    """What a visit did: how many pilots it submitted; why the batch system did not answer."""

    submitted: int = 0
    trouble: str | None = None


class Visitor:
    """Visits one batch system. It keeps nothing but when it may ask again."""

    def __init__(
        self,
        store: "Store",
        settings: BatchSystem,
        system: System,
        home: Home,
        manners: Manners | None = None,
    ) -> None:
        self._store = store
        self.settings = settings
        self.system = system
        self._home = home
        self._manners = manners or Manners()
        self.folder = script.folder_of(home.folder, settings.name)

    def visit(self, want: int, *, is_due: bool = True, shortest_s: float | None = None) -> Visited:
        """The record has what became of the pilots, and as many as the work wants are under way.

        `want` is what the work wants by now, of which the shortest tasks take `shortest_s`. The batch system is asked only if it `is_due`, or there
        is something that only it can tell; without its answer nothing is submitted.
        """
        done = Visited()
        if is_due or self._has_doubts():
            try:
                self.look()
            except Unavailable as error:
                done.trouble = str(error)
                return done
        elif self._entry().trouble is not None:
            return done
        try:
            pause = self._pause(shortest_s)
        except Unavailable as error:
            done.trouble = str(error)
            return done
        made, has_orders = self._intend(want, pause)
        done.submitted, last = self.submit_all(made)
        if isinstance(last, Unknown):
            done.trouble = last.text
        if isinstance(last, Refused) or has_orders:
            try:
                self.look()  # carries out the orders, and believes a refusal if the job is not there
            except Unavailable as error:
                done.trouble = str(error)
        if made or is_due:
            self._clear()
        return done

    def _entry(self) -> entries.Entry:
        with self._store.reading() as unit:
            return next(
                one
                for one in entries.entries(unit, everything=True)
                if one.name == self.settings.name
            )

    def _has_doubts(self) -> bool:
        """Whether a pilot was refused, and the batch system has not been asked since."""
        with self._store.reading() as unit:
            return any(one.refusal for one in live_pilots(unit, self.settings.name))

    # -------------------------------------------------------------------------------------- looking

    def look(self) -> None:
        """Ask how the live pilots stand, and do what follows. Unavailable if there is no answer."""
        with self._store.reading() as unit:
            began_us = unit.now_us
            pilots = live_pilots(unit, self.settings.name)
        name = self.settings.name
        if not pilots:
            return
        try:
            found = self.system.look([one.name for one in pilots])
        except Unavailable as error:
            entries.note_question(self._store, name, trouble=str(error))
            raise
        entries.note_question(self._store, name, trouble=None)
        with self._store.reading() as unit:
            pilots = live_pilots(unit, name)  # some may have begun or ended meanwhile
        outcome = reconcile(
            pilots, found, began_us=began_us, cluster=self.system.cluster, manners=self._manners
        )
        self._carry_out(outcome, began_us)

    def _carry_out(self, outcome: Outcome, began_us: int) -> None:
        looks.note_sightings(self._store, outcome.seen, outcome.missed, began_us=began_us)
        self.system.cancel(outcome.cancel)
        unclear = [
            one.pilot.job for one in outcome.over if one.end is None and one.pilot.job is not None
        ]
        records: Mapping[str, End] = self.system.ended(unclear) if unclear else {}
        for one in outcome.over:
            end = one.end or records.get(one.pilot.job or "")
            state, text = ending(
                one,
                records=end,
                words=script.last_words_of(one.pilot.log),
                manners=self._manners,
            )
            host = None if end is None else end.host
            if looks.conclude(
                self._store, one.pilot.id, state, text, manners=self._manners, host=host
            ):
                _log.info(
                    "a pilot is over",
                    extra={
                        "event": "pilot_over", "batch": one.pilot.batch, "pilot": one.pilot.uid,
                        "state": state.word, "reason": text,
                    },
                )  # fmt: skip
        for pilot in outcome.limited:
            looks.note_limit(self._store, pilot.id)

    # ----------------------------------------------------------------------------------- submitting

    def _pause(self, shortest_s: float | None) -> Pause | None:
        """Return the maintenance that waiting pilots wait behind; None if none does."""
        with self._store.reading() as unit:
            behind = frozenset(
                one.id
                for one in live_pilots(unit, self.settings.name)
                if one.state is PilotState.WAITING and MAINTENANCE in (one.said or "")
            )
        left_s = self.system.maintenance_s() if behind else None
        if left_s is None:
            return None
        own = self._manners
        time_s = min(left_s - own.before_maintenance_s, self.settings.time_limit_s)
        is_worth_it = time_s >= max(own.least_s, 2 * (shortest_s or 0.0))
        return Pause(behind=behind, time_s=int(time_s) if is_worth_it else 0)

    def _intend(self, want: int, pause: Pause | None) -> tuple[list[Pilot], bool]:
        """Return the new pilots, and whether others are to end."""
        orders: tuple[int, ...] = ()

        def decision(
            entry: entries.Entry, live: Sequence[Pilot], now_us: int
        ) -> submissions.Decision:
            nonlocal orders
            found = decide(
                entry, live, now_us, system=self.settings, want=want, manners=self._manners,
                pause=pause,
            )  # fmt: skip
            orders = found.cancel
            return found

        made = self.intend(decision)
        return made, bool(orders)

    def intend(self, decision: submissions.Decide, *, is_trial: bool = False) -> list[Pilot]:
        """Pilots are intended as `decision` says; return them, to be submitted at once."""
        return submissions.intend(
            self._store,
            self.settings,
            decision,
            project=self._home.project,
            folder=self.folder,
            manners=self._manners,
            is_trial=is_trial,
        )

    def submit_all(self, pilots: Sequence[Pilot]) -> tuple[int, Answer | None]:
        """The pilots are submitted; return how many were taken, and the last answer.

        A look has to confirm a refusal. After one, or without an answer, those behind are taken back
        without being asked for: they would meet the same.
        """
        until_s = time.monotonic() + self._manners.burst_s
        with self._store.reading() as unit:
            exclude = looks.excluded_hosts(unit, self.settings.name, self._manners)
        for at, pilot in enumerate(pilots):
            answer = self.submit(pilot, exclude)
            is_taken = isinstance(answer, Submitted)
            if is_taken and time.monotonic() < until_s:
                continue
            if at + 1 < len(pilots):
                submissions.take_back(self._store, [one.id for one in pilots[at + 1 :]])
            return at + is_taken, answer
        return len(pilots), None

    def submit(self, pilot: Pilot, exclude: Sequence[str] = ()) -> Answer:
        """One pilot is submitted, and the record has the answer.

        One whose script cannot be written was never intended.
        """
        ask = self._ask(pilot.name, pilot.uid, exclude, time_s=pilot.time_s)
        words, start = self.system.words(ask), self._start(pilot.uid)
        try:
            script.write_script(
                ask, self.settings, words, start, self._home.folder, self._store.rights
            )
        except OSError as error:
            submissions.take_back(self._store, [pilot.id])
            text = f"no script can be written to `{self.folder}`: {error.strerror}"
            entries.note_question(self._store, self.settings.name, trouble=text)
            return Unknown(text)
        hit("pilot.before_submit")
        answer = self.system.submit(ask)
        hit("pilot.submitted")
        if isinstance(answer, Submitted):
            batch_id = f"{self.system.cluster}:{answer.job}.0"
            submissions.note_submitted(self._store, pilot.id, answer.job, batch_id)
        elif isinstance(answer, Refused):
            submissions.note_refusal(self._store, pilot.id, answer.text, is_limit=answer.is_limit)
        else:
            entries.note_question(self._store, self.settings.name, trouble=answer.text)
        _log.info(
            "a pilot was submitted",
            extra={
                "event": "pilot_submitted", "batch": pilot.batch, "pilot": pilot.uid,
                "answer": str(answer),
            },
        )  # fmt: skip
        return answer

    def script_of(self, uid: str) -> str:
        """Return the script of a pilot with that id, as it would be submitted."""
        ask = self._ask(submissions.name_of(self._home.project, uid), uid, ())
        words, start = self.system.words(ask), self._start(uid)
        return script.script(ask, self.settings, words, start, self._home.folder)

    def _start(self, uid: str) -> list[str]:
        return [*self._home.start, "--id", uid]

    def _ask(
        self, name: str, uid: str, exclude: Sequence[str], *, time_s: int | None = None
    ) -> Ask:
        own = self.settings
        return Ask(
            name=name,
            uid=uid,
            script=os.path.join(self.folder, f"{uid}.sh"),
            log=os.path.join(self.folder, f"{uid}.log"),
            cpus=own.cpus,
            memory_bytes=own.memory_bytes,
            gpus=own.gpus,
            time_limit_s=round(own.time_limit_s) if time_s is None else time_s,
            options=own.options,
            exclude=exclude,
        )

    def _clear(self) -> None:
        """Scripts and logs that nobody needs any more are deleted."""
        with self._store.reading() as unit:
            live = [one.uid for one in live_pilots(unit, self.settings.name)]
            failed = looks.failed_lately(unit, self.settings.name)
        script.clear_folder(self.folder, live, failed)
