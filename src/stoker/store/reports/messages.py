"""What is to be written to whom: the journal read on, put together by recipient, and sent once.

One service at a time holds the right to do so. What has happened is put together in the transaction
that moves the place in the journal, so that a crash loses nothing and counts nothing twice. A message
may come twice where the service dies between delivering it and recording that.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, insert, or_, select, update

from stoker.model.notify import MOST_KEYS, Digest, Notify
from stoker.model.states import ItemState
from stoker.store import tables
from stoker.store.catalog import catalog
from stoker.store.reports.troubles import troubles_of
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_N, _M, _J, _P, _I = (
    tables.notifier, tables.message, tables.journal, tables.pipeline, tables.item,
)  # fmt: skip
PAGE = 2_000
LEASE_US = 120_000_000
_OPEN = (ItemState.WAITING.value, ItemState.RUNNING.value)
_AGAIN_US, _AGAIN_MOST_US = 60_000_000, 3_600_000_000
_ONE = _N.c.id == 1
_LONGEST = 200  # characters of a recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A digest that may be sent now, as far as time goes."""

    name: str
    recipient: str
    digest: Digest


@as_a_whole
def hold(store: "Store", holder: str) -> bool:
    """Whether this service may send messages for the next minutes: nobody else does."""
    with store.writing() as unit:
        row = unit.execute(select(_N).where(_ONE).with_for_update()).one_or_none()
        until_us = unit.now_us + LEASE_US
        if row is None:  # nothing of what was before is written about
            unit.execute(
                insert(_N).values(
                    id=1, epoch=store.epoch, seq=_head(unit), holder=holder,
                    held_until_us=until_us, troubles="[]",
                )
            )  # fmt: skip
            return True
        if row.holder != holder and row.held_until_us > unit.now_us:
            return False
        values: dict[str, Any] = {"holder": holder, "held_until_us": until_us}
        if row.epoch != store.epoch:
            values |= {"epoch": store.epoch, "seq": _head(unit)}
        unit.execute(update(_N).where(_ONE).values(values))
        return True


@as_a_whole
def let_go(store: "Store", holder: str) -> None:
    """Another service may send messages at once."""
    with store.writing() as unit:
        of = and_(_ONE, _N.c.holder == holder)
        unit.execute(update(_N).where(of).values(held_until_us=0))


def _head(unit: Unit) -> int:
    head = tables.head
    of = and_(head.c.origin == unit.store.site, head.c.epoch == unit.store.epoch)
    return unit.execute(select(head.c.seq).where(of)).scalar_one_or_none() or 0


@as_a_whole
def read_on(store: "Store", targets: Sequence[Notify]) -> bool:
    """What was recorded since is in the digests; whether there may be more to read."""
    with store.writing() as unit:
        last = unit.execute(select(_N.c.seq, _N.c.epoch).where(_ONE)).one()
        query = (
            select(_J.c.seq, _J.c.event, _J.c.pipeline, _J.c.key, _J.c.step, _J.c.data,
                   _I.c.by_user, _I.c.params)
            .select_from(
                _J.outerjoin(_P, _P.c.name == _J.c.pipeline).outerjoin(
                    _I, and_(_I.c.pipeline_id == _P.c.id, _I.c.key == _J.c.key)
                )
            )
            .where(_J.c.origin == store.site, _J.c.epoch == last.epoch, _J.c.seq > last.seq)
            .order_by(_J.c.seq)
            .limit(PAGE)
        )  # fmt: skip
        rows = unit.execute(query).fetchall()
        if not rows:
            return False
        ends = _last_steps(unit)
        digests = _Digests(unit)
        for row in rows:
            if row.event not in ("fail", "succeed", "skip"):
                continue
            for target in targets:
                if target.is_about(row.pipeline):
                    _count(digests, target, row, ends)
        digests.keep()
        unit.execute(update(_N).where(_ONE).values(seq=rows[-1].seq))
    return len(rows) == PAGE


def _last_steps(unit: Unit) -> dict[str, set[str]]:
    """Return the steps of each pipeline that nothing follows: with them an item is done."""
    found: dict[str, set[str]] = {}
    for entry in catalog(unit).steps.values():
        if entry.spec is not None and not entry.successors:
            found.setdefault(entry.pipeline, set()).add(entry.name)
    return found


def _count(digests: "_Digests", target: Notify, row: Any, ends: Mapping[str, set[str]]) -> None:
    recipient = _recipient(target, row)
    last = sorted(ends.get(row.pipeline, ()))
    is_done = row.event != "fail" and bool(last) and row.step == last[0]
    if recipient is None or not (is_done or row.event == "fail"):
        return
    of = digests.get(target.name, recipient).pipeline(row.pipeline)
    of.is_drained = False
    if row.key not in of.keys and len(of.keys) < MOST_KEYS:
        of.keys.append(row.key)
    if row.event == "fail":
        data = json.loads(row.data) if row.data else {}
        of.fail(str(data.get("cause") or data.get("reason") or "no reason was recorded"))
    else:
        of.done += 1


def _recipient(target: Notify, row: Any) -> str | None:
    """Return who is to hear of this; empty: as the entry says. None: nobody is named."""
    variable = target.variable
    if variable is None:
        return ""
    if variable == "by":
        found = row.by_user
    else:
        params = json.loads(row.params) if row.params else {}
        found = params.get(variable.partition(".")[2])
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST else None


class _Digests:
    """The digests that a transaction changes."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._found: dict[tuple[str, str], tuple[Digest, bool]] = {}

    def get(self, name: str, recipient: str) -> Digest:
        """Return the digest for that recipient."""
        key = (name, recipient)
        if key not in self._found:
            of = and_(_M.c.name == name, _M.c.recipient == recipient)
            text = self._unit.execute(select(_M.c.pending).where(of)).scalar_one_or_none()
            digest = Digest.of(json.loads(text)) if text is not None else Digest()
            digest.since_us = digest.since_us or self._unit.now_us
            self._found[key] = (digest, text is not None)
        return self._found[key][0]

    def keep(self) -> None:
        """They are in the store."""
        for (name, recipient), (digest, is_known) in self._found.items():
            values = {"pending": json.dumps(digest.as_plain()), "n": digest.count}
            if is_known:
                of = and_(_M.c.name == name, _M.c.recipient == recipient)
                self._unit.execute(update(_M).where(of).values(values))
            else:
                self._unit.execute(
                    insert(_M).values(
                        name=name, recipient=recipient, tries=0, not_before_us=0, **values
                    )
                )


@as_a_whole
def note_state(store: "Store", targets: Sequence[Notify], more: Mapping[str, str | None]) -> None:
    """Pipelines that have nothing left to do are noted, and troubles that are new.

    `more` are troubles that the store does not know of, with the pipeline that each is about.
    """
    with store.writing() as unit:
        digests = _Digests(unit)
        for row in unit.execute(select(_M.c.name, _M.c.recipient).where(_M.c.n > 0)).fetchall():
            target = next((one for one in targets if one.name == row.name), None)
            if target is not None:
                _note_drained(unit, target, row.recipient, digests.get(row.name, row.recipient))
        troubles = troubles_of(unit) | dict(more)
        known = set(json.loads(unit.execute(select(_N.c.troubles).where(_ONE)).scalar_one()))
        for text in sorted(set(troubles) - known):
            for target in targets:
                is_for_it = target.variable is None and "trouble" in target.on
                if is_for_it and target.is_about(troubles[text]):
                    digests.get(target.name, "").add_trouble(text)
        digests.keep()
        if set(troubles) != known:
            values = {"troubles": json.dumps(sorted(troubles))}
            unit.execute(update(_N).where(_ONE).values(values))


def _note_drained(unit: Unit, target: Notify, recipient: str, digest: Digest) -> None:
    for name, of in digest.pipelines.items():
        if of.is_drained or not (of.done or of.failed):
            continue
        query = select(_I.c.id).join(_P, _P.c.id == _I.c.pipeline_id)
        query = query.where(_P.c.name == name, _I.c.state.in_(_OPEN))
        if target.variable == "by":
            query = query.where(_I.c.by_user == recipient)
        elif target.variable is not None:
            query = query.where(_I.c.key.in_(of.keys))
        of.is_drained = unit.execute(query.limit(1)).first() is None


def due(store: "Store", target: Notify, *, settle_us: int) -> list[Due]:
    """Return the digests of this entry that are to be sent now."""
    every_us = int(target.every_s * 1_000_000)
    with store.reading() as unit:
        now_us = unit.now_us
        if target.hours is not None and not target.hours.is_open(now_us):
            return []
        may = and_(
            _M.c.name == target.name,
            _M.c.n > 0,
            _M.c.not_before_us <= now_us,
            or_(_M.c.sent_us.is_(None), _M.c.sent_us <= now_us - every_us),
        )
        rows = unit.execute(select(_M.c.recipient, _M.c.pending).where(may).limit(100)).fetchall()
    found = [Due(name=target.name, recipient=row.recipient, digest=Digest.of(json.loads(row.pending)))
             for row in rows]  # fmt: skip
    return [
        one
        for one in found
        if one.digest.is_news(target.on) and one.digest.since_us <= now_us - settle_us
    ]


@as_a_whole
def note_sent(store: "Store", one: Due) -> None:
    """The message was delivered: the next one begins from here."""
    with store.writing() as unit:
        values = {
            "pending": json.dumps(Digest().as_plain()), "n": 0, "sent_us": unit.now_us, "tries": 0,
            "not_before_us": 0, "trouble": None,
        }  # fmt: skip
        unit.execute(update(_M).where(_is(one)).values(values))


@as_a_whole
def note_failed(store: "Store", one: Due, trouble: str) -> None:
    """The message could not be delivered: it is tried again, later each time, and nothing is lost."""
    with store.writing() as unit:
        tries = unit.execute(select(_M.c.tries).where(_is(one))).scalar_one_or_none() or 0
        wait_us = min(_AGAIN_US << min(tries, 20), _AGAIN_MOST_US)
        values = {"tries": tries + 1, "not_before_us": unit.now_us + wait_us, "trouble": trouble}
        unit.execute(update(_M).where(_is(one)).values(values))


def _is(one: Due) -> Any:
    return and_(_M.c.name == one.name, _M.c.recipient == one.recipient)


@as_a_whole
def forget_others(store: "Store", names: Sequence[str]) -> None:
    """Entries that the file does not have any more are forgotten."""
    with store.writing() as unit:
        unit.execute(delete(_M).where(_M.c.name.not_in(list(names))))
