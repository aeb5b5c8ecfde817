"""Registering items: from then on they are never lost, and each has a task for every step."""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select, update

from stoker.errors import NotFound
from stoker.model.item import NewItem
from stoker.model.pipeline import OnChange
from stoker.model.saying import NOTHING
from stoker.model.states import ItemState
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.apply import admit_item
from stoker.store.arrivals import submissions
from stoker.store.arrivals.bare_items import is_bare, redo_bare
from stoker.store.arrivals.contents import (
    as_changed,
    as_it_stands,
    changed_by_own_step,
    columns_of,
)
from stoker.store.arrivals.counts import EXAMPLES, Registered
from stoker.store.arrivals.first_tasks import create_tasks
from stoker.store.catalog import catalog, pipeline_of
from stoker.store.ends.redo import redo_item
from stoker.store.ids import digest_of
from stoker.store.journal import Entry, append, to_json
from stoker.store.orders.moved_project import is_gone
from stoker.store.reading_first import reading_first
from stoker.store.steps import StepEntry
from stoker.store.unit import Prepared, Unit, as_a_whole, param, param_list

if TYPE_CHECKING:
    from stoker.store.unit import Store

CHUNK = 2_000  # items a transaction

_I, _T, _P = tables.item, tables.task, tables.pipeline
_KNOWN = Prepared(
    select(_I.c.key, _I.c.id, _I.c.fingerprint, _I.c.path, _I.c.reason, _I.c.state).where(
        _I.c.pipeline_id == param("pipeline_id"), _I.c.key.in_(param_list("keys"))
    )
)
_OTHER_KEY = Prepared(
    select(_I.c.path, _I.c.key).where(
        _I.c.pipeline_id == param("pipeline_id"), _I.c.path_digest.in_(param_list("digests"))
    )
)
_ITEM_FIELDS = (
    "id", "pipeline_id", "key", "state", "generation", "home_site", "path", "path_digest", "params",
    "said", "meta", "size_bytes", "mtime_us", "fingerprint", "priority", "by_user", "registered_us",
    "reason", "checksum", "source_id",
)  # fmt: skip


def register(
    store: "Store",
    pipeline: str,
    items: Iterable[NewItem],
    actor: Actor,
    *,
    done: Registered | None = None,
    source_id: int | None = None,
    client: submissions.Client | None = None,
    dry_run: bool = False,
) -> Registered:
    """Every item is in the store with its tasks, or counted as known, changed or in conflict.

    Reads `items` as a stream and commits every 2,000: after a crash the same call continues, as
    what is registered already counts as known. An item of known key with a new fingerprint follows
    the pipeline's `on_change`; one with a reason is in quarantine, without tasks, until it comes
    again without. New ones are the actor's, and the record of each that is new or changed has their
    reason. `source_id` is the source for whose `max_open` they count, `client` the client over HTTP
    that submits them: LimitReached, with nothing of a chunk registered, where it may not.
    """
    done = done if done is not None else Registered()
    came = Origin(actor, source_id, done.most, client, keeps_keys=done.keys is not None)
    chunk: dict[str, NewItem] = {}
    verb = _look_at_chunk  # what is known takes no lock; where there is news, there is more of it
    for item in items:
        if item.key in chunk:
            if chunk[item.key].path == item.path:
                done.known += 1
            else:
                done.conflict(_two_paths(item, chunk[item.key].path))
            continue
        chunk[item.key] = item
        if len(chunk) >= CHUNK:
            some = verb(store, pipeline, chunk, came, dry_run=dry_run)
            verb = _register_chunk if some.opened else _look_at_chunk
            done.add(some)
            chunk = {}
    if chunk:
        done.add(verb(store, pipeline, chunk, came, dry_run=dry_run))
    return done


class Origin(NamedTuple):
    """The actor, the source or client whose limits count, and what is kept to be reported."""

    actor: Actor
    source_id: int | None = None
    most: int = EXAMPLES
    client: submissions.Client | None = None
    keeps_keys: bool = False


@as_a_whole
def _register_chunk(
    store: "Store", pipeline: str, items: Mapping[str, NewItem], came: Origin, *, dry_run: bool
) -> Registered:
    keys: list[str] | None = [] if came.keeps_keys else None
    done = Registered(most=came.most, keys=keys)
    with store.writing(dry_run=dry_run) as unit:
        register_in(unit, pipeline, items, came, done)
    return done


def register_in(
    unit: Unit, pipeline: str, items: Mapping[str, NewItem], came: Origin, done: Registered
) -> None:
    """The items, by their keys, are registered as `register` does it, within a transaction.

    At most as many as a block of ids has. NotFound if the store has no such pipeline.
    """
    chunk, touched = dict(items), list[str]()
    known = catalog(unit)
    steps = known.of_pipeline(pipeline)
    if not steps:
        raise NotFound(f"the store has no pipeline `{pipeline}`; `stoker apply` adds it")
    pipeline_id = steps[0].pipeline_id
    rows = unit.run(_KNOWN, pipeline_id=pipeline_id, keys=list(chunk)).fetchall()
    on_change = pipeline_of(unit, known.current[pipeline]).on_change
    rows = _redo_bare(unit, chunk, rows, on_change, done, touched)
    for key, item_id, fingerprint, path, reason, state in rows:
        item, before, known_before = chunk.pop(key), done.touched, done.known
        if reason is None or _bytes(item.path) != path:
            _meet_known(unit, item, item_id, fingerprint, path, on_change, done)
        elif item.reason == reason:
            done.known += 1
        else:
            _meet_quarantined(unit, pipeline, steps, item, item_id, came, done)
        if done.touched > before:
            touched.append(key)
        done.failed += done.known > known_before and state == ItemState.FAILED.value
    fresh = list(chunk.values())
    if pipeline_of(unit, known.current[pipeline]).key is None:
        fresh = _without_other_keys(unit, pipeline_id, fresh, done)
    bad = [item for item in fresh if item.reason is not None]
    good = [item for item in fresh if item.reason is None]
    if good:
        insert_new(unit, pipeline_id, pipeline, steps, good, came)
    if bad:
        insert_new(unit, pipeline_id, pipeline, (), bad, came)
    for item in bad:
        done.quarantine(item)
    done.registered += len(good)
    done.keep(item.key for item in good)
    _note(unit, pipeline, [*touched, *(item.key for item in fresh)], came)


def _redo_bare(
    unit: Unit,
    chunk: dict[str, NewItem],
    rows: Sequence[Any],
    on_change: OnChange,
    done: Registered,
    touched: list[str],
) -> Sequence[Any]:
    """Redo all at once what is nothing but a key, and has changed; return the other rows."""
    if on_change is not OnChange.RERUN:
        return rows
    bare = {row[1]: chunk[row[0]] for row in rows if is_bare(row, chunk)}
    again = redo_bare(unit, bare, _data)
    done.changed += len(again)
    touched += [chunk.pop(row[0]).key for row in rows if row[1] in again]
    return [row for row in rows if row[1] not in again]


_look_at_chunk = reading_first(_register_chunk)


def _note(unit: Unit, pipeline: str, keys: Sequence[str], came: Origin) -> None:
    """Write down why a person registered these, if they said so."""
    if came.actor.reason:
        said = to_json(came.actor.data())
        append(unit, [Entry("push", pipeline, key, n=0, data=said) for key in keys])


def _meet_quarantined(
    unit: Unit,
    pipeline: str,
    steps: Sequence[StepEntry],
    item: NewItem,
    item_id: int,
    came: Origin,
    done: Registered,
) -> None:
    """Deal with an item that is in quarantine: it is taken now, or stays for another reason."""
    item = as_it_stands(unit, item, item_id)
    values = {**columns_of(item), "reason": item.reason}
    unit.execute(update(_I).where(_I.c.id == item_id).values(**values))
    quarantined = ItemState.QUARANTINED.value
    if item.reason is not None:
        append(unit, [_entry("quarantine", pipeline, item, quarantined, quarantined)])
        done.quarantine(item)
        return
    admit_item(unit, item_id)
    done.keep((item.key,))
    entries = create_tasks(unit, pipeline, steps, item_id, item_id, came.actor.user)
    waiting = ItemState.WAITING.value
    append(unit, [*entries, _entry("admit", pipeline, item, quarantined, waiting)])
    done.registered += 1


def _follow(unit: Unit, item: NewItem, item_id: int, before: bytes | None) -> bool:
    """Whether the item's file was moved: it is gone from where it was, and the record follows it."""
    path = _bytes(item.path)
    if before is None or path is None or not is_gone(before):
        return False
    query = select(_I.c.generation, _P.c.name).join(_P, _P.c.id == _I.c.pipeline_id)
    row = unit.execute(query.where(_I.c.id == item_id).with_for_update()).one()
    values = {"path": path, "path_digest": digest_of(path)}
    unit.execute(update(_I).where(_I.c.id == item_id).values(**values))
    data = to_json({"path": item.path})
    append(unit, [Entry("touch", row.name, item.key, generation=row.generation, data=data)])
    return True


def _meet_known(
    unit: Unit,
    item: NewItem,
    item_id: int,
    fingerprint: str,
    path: bytes | None,
    on_change: OnChange,
    done: Registered,
) -> None:
    """Deal with an item whose key is in the store already."""
    if _bytes(item.path) != path and not _follow(unit, item, item_id, path):
        done.conflict(_two_paths(item, os.fsdecode(path) if path is not None else None))
    elif (
        (on_change is OnChange.IGNORE and item.reason is None)
        or (item.fingerprint == fingerprint and not item.saying.settings)
        or (changed := as_changed(unit, item, item_id)) is None
    ):
        done.known += 1
    elif (step := changed_by_own_step(unit, item, item_id)) is not None:
        done.note(
            f"`{item.key}` was changed while its step `{step}` ran; the new content counts as known, "
            "and nothing runs again (`stoker rerun` does that)"
        )
    elif item.reason is not None:
        done.refuse(f"the new content of `{item.key}` cannot be taken: {item.reason}")
    elif on_change is OnChange.FAIL:
        done.conflict(
            f"`{item.key}` is known with other content and `on_change` is `fail`; "
            "`stoker rerun` does it again, or give the new content a key of its own"
        )
    else:
        item = changed
        values = {**columns_of(item), "generation": _I.c.generation + 1}
        unit.execute(update(_I).where(_I.c.id == item_id).values(**values))
        redo_item(unit, item_id, _data(item), reason="its content changed")
        done.changed += 1


def _without_other_keys(
    unit: Unit, pipeline_id: int, items: list[NewItem], done: Registered
) -> list[NewItem]:
    """Leave out items whose path is in the store under another key: one datum, one item.

    One that somebody else has registered since its key was looked for is left in: it cannot be inserted
    twice, and the whole is done again, which finds its key.
    """
    digests = [digest_of(os.fsencode(item.path)) for item in items if item.path is not None]
    if not digests:
        return items
    rows = unit.run(_OTHER_KEY, pipeline_id=pipeline_id, digests=digests).fetchall()
    others = {bytes(path): key for path, key in rows}
    kept = []
    for item in items:
        path = _bytes(item.path) or b""
        other = others.get(path)
        if other is None or other == item.key:
            kept.append(item)
            if path:
                others[path] = item.key
        else:
            done.conflict(
                f"`{item.path}` is known as `{other}` and would be `{item.key}` now; one path is "
                "one item: push it the same way, or set `key` in the pipeline"
            )
    return kept


def _two_paths(item: NewItem, other: str | None) -> str:
    return (
        f"the key `{item.key}` is taken: `{other}` has it, so `{item.path}` needs another; "
        "set `key` in the pipeline so that keys differ"
    )


def insert_new(
    unit: Unit,
    pipeline_id: int,
    pipeline: str,
    steps: Sequence[StepEntry],
    items: Sequence[NewItem],
    came: Origin,
) -> None:
    """New items are there with a task for each step; without steps, in quarantine."""
    items = [item.standing() if item.saying is not NOTHING else item for item in items]
    unit.check_lock()
    first = unit.store.dialect.reserve_item_ids(unit.cursor, len(items))
    now, by_user, source_id = unit.now_us, came.actor.user, came.source_id
    state = (ItemState.WAITING if steps else ItemState.QUARANTINED).value
    event = "register" if steps else "quarantine"
    paths = [_bytes(item.path) for item in items]
    rows = [
        (
            item_id, pipeline_id, item.key, state, 1, unit.store.site, path,
            None if path is None else digest_of(path),
            to_json(item.params) if item.params else "{}",
            to_json(item.said) if item.said else None,
            to_json(item.meta) if item.meta else "{}",
            item.size_bytes, item.mtime_us, item.fingerprint, item.priority, by_user, now,
            item.reason, item.checksum, source_id,
        )
        for item_id, (item, path) in enumerate(zip(items, paths, strict=True), first)
    ]  # fmt: skip
    unit.insert(_I, _ITEM_FIELDS, rows)
    if came.client is not None:
        submissions.submit(unit, pipeline_id, came.client, range(first, first + len(items)))
    append(unit, create_tasks(unit, pipeline, steps, first, first + len(items) - 1, by_user))
    append(unit, [_entry(event, pipeline, item, None, state, by_user) for item in items])


def _entry(
    event: str,
    pipeline: str,
    item: NewItem,
    from_state: int | None,
    to_state: int,
    by_user: str | None = None,
) -> Entry:
    data = _data(item, by_user)
    return Entry(event, pipeline, item.key, None, None, 1, from_state, to_state, None, 1, data)


def _data(item: NewItem, by_user: str | None = None) -> str:
    """What the journal must hold of an item so that its row can be made again.

    `by_user` is for a new one; it stays that person's.
    """
    is_plain = not (item.params or item.meta or item.priority or item.reason or item.checksum)
    if item.path is None and item.size_bytes is None and is_plain:
        return _data_of_mark(item.fingerprint, by_user)
    said: dict[str, Any] = {
        "by": by_user, "checksum": item.checksum, "params": item.params, "said": item.said,
        "meta": item.meta, "priority": item.priority,
    }  # fmt: skip
    data: dict[str, Any] = {"fingerprint": item.fingerprint}
    data |= {name: one for name, one in said.items() if one}
    if item.path is not None:
        data["path"] = item.path
    if item.size_bytes is not None:
        data |= {"size_bytes": item.size_bytes, "mtime_us": item.mtime_us}
    if item.reason is not None:
        data["reason"] = item.reason
    return to_json(data)


@functools.lru_cache(maxsize=8)
def _data_of_mark(fingerprint: str, by_user: str | None) -> str:
    """The same for a plain record, of which a list holds many."""
    return to_json({"fingerprint": fingerprint} | ({"by": by_user} if by_user else {}))


def _bytes(path: str | None) -> bytes | None:
    return os.fsencode(path) if path is not None else None
