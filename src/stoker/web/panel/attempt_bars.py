"""The attempts of one item as segments on a bar of time, a lane for each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from stoker.web.panel import words

if TYPE_CHECKING:
    from stoker.store.rows import AttemptRow

_LEAST = 0.4  # per cent: no segment is invisible


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One attempt, in per cent of the whole time."""

    x: str
    width: str
    look: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """All of them. `lanes` are the steps in the order in which they began."""

    begin: datetime
    end: datetime
    took: str
    lanes: Sequence[tuple[str, Sequence[Segment]]]


def bars_of(attempts: "Sequence[AttemptRow]", now: datetime) -> Bars | None:
    """Return the bars; None where there are not two attempts that took any time."""
    ran = [one for one in attempts if one.kind == "run"]
    times = {one.id: _times(one, now) for one in ran}
    if len(ran) < 2:
        return None
    begin, end = min(low for low, _ in times.values()), max(high for _, high in times.values())
    whole_s = (end - begin).total_seconds()
    if whole_s <= 0:
        return None
    lanes: dict[str, list[Segment]] = {}
    for one in sorted(ran, key=lambda one: times[one.id]):
        low, high = times[one.id]
        at, until = ((when - begin).total_seconds() / whole_s * 100 for when in (low, high))
        at = min(at, 100 - _LEAST)
        look = words.look_of(one.state)
        took = words.span((high - low).total_seconds())
        mine = lanes.setdefault(one.step, [])
        mine.append(
            Segment(
                x=f"{at:.2f}%",
                width=f"{max(until - at, _LEAST):.2f}%",
                look=look.colour,
                title=f"attempt {one.number} of {one.step}: {look.word}, {took}",
            )
        )
    return Bars(begin=begin, end=end, took=words.span(whole_s), lanes=list(lanes.items()))


def _times(one: "AttemptRow", now: datetime) -> tuple[datetime, datetime]:
    """Return from when to when it ran, by the clock of its host; a running one until now."""
    begin = one.started_at or one.claimed_at
    return begin, max(one.ended_at or now, begin)
