"""What follows from a look at a batch system for the pilots of the record: decisions, nothing done.

The batch system decides about pilots, the lease about attempts, and neither about the other. The
rules are those of `docs/explanation/pilots.md`; `R6` here is R6 there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stoker.batch.system import Cause, End, Look, Phase, Seen
from stoker.model.batch import Manners
from stoker.model.states import PilotState
from stoker.store.pilots.looks import Sighting
from stoker.store.pilots.pilots import Pilot


@dataclass(frozen=True, slots=True)
class Over:
    """A pilot that is over; `end` is how, as far as the list itself says. `state` None: see `ending`."""

    pilot: Pilot
    end: End | None = None
    state: PilotState | None = None
    text: str = ""


@dataclass(slots=True)
class Outcome:
    """What follows from one look."""

    seen: list[Sighting] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    over: list[Over] = field(default_factory=list)
    limited: list[Pilot] = field(default_factory=list)  # not taken as enough jobs are there
    cancel: list[tuple[str, str]] = field(default_factory=list)  # name and id


def reconcile(
    pilots: Sequence[Pilot], look: Look, *, began_us: int, cluster: str, manners: Manners
) -> Outcome:
    """Return what follows for these live pilots from a look that began at `began_us`."""
    found = Outcome()
    for pilot in pilots:
        jobs = look.get(pilot.name, ())
        there = [one for one in jobs if one.phase is not Phase.OVER]
        if there:
            _alive(found, pilot, there, began_us=began_us, cluster=cluster, manners=manners)
        elif (ended := _ended(pilot, jobs)) is not None and not ended.is_passing:
            if not pilot.is_working:  # R7
                found.over.append(Over(pilot, End(ended.cause, ended.said, ended.host)))
        else:
            _missing(found, pilot, ended, began_us=began_us, manners=manners)
    return found


def _alive(
    found: Outcome,
    pilot: Pilot,
    jobs: Sequence[Seen],
    *,
    began_us: int,
    cluster: str,
    manners: Manners,
) -> None:
    """R3, R5, R8, R9: a job of the pilot is there."""
    own = next((one for one in jobs if one.job == pilot.job), None) or min(jobs, key=_age)
    found.cancel += [(one.name, one.job) for one in jobs if one.job != own.job]  # R5
    state = PilotState.RUNNING if own.phase is Phase.RUNNING else PilotState.WAITING
    if pilot.is_working:
        state = PilotState.RUNNING  # R4
    sighting = Sighting(
        pilot_id=pilot.id,
        state=state,
        job=own.job,
        batch_id=own.batch_id or f"{cluster}:{own.job}.0",
        said=own.said,
        host=own.host,
        is_stuck=own.is_stuck,
    )
    found.seen.append(sighting)
    is_stuck = own.is_stuck and pilot.stuck_us is not None
    if is_stuck and began_us - (pilot.stuck_us or began_us) >= manners.stuck_s * 1e6:
        found.cancel.append((own.name, own.job))
        text = f"it would never have started: {own.said}"
        found.over.append(Over(pilot, state=PilotState.REFUSED, text=text))
    elif pilot.cancel_us is not None:
        found.cancel.append((own.name, own.job))


def _age(one: Seen) -> tuple[int, str]:
    """Return what sorts jobs by their ids, which grow."""
    return (int(one.job) if one.job.isdecimal() and len(one.job) < 19 else 1 << 62, one.job)


def _ended(pilot: Pilot, jobs: Sequence[Seen]) -> Seen | None:
    """Return the pilot's job, which the list says is over; another of its name was a second one."""
    own = [one for one in jobs if pilot.job is None or one.job == pilot.job]
    return max(own, key=_age) if own else None


def _missing(
    found: Outcome, pilot: Pilot, passing: Seen | None, *, began_us: int, manners: Manners
) -> None:
    """R3, R6, R7: the pilot is not in the list, or only what may come back."""
    if pilot.is_working:
        return
    if pilot.job is None and pilot.refusal is not None and began_us > (pilot.missed_us or began_us):
        if pilot.is_limit:
            found.limited.append(pilot)
        else:
            found.over.append(Over(pilot, state=PilotState.REFUSED, text=pilot.refusal))
        return
    if began_us <= (pilot.submitted_us or pilot.intended_us):
        return  # it was submitted while the list was made
    if pilot.missed_us is None:
        found.missed.append(pilot.id)
        return
    if began_us - pilot.missed_us < manners.missed_s * 1e6:
        return
    if pilot.job is not None:
        end = None if passing is None else End(passing.cause, passing.said, passing.host)
        found.over.append(Over(pilot, end))
    elif began_us - pilot.intended_us >= manners.arrive_s * 1e6:
        found.over.append(Over(pilot, state=PilotState.REFUSED, text="it never arrived"))


def ending(
    over: Over, *, records: End | None, words: str, manners: Manners
) -> tuple[PilotState, str]:
    """Return the state in which a pilot ended, and how in words.

    `records` are the batch system's, `words` the last ones of the pilot's output.
    """
    pilot, end = over.pilot, over.end or records
    if over.state is not None:
        return over.state, over.text
    if pilot.cancel_us is not None:
        return PilotState.CANCELLED, pilot.reason or "cancelled"
    cause = None if end is None else end.cause
    text = "ended, and its batch system has no record of how" if end is None else end.text
    if cause is Cause.CANCELLED:
        return PilotState.CANCELLED, f"cancelled from outside ({text})"
    state = _state_after(pilot, cause, manners)
    if state is PilotState.FAILED and cause is Cause.EXIT:
        return state, "it ended without an error before its worker began: does `prepare` exit?"
    return state, (words or text) if state is PilotState.FAILED else text


def _state_after(pilot: Pilot, cause: Cause | None, manners: Manners) -> PilotState:
    """Return how a pilot ended that nobody cancelled; only one that never worked has failed."""
    has_worked = pilot.done > 0 or pilot.worked_us >= manners.young_s * 1e6
    if cause is Cause.LOST:
        return PilotState.LOST
    has_begun = pilot.found is not None
    if (cause is Cause.EXIT and has_begun) or (cause is Cause.TIME and has_worked):
        return PilotState.ENDED
    was_stopped = pilot.worked_us > 0 and pilot.stopped_us is not None
    return PilotState.LOST if has_worked or was_stopped else PilotState.FAILED
