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
    select(_I.c.key, _I.c.id, _I.c.fingerprint, _I.c.path, _I.c.reason).where(
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
    dry_run: bool = False,
) -> Registered:
    """Every item is in the store with its tasks, or counted as known, changed or in conflict.

    Reads `items` as a stream and commits every 2,000: after a crash the same call continues, as
    what is registered already counts as known. An item of known key with a new fingerprint follows
    the pipeline's `on_change`; one with a reason is in quarantine, without tasks, until it comes
    again without. New ones are the actor's, and the record of each that is new or changed has their
    reason. `source_id` is the source for whose `max_open` they count.
    """
    done = done if done is not None else Registered()
    came = Origin(actor, source_id, done.most)
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
    """The actor, the source whose limit the items count for, and how many examples to keep."""

    actor: Actor
    source_id: int | None = None
    most: int = EXAMPLES


@as_a_whole
def _register_chunk(
    store: "Store", pipeline: str, items: Mapping[str, NewItem], came: Origin, *, dry_run: bool
) -> Registered:
    done, chunk, touched = Registered(most=came.most), dict(items), []
    with store.writing(dry_run=dry_run) as unit:
        known = catalog(unit)
        steps = known.of_pipeline(pipeline)
        if not steps:
            raise NotFound(f"the store has no pipeline `{pipeline}`; `stoker apply` adds it")
        pipeline_id = steps[0].pipeline_id
        rows = unit.run(_KNOWN, pipeline_id=pipeline_id, keys=list(chunk)).fetchall()
        on_change = pipeline_of(unit, known.current[pipeline]).on_change
        for key, item_id, fingerprint, path, reason in rows:
            item, before = chunk.pop(key), done.touched
            if reason is not None and _bytes(item.path) == path and item.reason == reason:
                done.known += 1
            elif reason is not None and _bytes(item.path) == path:
                _meet_quarantined(unit, pipeline, steps, item, item_id, came, done)
            else:
                _meet_known(unit, item, item_id, fingerprint, path, on_change, done)
            if done.touched > before:
                touched.append(key)
        fresh = list(chunk.values())
        if pipeline_of(unit, known.current[pipeline]).key is None:
            fresh = _without_other_keys(unit, pipeline_id, fresh, done)
        bad = [item for item in fresh if item.reason is not None]
        good = [item for item in fresh if item.reason is None]
        if good:
            _insert(unit, pipeline_id, pipeline, steps, good, came)
        if bad:
            _insert(unit, pipeline_id, pipeline, (), bad, came)
        for item in bad:
            done.quarantine(item)
        done.registered += len(good)
        _note(unit, pipeline, [*touched, *(item.key for item in fresh)], came)
    return done


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
    entries = create_tasks(unit, pipeline, steps, item_id, item_id, came.actor.user)
    append(unit, [*entries, _entry("admit", pipeline, item, quarantined, ItemState.WAITING.value)])
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
            "`stoker rerun` does it anew, or give the new content a key of its own"
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
    """Leave out items whose path is in the store under another key: one datum, one item."""
    digests = [digest_of(os.fsencode(item.path)) for item in items if item.path is not None]
    if not digests:
        return items
    rows = unit.run(_OTHER_KEY, pipeline_id=pipeline_id, digests=digests).fetchall()
    others = {bytes(path): key for path, key in rows}
    kept = []
    for item in items:
        path = _bytes(item.path) or b""
        other = others.get(path)
        if other is None:
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


def _insert(
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
            item_id, pipeline_id, item.key, state, 1, 1, path,
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
    append(unit, create_tasks(unit, pipeline, steps, first, first + len(items) - 1, by_user))
    append(unit, [_entry(event, pipeline, item, None, state) for item in items])


def _entry(
    event: str, pipeline: str, item: NewItem, from_state: int | None, to_state: int
) -> Entry:
    return Entry(
        event, pipeline, item.key, None, None, 1, from_state, to_state, None, 1, _data(item)
    )


def _data(item: NewItem) -> str:
    """What the journal must hold of an item so that its row can be made again."""
    is_plain = not (item.params or item.meta or item.priority or item.reason)
    if item.path is None and item.size_bytes is None and is_plain:
        return _data_of_mark(item.fingerprint)
    data: dict[str, Any] = {"fingerprint": item.fingerprint}
    if item.path is not None:
        data["path"] = item.path
    if item.params:
        data["params"] = dict(item.params)
    if item.said:
        data["said"] = dict(item.said)
    if item.meta:
        data["meta"] = dict(item.meta)
    if item.size_bytes is not None:
        data["size_bytes"] = item.size_bytes
        data["mtime_us"] = item.mtime_us
    if item.priority:
        data["priority"] = item.priority
    if item.reason is not None:
        data["reason"] = item.reason
    return to_json(data)


@functools.lru_cache(maxsize=8)
def _data_of_mark(fingerprint: str) -> str:
    """The same for a plain record, of which a list holds many."""
    return to_json({"fingerprint": fingerprint})


def _bytes(path: str | None) -> bytes | None:
    return os.fsencode(path) if path is not None else None
