"""Lanes whose first task cannot begin just now: what is noted of them, and what is kept for them.

Where the first task of a lane finds too few cpus, too little memory or too few
slots, what comes after it goes ahead: idle cpus help nobody. But not for ever. Once it has been
passed over for `PATIENCE_US`, what it needs is kept for it: every worker leaves it slots of its
pools, and one place, the first to have too few cpus for it then, starts nothing that comes after it.
Running attempts end, so its turn comes.
"""

from typing import NamedTuple

from sqlalchemy import select, update

from stoker.store import tables
from stoker.store.claims.capacity import Room
from stoker.store.dialects.constructs import by_index
from stoker.store.holdings.slots import Needs, Slots
from stoker.store.steps import StepEntry
from stoker.store.unit import Prepared, Unit, param, param_list

PATIENCE_US = 60_000_000
FRESH_US = 30_000_000  # what has not been looked at for longer keeps nothing from others
_NOTE_US = 5_000_000  # between two notes of the same lane

_L = tables.lane
_UNNOTED = Prepared(
    by_index(
        select(_L.c.id).where(_L.c.id.in_(param_list("lanes"))).with_for_update(skip_locked=True),
        _L,
        "PRIMARY",
    )
)
_NOTE = Prepared(
    update(_L)
    .where(_L.c.id == param("lane_id_"))
    .values(passed_us=param("passed_us"), seen_us=param("seen_us"), kept_by=param("kept_by"))
)


class Lane(NamedTuple):
    """A lane that has tasks, with the first one's okey and what one task needs.

    `is_ours`: this worker has what it needs, if not just now; `fits`: just now, slots aside. The
    rest is what is noted of its being passed over: see `tables.lane`.
    """

    okey: int
    id: int
    cpus: int
    memory_bytes: int | None
    entry: StepEntry
    needs: Needs
    share: str
    host: str
    is_ours: bool
    fits: bool
    passed_us: int | None
    seen_us: int | None
    kept_by: str | None


class Passing:
    """What is noted of lanes whose first task is passed over, and what is kept for them."""

    def __init__(self, unit: Unit, room: Room, slots: Slots | None) -> None:
        self._unit = unit
        self._room = room
        self._slots = slots
        self._notes: dict[int, tuple[int | None, int | None, str | None]] = {}

    def passes_over(self, lane: Lane) -> bool:
        """The lane's first task cannot begin; return whether nothing after it may either."""
        now_us, place = self._unit.now_us, self._room.place
        is_old = lane.passed_us is not None and now_us - lane.passed_us >= PATIENCE_US
        is_fresh = lane.seen_us is not None and now_us - lane.seen_us < FRESH_US
        keeper = lane.kept_by if is_fresh else None
        if lane.is_ours:
            is_fresh = True
            if is_old and not lane.fits:
                keeper = keeper or place
            elif keeper == place:
                keeper = None
            if now_us - (lane.seen_us or 0) >= _NOTE_US or keeper != lane.kept_by:
                passed_us = now_us if lane.passed_us is None else lane.passed_us
                self._notes[lane.id] = (passed_us, now_us, keeper)
        if not (is_old and is_fresh):
            return False
        if self._slots and lane.needs:
            self._slots.keep(lane.needs, is_here=lane.is_ours)
        return keeper == place

    def has_begun(self, lane: Lane) -> None:
        """A task of the lane is taken: its next one has not been passed over yet."""
        if lane.passed_us is not None:
            self._notes[lane.id] = (None, None, None)

    def write(self) -> None:
        """What was noted is in the store.

        Nobody waits to note it: of a lane that another claim just notes, that one's word holds.
        """
        if self._notes and self._unit.store.dialect.locks_rows:
            rows = self._unit.run(_UNNOTED, lanes=sorted(self._notes)).fetchall()
            self._notes = {lane: self._notes[lane] for (lane,) in rows}
        self._unit.run_many(
            _NOTE,
            [
                {
                    "lane_id_": lane, "passed_us": passed_us, "seen_us": seen_us,
                    "kept_by": kept_by,
                }
                for lane, (passed_us, seen_us, kept_by) in sorted(self._notes.items())
            ],
        )  # fmt: skip
