"""Why a ready task still waits for a pilot: what its batch systems could give, and what they say."""

from collections.abc import Sequence
from dataclasses import dataclass

from stoker.model.batch import end_of_pilot_s
from stoker.model.states import PilotState
from stoker.store.pilots.entries import Entry, entries
from stoker.store.pilots.pilots import Pilot, live_pilots
from stoker.store.story_rows import Said
from stoker.store.times import moment
from stoker.store.unit import Unit

_SILENT_S = 120.0  # without an answer, after which a batch system is called silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a task needs of a pilot; `seconds` is how long it may well take, None if that is not known."""

    cpus: int
    memory_bytes: int
    tags: frozenset[str]
    seconds: float | None
    timeout_s: float | None

    @property
    def least_s(self) -> float | None:
        """How much time a pilot must have for it; None if that is not known."""
        known = [one for one in (self.seconds, self.timeout_s) if one is not None]
        return None if self.seconds is None else min(known)


def pilot_reason(unit: Unit, wants: Wants, *, has_workers: bool) -> Said | None:
    """Return what keeps the task from a pilot; None where there are no batch systems to speak of.

    With `has_workers`, workers that are alive could take it too, and are busy.
    """
    known = entries(unit)
    if not known:
        return None
    able = [one for one in known if _lack(one, wants) is None]
    if not able:
        return None if has_workers else _nothing_fits(known, wants)
    for entry in able:
        live = live_pilots(unit, entry.name)
        found = _waits_for(entry, live, unit.now_us, has_workers=has_workers)
        if found is not None:
            return found
    return None


def _lack(entry: Entry, wants: Wants) -> str | None:
    """Return the word of the setting that is too small for the task; None if a pilot can take it."""
    own = entry.settings
    if wants.cpus > own["cpus"]:
        return "cpus"
    if own["memory_bytes"] is not None and wants.memory_bytes > own["memory_bytes"]:
        return "memory"
    if not wants.tags <= set(own["tags"] or ()):
        return "tags"
    if wants.least_s is not None and wants.least_s > _usable_s(entry):
        return "time_limit"
    return None


def _usable_s(entry: Entry) -> float:
    length_s = float(entry.settings["time_limit_s"])
    return length_s - end_of_pilot_s(length_s)


def _nothing_fits(known: Sequence[Entry], wants: Wants) -> Said:
    """No batch system's pilots are large enough: what the nearest one lacks."""
    order = ("time_limit", "memory", "cpus", "tags")
    first = min(known, key=lambda one: order.index(_lack(one, wants) or "tags"))
    lack, own = _lack(first, wants), first.settings
    if lack == "time_limit":
        need = _time(wants.least_s or 0.0)
        text = f"it needs about {need}, and a pilot of `{first.name}` has {_time(_usable_s(first))} for it"
    elif lack == "memory":
        most = max(one.settings["memory_bytes"] or 0 for one in known)
        text = (
            f"it needs {wants.memory_bytes / 2**30:.1f}G, and no `[batch]` asks for more than "
            f"{most / 2**30:.1f}G"
        )
    elif lack == "cpus":
        most = max(one.settings["cpus"] for one in known)
        text = f"it needs {wants.cpus} cpus, and no `[batch]` asks for more than {most}"
    else:
        missing = ", ".join(f"`{tag}`" for tag in sorted(wants.tags - set(own["tags"] or ())))
        text = f"it needs {missing}, and pilots of `{first.name}` have no such tag"
    return Said(
        "no_pilot_fits",
        f"no pilot can take it: {text}",
        f"raise `{lack}` of `[batch.{first.name}]`",
    )


def _waits_for(  # noqa: PLR0911 - one for each thing that may be the reason
    entry: Entry, live: Sequence[Pilot], now_us: int, *, has_workers: bool
) -> Said | None:
    name, system = entry.name, entry.settings["system"]
    waiting = [one for one in live if one.state is PilotState.WAITING]
    if entry.is_held:
        by = f" by {entry.held_by}" if entry.held_by else ""
        why = f": {entry.reason}" if entry.reason else ""
        return Said("batch_held", f"`{name}` is held{by}{why}", f"`stoker batch release {name}`")
    if entry.trouble is not None and now_us - (entry.answered_us or 0) > _SILENT_S * 1e6:
        text = f"{system}, for `{name}`, does not answer: {entry.trouble}"
        return Said("batch_silent", text, "nothing is submitted meanwhile, and pilots go on")
    if waiting:
        since = _time((now_us - min(one.intended_us for one in waiting)) / 1e6)
        said = next((one.said for one in waiting if one.said), None)
        why = f" ({said})" if said else ""
        text = f"it waits for a pilot: `{name}` has {len(waiting)} waiting since {since}{why}"
        return Said("pilot", text, f"wait; `stoker batch list {name}` shows them")
    if entry.ceiling is not None and len(live) >= entry.ceiling:
        return Said("batch_limit", f"the cluster allows {entry.ceiling} jobs, all in use", "wait")
    if (entry.not_before_us or 0) > now_us:
        return _backs_off(entry)
    if has_workers:
        return None
    if live:
        text = f"it waits for a pilot: no worker is alive in the one of `{name}` that runs"
        if len(live) > 1:
            text = f"it waits for a pilot: in {len(live)} of `{name}` that run, no worker is alive"
        return Said(
            "pilot", text, "wait; whether it starts or has stopped, the next visit finds out"
        )
    text = f"it waits for a pilot of `{name}`, which the next visit submits"
    return Said("pilot", text, "`stoker up` visits by itself, `stoker up --once` makes one visit")


def _backs_off(entry: Entry) -> Said:
    at = moment(entry.not_before_us or 0).astimezone().strftime("%H:%M:%S")
    many = entry.failed + entry.refused
    text = f"the last {many} pilots of `{entry.name}` never worked; the next is submitted from {at}"
    return Said("pilot", text, f"`stoker batch logs {entry.name}` has their words")


def _time(s: float) -> str:
    """Return a time for people: `40 s`, `12 min`, `3.2 h`."""
    if s < 120:
        return f"{s:.0f} s"
    return f"{s / 60:.0f} min" if s < 7200 else f"{s / 3600:.1f} h"
