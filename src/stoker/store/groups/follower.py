"""Following the journal of a pipeline, so that the groups of its items are as the items are.

The place in the journal is remembered in the transaction that records what was read up to there. A
declaration that has changed what belongs together has all items looked at once more, in the order of
their ids, before the journal is followed from the place where that began.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update

from stoker.failpoints import hit
from stoker.spec.membership import Membership
from stoker.store import journal_fold, tables
from stoker.store.groups.followed import Followed, followed_by
from stoker.store.groups.locking import lock_source
from stoker.store.groups.member_states import bring_up_to_date, standing_of
from stoker.store.groups.placing import ITEM_COLUMNS, mark_changed, place
from stoker.store.groups.volumes import bring_volumes_up_to_date
from stoker.store.journal import to_json
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.model.source import Group
    from stoker.store.unit import Store

ROWS = 2_000  # of the journal, or items, in a transaction: claims wait no longer
_UNTOLD = 10_000  # rows that concern nobody, before the place is recorded all the same
_FOLD_LIMIT_S = 5.0
# Events after which an item is as it was before, but for the states of its tasks.
_OF_TASKS = frozenset(("claim", "succeed", "unblock", "requeue", "fail", "skip"))

_J, _I, _M, _S, _G = (
    tables.journal, tables.item, tables.member, tables.source, tables.item_group,
)  # fmt: skip
_NEXT = Prepared(
    select(_J.c.seq, _J.c.pipeline, _J.c.key, _J.c.event)
    .where(_J.c.origin == 1, _J.c.epoch == param("epoch"), _J.c.seq > param("seq"))
    .order_by(_J.c.seq)
    .limit(param("rows"))
)
_ITEMS = Prepared(
    select(_I.c.id, _I.c.key).where(
        _I.c.pipeline_id == param("pipeline_id"), _I.c.key.in_(param_list("keys"))
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far a source of groups has come: in the journal, and, while it begins, in the items."""

    reading: str = ""
    epoch: int = 0
    seq: int = 0
    scanned: int | None = None  # all items up to this id were looked at; None: all of them


class Follower:
    """Follows one pipeline for one source of groups. Used by one thread."""

    def __init__(self, store: "Store", source_id: int, group: "Group") -> None:
        self.followed: Followed | None = None
        self._store = store
        self._source_id = source_id
        self._group = group
        self._stored = ""
        self._place = Place()
        self._membership: tuple[str, Membership] | None = None

    @property
    def is_sure(self) -> bool:
        """Whether all that there is has been looked at."""
        followed = self.followed
        return followed is not None and followed.is_settled and self._place.scanned is None

    @property
    def period(self) -> str | None:
        """The time that each group stands for, if any."""
        return None if self._membership is None else self._membership[1].period

    def has_news(self) -> bool:
        """Whether the journal has gone on since the last step. Numbers what has no number yet."""
        journal_fold.fold(self._store, limit_s=_FOLD_LIMIT_S)
        with self._store.reading() as unit:
            return bool(
                unit.run(_NEXT, epoch=self._store.epoch, seq=self._seq(), rows=1).fetchone()
            )

    def _seq(self) -> int:
        return self._place.seq if self._place.epoch == self._store.epoch else 0

    def step(self) -> bool:
        """Some more of what has happened is recorded; return whether there is more."""
        with self._store.reading() as unit:
            self._look_up(unit)
            followed, at = self.followed, self._place
            if followed is None:
                return False
            is_following = at.reading == followed.reading and at.scanned is None
            rows = []
            if is_following:
                rows = unit.run(_NEXT, epoch=at.epoch, seq=at.seq, rows=ROWS).fetchall()
                if not rows and at.epoch < self._store.epoch:
                    self._place = replace(at, epoch=at.epoch + 1, seq=0)
                    return True
                if not rows:
                    return False
        name = followed.group.pipeline
        if is_following and not any(row[1] == name and row[2] is not None for row in rows):
            self._place = replace(at, seq=rows[-1][0])
            if self._place.seq - _place_of(self._stored).seq >= _UNTOLD:
                _record(self._store, self._source_id, self._place)
            return len(rows) == ROWS or at.epoch < self._store.epoch  # of a store that was restored
        is_more = _step(self._store, self)
        hit("groups.projected")
        return is_more

    def _look_up(self, unit: Unit) -> None:
        """Learn the pipeline's version of now, and how far the source had come."""
        self.followed = followed = followed_by(unit, self._source_id, self._group)
        stored = unit.execute(select(_S.c.cursor).where(_S.c.id == self._source_id)).scalar_one()
        if stored != self._stored:
            self._stored, self._place = stored, _place_of(stored)
        if followed is not None and (
            self._membership is None or self._membership[0] != followed.reading
        ):
            membership = Membership(followed.group, followed.members_of)
            self._membership = (followed.reading, membership)

    def write(self, unit: Unit) -> bool:
        """Part of a transaction, with the lock: record some more, and the place up to there."""
        lock_source(unit, self._source_id)
        self._look_up(unit)
        followed, at = self.followed, self._place
        if followed is None or self._membership is None:
            return False
        if at.reading != followed.reading:
            at = Place(
                reading=followed.reading, epoch=unit.store.epoch, seq=last_seq_of(unit), scanned=0
            )
        if at.scanned is not None:
            items, at = self._scan(unit, followed, at, at.scanned)
            touched = [row.id for row in items]
        else:
            rows = unit.run(_NEXT, epoch=at.epoch, seq=at.seq, rows=ROWS).fetchall()
            if not rows:
                return False
            at = replace(at, seq=rows[-1][0])
            touched, items = _touched(unit, followed, rows)
        if followed.group.volume_bytes is not None:
            groups, _ = place(unit, followed, self._membership[1], items)
            if touched:
                groups |= bring_volumes_up_to_date(unit, followed, touched)
        else:
            standing = standing_of(unit, followed, touched)
            groups, fresh = place(unit, followed, self._membership[1], items, standing)
            groups |= bring_up_to_date(unit, followed, standing, leave=fresh)
        mark_changed(unit, groups)
        self._stored = to_json(asdict(at))
        unit.execute(update(_S).where(_S.c.id == self._source_id).values(cursor=self._stored))
        self._place = at
        hit("groups.before_commit")
        return True

    def _scan(
        self, unit: Unit, followed: Followed, at: Place, scanned: int
    ) -> tuple[Sequence[Any], Place]:
        """Return the next items of all, and the place after them."""
        if scanned == 0:
            _forget_others(unit, self._source_id)
        query = select(*ITEM_COLUMNS).where(
            _I.c.pipeline_id == followed.pipeline_id, _I.c.id > scanned
        )
        rows = unit.execute(query.order_by(_I.c.id).limit(ROWS)).fetchall()
        return rows, replace(at, scanned=rows[-1].id if len(rows) == ROWS else None)


@as_a_whole
def _step(store: "Store", follower: Follower) -> bool:
    with store.writing(durable=False) as unit:  # it can be done again from the journal
        return follower.write(unit)


@as_a_whole
def _record(store: "Store", source_id: int, at: Place) -> None:
    """The next look begins at this place, unless somebody else has come further."""
    with store.writing(durable=False) as unit:
        lock_source(unit, source_id)
        stored = unit.execute(select(_S.c.cursor).where(_S.c.id == source_id)).scalar_one()
        if (_place_of(stored).epoch, _place_of(stored).seq) < (at.epoch, at.seq):
            unit.execute(update(_S).where(_S.c.id == source_id).values(cursor=to_json(asdict(at))))


def last_seq_of(unit: Unit) -> int:
    """Return up to where the journal of this epoch has numbers."""
    head = tables.head
    query = select(func.max(head.c.seq)).where(head.c.origin == 1, head.c.epoch == unit.store.epoch)
    return int(unit.execute(query).scalar_one() or 0)


def _place_of(text: str) -> Place:
    found = json.loads(text or "{}")
    names = ("reading", "epoch", "seq", "scanned")
    return Place(**{name: found[name] for name in names if name in found})


def _touched(
    unit: Unit, followed: Followed, rows: Sequence[Any]
) -> tuple[list[int], Sequence[Any]]:
    """Return the ids of members that something happened to, and items that may belong elsewhere now."""
    keys: dict[str, bool] = {}
    for _, pipeline, key, event in rows:
        if pipeline == followed.group.pipeline and key is not None:
            text = key.decode() if isinstance(key, bytes) else key
            keys[text] = keys.get(text, False) or event not in _OF_TASKS
    if not keys:
        return [], ()
    pipeline_id = followed.pipeline_id
    found = unit.run(_ITEMS, pipeline_id=pipeline_id, keys=list(keys)).fetchall()
    ids = {row[0]: row[1].decode() if isinstance(row[1], bytes) else row[1] for row in found}
    doubtful = [item_id for item_id, key in ids.items() if keys[key]]
    if not doubtful:
        return list(ids), ()
    return list(ids), unit.execute(select(*ITEM_COLUMNS).where(_I.c.id.in_(doubtful))).fetchall()


def _forget_others(unit: Unit, source_id: int) -> None:
    """Groups of sources that the pipeline does not have any more are forgotten."""
    pipeline_id = unit.execute(select(_S.c.pipeline_id).where(_S.c.id == source_id)).scalar_one()
    query = select(_S.c.id).where(_S.c.pipeline_id == pipeline_id, _S.c.id != source_id)
    for other in unit.execute(query).scalars().all():
        for table in (_M, _G):
            unit.execute(delete(table).where(table.c.source_id == other))
