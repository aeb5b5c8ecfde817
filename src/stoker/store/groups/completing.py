"""Groups that are complete become items of their pipeline, once, with what they were made of.

The item's fingerprint is a digest of its members, their states and attempts. So registering it again
changes nothing, and a group whose members changed follows the pipeline's `on_change`.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import null, select, update

from stoker.failpoints import hit
from stoker.model.item import NewItem
from stoker.model.states import MemberState
from stoker.store import tables
from stoker.store.arrivals.counts import Registered
from stoker.store.arrivals.register import Origin, register_in
from stoker.store.groups.due import DueGroup
from stoker.store.groups.locking import lock_source
from stoker.store.groups.made_of import EVENT
from stoker.store.groups.remaking import remake
from stoker.store.journal import Entry, append, to_json
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store

AT_ONCE = 20_000  # members of several groups in a transaction
_GROUPS = 1_000  # in a transaction: claims wait a tenth of a second, not seconds
_OF_ROW = 1_000  # members in a row of the journal

_G, _M, _I = tables.item_group, tables.member, tables.item
_TELL = Prepared(
    update(_G)
    .where(_G.c.id == param("of_group"))
    .values(
        item_id=param("item_id"), told_us=param("at_us"), told_members=param("n"),
        told_missing=param("missing"), due_us=null(), waits_for=null(), trouble=null(), changed_n=0,
        ignored_n=0, closed_by=null(),
    )
)  # fmt: skip
_REVISIONS = Prepared(select(_G.c.id, _G.c.revision).where(_G.c.id.in_(param_list("groups"))))
_ITEMS = Prepared(
    select(_I.c.key, _I.c.id, _I.c.fingerprint)
    .join(tables.pipeline, tables.pipeline.c.id == _I.c.pipeline_id)
    .where(tables.pipeline.c.name == param("pipeline"), _I.c.key.in_(param_list("keys")))
)
_REFUSE = Prepared(
    update(_G)
    .where(_G.c.id == param("of_group"))
    .values(
        item_id=param("item_id"), due_us=null(), waits_for=null(), trouble=param("wrong"),
        ignored_n=_G.c.changed_n, told_members=_G.c.members, closed_by=null(),
    )
)  # fmt: skip


_REFUSED = (
    "members of `{key}` changed after it was complete, and `on_change` is `fail`: it stays as it is; "
    "`stoker rerun {key}` does it with the members of now"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """A group that is complete: the key of its item, and how many members it was to have more."""

    group: DueGroup
    key: str
    missing: int = 0
    number: int | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """A complete group as an item, and the rows of its members."""

    complete: Complete
    item: NewItem
    members: Sequence[Any]


def register_complete(
    store: "Store",
    pipeline: str,
    source_id: int,
    complete: Sequence[Complete],
    actor: "Actor",
    *,
    priority: int,
) -> Iterator[Registered]:
    """Each of these groups is an item, unless its members have changed since it was looked at.

    Yields what became of some of them. An item and what it was made of are one transaction.
    """
    again: dict[int, int] = {}  # members to be done again, by group
    told_before = [one.group.id for one in complete if one.group.told_us is not None]
    for at in range(0, len(told_before), AT_ONCE):
        again |= remake(store, source_id, told_before[at : at + AT_ONCE])
    if again:
        done = Registered(changed=sum(again.values()))
        for one in complete:
            if one.group.id in again:
                members = f"{again[one.group.id]:,} of its members"
                done.say(f"group `{one.group.key}` needs temporary outputs of {members} again")
        yield done
    for some in _portions([one for one in complete if one.group.id not in again]):
        told = _read(store, some, priority)
        _note_members(store, pipeline, told)
        hit("groups.noted")
        yield _register(store, pipeline, source_id, told, actor)
        hit("groups.told")


def _portions(complete: Sequence[Complete]) -> Iterator[list[Complete]]:
    """Yield groups that are few enough, with few enough members, for one transaction."""
    some: list[Complete] = []
    n = 0
    for one in complete:
        if some and (n + one.group.members > AT_ONCE or len(some) == _GROUPS):
            yield some
            some, n = [], 0
        some.append(one)
        n += one.group.members
    if some:
        yield some


def _read(store: "Store", complete: Sequence[Complete], priority: int) -> list[_Told]:
    """Return the groups as items. Their members change no more without a new revision."""
    by_id = {one.group.id: one for one in complete}
    ids = sorted(by_id)
    with store.reading() as unit:
        rows = unit.run(_MEMBERS, groups=ids).fetchall()
    found: list[_Told] = []
    for group_id, of_group in itertools.groupby(rows, key=itemgetter(0)):
        members = list(of_group)
        one = by_id[group_id]
        found.append(_Told(one, _item(one, members, priority), members))
    return found


_MEMBERS = Prepared(
    select(
        _M.c.group_id, _I.c.key, _M.c.state, _M.c.tries, _M.c.attempt, _M.c.size_bytes,
        _M.c.item_id, _M.c.told_state, _M.c.told_tries,
    )
    .join(_I, _I.c.id == _M.c.item_id)
    .where(_M.c.group_id.in_(param_list("groups")))
    .order_by(_M.c.group_id, _I.c.key)
)  # fmt: skip


def _item(complete: Complete, members: Sequence[Any], priority: int) -> NewItem:
    digest = hashlib.blake2b(digest_size=16)
    states = [0] * len(MemberState)
    size = 0
    for _, key, state, tries, attempt, size_bytes, *_ in members:
        digest.update(f"{key}\0{state}\0{tries}\0{attempt}\n".encode("utf-8", "surrogatepass"))
        states[state] += 1
        size += size_bytes
    told_us = complete.group.told_us
    if told_us is not None and any(member[7] is None for member in members):
        # Members that left and came back are as they were, and the group may have been done without.
        digest.update(b"after %d" % told_us)
    meta: dict[str, Any] = {
        "members": len(members),
        "done": states[MemberState.DONE],
        "skipped": states[MemberState.SKIPPED],
        "failed": states[MemberState.FAILED] + states[MemberState.CANCELLED],
        "missing": complete.missing,
    }
    if complete.key != complete.group.key and complete.number is None:
        meta["group"] = complete.group.key
    if complete.number is not None:
        meta["number"] = complete.number
    return NewItem(
        key=complete.key,
        meta=meta,
        size_bytes=size,
        fingerprint=f"group:{digest.hexdigest()}",
        priority=priority,
    )


@as_a_whole
def _register(
    store: "Store", pipeline: str, source_id: int, told: Sequence[_Told], actor: "Actor"
) -> Registered:
    done = Registered()
    with store.writing() as unit:
        lock_source(unit, source_id)
        ids = [one.complete.group.id for one in told]
        revisions = dict(unit.run(_REVISIONS, groups=ids).fetchall())
        told = [
            one
            for one in told
            if revisions.get(one.complete.group.id) == one.complete.group.revision
        ]
        if told:
            items = {one.item.key: one.item for one in told}
            register_in(unit, pipeline, items, Origin(actor), done)
            _tell(unit, pipeline, told, done)
        hit("groups.before_register")
    return done


def _tell(unit: Unit, pipeline: str, told: Sequence[_Told], done: Registered) -> None:
    """What these groups were made of is on record, and that of those whose item is as they are."""
    keys = [one.item.key for one in told]
    rows = unit.run(_ITEMS, pipeline=pipeline, keys=keys).fetchall()
    items = {key: (item_id, fingerprint) for key, item_id, fingerprint in rows}
    fresh = [one for one in told if items[one.item.key][1] == one.item.fingerprint]
    others = [one for one in told if items[one.item.key][1] != one.item.fingerprint]
    unit.run_many(
        _TELL,
        [
            {
                "of_group": one.complete.group.id,
                "item_id": items[one.item.key][0],
                "at_us": unit.now_us,
                "n": len(one.members),
                "missing": one.complete.missing,
            }
            for one in fresh
        ],
    )
    _refuse(unit, others, items, _REFUSED if done.conflicts else None)
    _mark_told(unit, fresh)


def _mark_told(unit: Unit, told: Sequence[_Told]) -> None:
    """The members of these groups are recorded as registered; where few have changed, few are written."""
    changed = [
        {"of_item": row[6], "of_group": one.complete.group.id}
        for one in told
        for row in one.members
        if (row[2], row[3]) != (row[7], row[8])
    ]
    if len(changed) <= _FEW:
        unit.run_many(_MARK, changed)
        return
    ids = [one.complete.group.id for one in told]
    values = {"told_state": _M.c.state, "told_tries": _M.c.tries}
    unit.execute(update(_M).where(_M.c.group_id.in_(ids)).values(**values))


_FEW = 5_000
_MARK = Prepared(
    update(_M)
    .where(_M.c.item_id == param("of_item"), _M.c.group_id == param("of_group"))
    .values(told_state=_M.c.state, told_tries=_M.c.tries)
)


def _refuse(unit: Unit, told: Sequence[_Told], items: Any, trouble: str | None) -> None:
    """These groups have changed, and their items stay as they are."""
    rows = [{"of_group": one.complete.group.id, "item_id": items[one.item.key][0]} for one in told]
    unit.run_many(
        _REFUSE,
        [
            {**row, "wrong": trouble and trouble.format(key=one.item.key)}
            for row, one in zip(rows, told, strict=True)
        ],
    )


def _note_members(store: "Store", pipeline: str, told: Sequence[_Told]) -> None:
    """The journal says what these groups are about to be made of, with the attempts that count.

    Before they are registered, in transactions of their own, as the members of a large group are
    megabytes: the item's fingerprint shows which of these rows it was registered with.
    """
    entries = _entries(pipeline, told)
    while some := list(itertools.islice(entries, _NOTED)):
        _append(store, some)


@as_a_whole
def _append(store: "Store", entries: Sequence[Entry]) -> None:
    with store.writing(durable=False) as unit:  # the registration that follows is durable
        append(unit, entries)


_NOTED = 1_000  # members' rows, or rows of small groups, in a transaction


def _entries(pipeline: str, told: Sequence[_Told]) -> Iterator[Entry]:
    for one in told:
        pairs = [[row[1], row[4]] for row in one.members]
        for at in range(0, len(pairs), _OF_ROW):
            found = {"of": one.item.fingerprint, "members": pairs[at : at + _OF_ROW]}
            yield Entry(EVENT, pipeline, one.item.key, n=0, data=to_json(found))
