"""`project.batch`: the verbs on batch systems and their pilots."""

import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stoker.errors import NotFound, Unavailable, UserError
from stoker.model.batch import BatchSystem, Manners
from stoker.model.encoding import Answer
from stoker.model.outpost import farm_name
from stoker.spec.problems import suggest
from stoker.store.batch_rows import PilotRow

if TYPE_CHECKING:
    from stoker.batch.visit import Visited, Visitor
    from stoker.model.batch import Demand
    from stoker.project.opened import Opened
    from stoker.project.verbs.sites import SiteAnswer, Sites
    from stoker.store.batch_rows import BatchStatus
    from stoker.store.pilots.pilots import Pilot
    from stoker.store.rows import Rows

_NAME_LENGTH = 12  # of a project in the name of a job
TRY_S = 120.0  # that a person waits for a trial
_TRY_LOOK_S = 5.0
_QUICK_S, _REST = (
    0.25,
    40.0,
)  # counting takes no more than a fortieth of the time where it is not quick


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnswer(Answer):
    """What a verb did to a batch system; `pilots` are those that are to end."""

    batch: str
    changed: bool
    pilots: Sequence[str] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialAnswer(Answer):
    """What a trial found: the pilot, and by `found` what it has seen of its host; None: not begun.

    Of a dry run, only the `script` that would be submitted, with a name that stands for the real one.
    """

    pilot: PilotRow | None
    found: Mapping[str, object] | None
    waited_s: float
    script: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotLog(Answer):
    """The end of what a pilot wrote; `path` is the whole of it."""

    pilot: str
    batch: str
    path: str
    text: str


class Batch:
    """The batch systems of a project: reading, visiting, and what a person can do about them."""

    def __init__(self, project: "Opened", manners: Manners | None = None) -> None:
        self._project = project
        self._manners = manners or Manners()
        self._counted: tuple[float, Demand] | None = None  # until when it holds

    # -------------------------------------------------------------------------------------- reading

    def list(self, batch: str | None = None, *, everyone: bool = False) -> "Rows[PilotRow]":
        """Return the live pilots and the newest of those that are over; with `everyone` all."""
        from stoker.store.pilots.listed import pilot_rows
        from stoker.store.rows import Rows

        return Rows(pilot_rows(self._project.store, batch, everything=everyone))

    def status(self) -> "Mapping[str, BatchStatus]":
        """Return how each batch system stands."""
        from stoker.store.pilots.listed import batch_status

        with self._project.store.reading() as unit:
            return batch_status(unit)

    def logs(self, batch: str, pilot: str | None = None) -> PilotLog:
        """Return the end of a pilot's output: of the newest, or of the one whose id begins so."""
        from stoker.batch.script import read_end
        from stoker.store.pilots.listed import find_pilot, pilot_rows

        if pilot is None:
            pilot_rows(self._project.store, batch)  # says which there are
        found = find_pilot(self._project.store, batch, pilot)
        return PilotLog(pilot=found.uid, batch=batch, path=found.log, text=read_end(found.log))

    # ------------------------------------------------------------------------------------- visiting

    def take_over(self) -> None:
        """The store has the batch systems of the file."""
        from stoker.store.pilots.entries import set_entries

        project = self._project
        set_entries(project.store, project.settings.batch, file=str(project.file))

    def visit(self, *, is_due: Callable[[str], bool] = lambda _name: True) -> "dict[str, Visited]":
        """Each batch system is looked at if it `is_due`, and has the pilots that the work wants.

        What dead workers held is ready again before: the last pilots may have ended without seeing it.
        """
        from stoker.batch.wanted import shortest, wanted
        from stoker.store.ends.reap import reap

        self.take_over()
        reap(self._project.store)
        visitors = {**self._removed(), **self.visitors}
        if not visitors:
            return {}
        held = [name for name, one in self.status().items() if one.held or one.trouble]
        given = (self._project.settings.batch, self._demand(), self._manners)
        want, shortest_s = wanted(*given, out=held), shortest(*given)
        return {
            name: visitor.visit(
                want.get(name, 0), is_due=is_due(name), shortest_s=shortest_s.get(name)
            )
            for name, visitor in visitors.items()
        }

    def _demand(self) -> "Demand":
        """Return the work for pilots: of a moment ago where there is so much that counting it takes long."""
        from stoker.store.pilots.demand import demand

        began_s = time.monotonic()
        if self._counted is None or began_s >= self._counted[0]:
            found = demand(self._project.store)
            took_s = time.monotonic() - began_s
            self._counted = (began_s + (_REST * took_s if took_s > _QUICK_S else 0.0), found)
        return self._counted[1]

    @cached_property
    def visitors(self) -> "Mapping[str, Visitor]":
        """The batch systems of the file, by name."""
        return {one.name: self._visitor(one) for one in self._project.settings.batch}

    def _visitor(self, settings: BatchSystem) -> "Visitor":
        from stoker.batch.kinds import system_of
        from stoker.batch.visit import Home, Visitor

        own = self._project.settings
        home = Home(
            project=re.sub("[^a-z0-9]", "", own.name.lower())[:_NAME_LENGTH],
            folder=own.folder,
            start=(*stoker_words(), "--project", str(self._project.file), "pilot"),
        )
        system = system_of(settings, folder=own.folder)
        return Visitor(self._project.store, settings, system, home, self._manners)

    def _removed(self) -> "dict[str, Visitor]":
        """Return visitors of batch systems that the file no longer has, as long as pilots are there."""
        from stoker.store.pilots.entries import entries
        from stoker.store.pilots.pilots import live_pilots

        with self._project.store.reading() as unit:
            gone = [one for one in entries(unit, everything=True) if one.is_removed]
            live = {one.batch for one in live_pilots(unit)} if gone else set()
        return {
            one.name: self._visitor(BatchSystem(name=one.name, **_revived(one.settings)))
            for one in gone
            if one.name in live
        }

    # ------------------------------------------------------------------------------------- changing

    def try_(
        self,
        batch: str,
        *,
        wait_s: float = TRY_S,
        reason: str | None = None,
        dry_run: bool = False,
        on_news: Callable[[str], None] = lambda _text: None,
    ) -> TrialAnswer:
        """One short pilot was submitted that takes no work and reports what it found.

        Returns when it has ended, or after `wait_s`. UserError if there is no room for it.
        """
        from stoker.store.pilots.listed import find_pilot, pilot_rows

        visitor = self._named(batch)
        if dry_run:
            script = visitor.script_of("x" * 10)
            return TrialAnswer(pilot=None, found=None, waited_s=0.0, script=script, dry_run=True)
        self.take_over()
        pilot = self._intend_trial(visitor, reason)
        answer = visitor.submit(pilot)
        on_news(f"submitted as `{pilot.name}`: {_in_words(answer)}")
        began_s = asked_s = time.monotonic()
        store = self._project.store
        while True:
            now_s = time.monotonic()
            if now_s - asked_s >= _TRY_LOOK_S or asked_s == began_s:
                asked_s = now_s
                try:
                    visitor.look()
                except Unavailable as error:
                    on_news(str(error))
            pilot = find_pilot(store, batch, pilot.uid)
            if not pilot.state.is_live or now_s - began_s >= wait_s:
                break
            time.sleep(0.25)
        (row,) = [one for one in pilot_rows(store, batch) if one.id == pilot.uid]
        return TrialAnswer(
            pilot=row, found=_found(pilot), waited_s=round(time.monotonic() - began_s, 1)
        )

    def _intend_trial(self, visitor: "Visitor", reason: str | None) -> "Pilot":
        from stoker.store.pilots.entries import Entry
        from stoker.store.pilots.submissions import Decision, record

        def one(entry: Entry, live: "Sequence[Pilot]", _now_us: int) -> Decision:
            has_room = len(live) < visitor.settings.max_pilots
            return Decision(
                submit=1 if has_room else 0, wanted=entry.wanted, surplus_us=entry.surplus_us
            )

        made = visitor.intend(one, is_trial=True)
        if not made:
            name, most = visitor.settings.name, visitor.settings.max_pilots
            raise UserError(
                f"`{name}` has {most} pilots, which is its `max_pilots`; wait, or raise it"
            )
        record(self._project.store, visitor.settings.name, made[0], self._project.actor(reason))
        return made[0]

    def hold(self, batch: str, *, reason: str | None = None, dry_run: bool = False) -> BatchAnswer:
        """Nothing more is submitted to it; its pilots go on."""
        from stoker.store.pilots.entries import hold

        farm = self._farm(batch)
        if farm is not None:
            return self._of_farm(batch, farm.hold(farm_name(batch), reason=reason, dry_run=dry_run))
        self._check(batch)
        changed = hold(self._project.store, batch, self._project.actor(reason), dry_run=dry_run)
        return BatchAnswer(batch=batch, changed=changed, dry_run=dry_run)

    def release(
        self, batch: str, *, reason: str | None = None, dry_run: bool = False
    ) -> BatchAnswer:
        """It gets pilots again, as if nothing had gone wrong."""
        from stoker.store.pilots.entries import release

        farm = self._farm(batch)
        if farm is not None:
            return self._of_farm(
                batch, farm.release(farm_name(batch), reason=reason, dry_run=dry_run)
            )
        self._check(batch)
        changed = release(self._project.store, batch, self._project.actor(reason), dry_run=dry_run)
        return BatchAnswer(batch=batch, changed=changed, dry_run=dry_run)

    def cancel(
        self,
        batch: str,
        *pilots: str,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> BatchAnswer:
        """All its pilots, or those named, end: in order, by the batch system.

        Unavailable where that does not answer; the order stands, and the next visit goes on with it.
        """
        from stoker.store.pilots.submissions import order_end

        self._check(batch)
        actor = self._project.actor(reason)
        ending = order_end(self._project.store, batch, pilots, actor, dry_run=dry_run)
        if ending and not dry_run:
            visitor = {**self._removed(), **self.visitors}.get(batch)
            if visitor is not None:
                visitor.look()
        return BatchAnswer(
            batch=batch, changed=bool(ending), pilots=[one.uid for one in ending], dry_run=dry_run
        )

    def _farm(self, batch: str) -> "Sites | None":
        """Return the verbs on sites if the nodes of the batch system reach the store by files."""
        from stoker.project.verbs.sites import Sites

        if all(one.name != farm_name(batch) for one in self._project.settings.farms):
            return None
        sites = Sites(self._project)
        sites.take_over()
        return sites

    def _of_farm(self, batch: str, answer: "SiteAnswer") -> BatchAnswer:
        return BatchAnswer(batch=batch, changed=answer.changed, dry_run=answer.dry_run)

    def _check(self, batch: str) -> None:
        """What the file says is in the store, where this file has the batch system."""
        if self._farm(batch) is not None:
            raise UserError(
                f"the nodes of `{batch}` reach the store by files, so its pilots are kept in their "
                f"folder; `stoker site show {farm_name(batch)}` counts them, and `stoker site visit "
                f"{farm_name(batch)}` looks after them"
            )
        if any(one.name == batch for one in self._project.settings.batch):
            self.take_over()

    def _named(self, batch: str) -> "Visitor":
        found = self.visitors.get(batch)
        if found is None:
            self._check(batch)
            hint = suggest(batch, self.visitors) or "add `[batch.NAME]` to it"
            raise NotFound(f"`{self._project.file.name}` has no batch system `{batch}`; {hint}")
        return found


def _found(pilot: "Pilot") -> Mapping[str, object] | None:
    import json

    if pilot.found is None:
        return None
    loaded = json.loads(pilot.found)
    return loaded if isinstance(loaded, dict) else None


def _in_words(answer: object) -> str:
    from stoker.batch.system import Refused, Submitted

    if isinstance(answer, Submitted):
        return f"job {answer.job}"
    if isinstance(answer, Refused):
        return f"refused: {answer.text}"
    return f"no answer: {getattr(answer, 'text', '')}"


def _revived(settings: Mapping[str, Any]) -> dict[str, Any]:
    tags = settings.get("tags")
    fields = dict(settings)
    fields["tags"] = tuple(tags) if isinstance(tags, list) else None
    commands = settings.get("commands")
    fields["commands"] = (
        {verb: tuple(words) for verb, words in commands.items()}
        if isinstance(commands, dict)
        else {}
    )
    return fields


def stoker_words() -> tuple[str, ...]:
    """Return the words that run this Stoker on any host that sees its files."""
    beside = Path(sys.executable).parent / "stoker"
    if os.access(beside, os.X_OK):
        return (str(beside),)
    return (sys.executable, "-c", "from stoker.cli.main import main; main()")
