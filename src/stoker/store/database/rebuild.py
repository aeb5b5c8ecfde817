"""Items, tasks and attempts made again from the journal alone: the proof that it is complete.

`replay` reads only the journal; `snapshot` reads only the tables. The two are equal after every transaction, which a property test holds, and which
`stoker doctor` can look at. Peers derive foreign states by the same rules.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, or_, select, true

from stoker.model.pipeline import Pipeline
from stoker.model.states import AttemptState, TaskState
from stoker.model.transitions import BY_NAME
from stoker.spec import canon
from stoker.store import tables
from stoker.store.ids import text_of
from stoker.store.orders.moved_project import move_in_picture
from stoker.store.unit import Unit

TaskKey = tuple[str, str, str]  # pipeline, key, step
PART_ITEMS = 20_000  # about 100 MB where an item has a few tasks


@dataclass(slots=True)
class Picture:
    """The state of a store in natural names: items, tasks and attempts as plain mappings."""

    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    tasks: dict[TaskKey, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[str, dict[str, Any]] = field(default_factory=dict)


_ATTEMPT_FACTS = (
    "exit_code", "signal", "started_us", "publishing_us", "ended_us", "user_us", "system_us", "max_rss_bytes",
    "reason", "cause", "node",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Some items of a pipeline: those whose keys are above `after`, up to and with `last`."""

    pipeline: str
    after: str | None
    last: str | None

    def holds(self, key: Any) -> Any:
        """The condition that a column's key is one of them."""
        bounds = [] if self.after is None else [key > self.after]
        return and_(*bounds, *([] if self.last is None else [key <= self.last]), true())


def parts(unit: Unit, *, items: int = PART_ITEMS) -> Iterator[Part]:
    """Yield all that the store holds in parts that fit into memory, forgotten items included."""
    item, pipeline = tables.item, tables.pipeline
    for row in unit.execute(select(pipeline).order_by(pipeline.c.name)).fetchall():
        keys = select(item.c.key).where(item.c.pipeline_id == row.id).order_by(item.c.key)
        after = None
        while True:
            rest = keys if after is None else keys.where(item.c.key > after)
            last = unit.execute(rest.limit(1).offset(items - 1)).scalar()
            yield Part(row.name, after, last)
            if last is None:
                break
            after = last


_OF_ITEMS = ("register", "change", "touch", "checksum", "quarantine", "admit", "priority")


def replay(unit: Unit, part: Part | None = None) -> Picture:
    """Return what the own journal, in the order of its numbers, says the store must hold.

    Rows that have no number yet come last, as they were written.
    """
    picture = Picture()
    pipelines: dict[str, Pipeline] = {}
    own = tables.journal.c
    query = select(tables.journal).where(own.origin == unit.store.site)
    if part is not None:
        query = query.where(
            own.pipeline == part.pipeline, or_(own.key.is_(None), part.holds(own.key))
        )
    told = _last_told(unit, part)
    in_order = (own.epoch, own.seq.is_(None), own.seq, own.id)
    for row in unit.execute(query.order_by(*in_order)):
        if _place_of(row) < told.get((row.pipeline, row.key), _BEFORE_ALL):
            continue
        data = json.loads(row.data) if row.data else {}
        if row.event == "condense":
            _take_told(picture, row, data)
        elif row.event == "forget_attempts":
            _forget_attempts(picture, data)
        elif row.event == "set_version":
            _set_version(picture, pipelines, row, data)
        elif row.event in _OF_ITEMS:
            _register(picture, pipelines, row, data)
        elif row.event == "forget":
            _forget(picture, row)
        elif row.event == "add_task" or row.event in BY_NAME:
            _change_task(picture, row, data)
    return picture


_BEFORE_ALL = (0, 0, 0)
_NOT_NUMBERED = 1 << 62


def _place_of(row: Any) -> tuple[int, int, int]:
    """Where a row of the own journal stands among the others."""
    return row.epoch, row.seq if row.seq is not None else _NOT_NUMBERED, row.id


def _last_told(unit: Unit, part: Part | None) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return the last condensed row of each item that has one."""
    own = tables.journal.c
    query = select(own.pipeline, own.key, own.epoch, own.seq, own.id).where(
        own.event == "condense", own.origin == unit.store.site
    )
    if part is not None:
        query = query.where(own.pipeline == part.pipeline, part.holds(own.key))
    found: dict[tuple[str, str], tuple[int, int, int]] = {}
    for row in unit.execute(query):
        name = (row.pipeline, row.key)
        found[name] = max(_place_of(row), found.get(name, _BEFORE_ALL))
    return found


def snapshot(
    unit: Unit, part: Part | None = None, *, items: Sequence[int] | None = None
) -> Picture:
    """Return what the tables hold: of a part, of some items by their ids, or all."""
    picture = Picture()
    item, task, attempt = tables.item, tables.task, tables.attempt
    pipeline, step = tables.pipeline, tables.step
    of_item = item.join(pipeline, pipeline.c.id == item.c.pipeline_id)
    of_task = of_item.join(task, task.c.item_id == item.c.id)
    of_attempt = of_task.join(attempt, attempt.c.task_id == task.c.id)
    chosen: list[Any] = [true()]
    if part is not None:
        chosen = [pipeline.c.name == part.pipeline, part.holds(item.c.key)]
    if items is not None:
        chosen = [item.c.id.in_(items)]
    rows = unit.execute(
        select(item, pipeline.c.name.label("pipeline")).select_from(of_item).where(*chosen)
    )
    names = {}
    for row in rows:
        names[row.id] = (row.pipeline, row.key)
        picture.items[row.pipeline, row.key] = {
            "path": os.fsdecode(row.path) if row.path is not None else None,
            "params": json.loads(row.params),
            "said": json.loads(row.said or "{}"),
            "meta": json.loads(row.meta),
            "size_bytes": row.size_bytes,
            "mtime_us": row.mtime_us,
            "fingerprint": row.fingerprint,
            "generation": row.generation,
            "reason": row.reason,
            "by": row.by_user,
            "checksum": row.checksum,
            "priority": row.priority,
        }
    steps = {row.id: row.name for row in unit.execute(select(step))}
    keys = {}
    for row in unit.execute(select(task).select_from(of_task).where(*chosen)):
        keys[row.id] = (*names[row.item_id], steps[row.step_id])
        picture.tasks[keys[row.id]] = {
            "state": TaskState(row.state).word,
            "attempt": text_of(row.attempt) if row.attempt else None,
            "number": row.number,
            "tries": row.tries,
            "lost": row.lost,
            "cut_off": row.cut_off,
            "level": row.level,
            "generation": row.generation,
        }
    version, worker = tables.version, tables.worker
    of_attempt_too = of_attempt.join(version, version.c.id == attempt.c.version_id).outerjoin(
        worker, worker.c.id == attempt.c.worker_id
    )
    named = (version.c.number.label("version"), worker.c.name.label("worker"))
    rows = unit.execute(select(attempt, *named).select_from(of_attempt_too).where(*chosen))
    for row in rows:
        picture.attempts[text_of(row.id)] = _attempt_of(row, keys[row.task_id])
    output, place = tables.output, tables.place
    of_output = of_attempt.join(output, output.c.attempt == attempt.c.id).outerjoin(
        place, place.c.id == output.c.place
    )
    outputs = select(output, place.c.name.label("at_place")).select_from(of_output)
    _outputs(picture, unit.execute(outputs.where(*chosen).order_by(*output.primary_key)))
    return picture


def told(picture: Picture) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what one row of the journal has to tell of each item to stand for all before it."""
    found: dict[tuple[str, str], dict[str, Any]] = {
        name: {"item": item, "tasks": {}, "attempts": {}} for name, item in picture.items.items()
    }
    for key, task in picture.tasks.items():
        found[key[:2]]["tasks"][key[2]] = task
    for name, attempt in picture.attempts.items():
        found[attempt["task"][:2]]["attempts"][name] = attempt
    return found


def differences(journal: Picture, store: Picture) -> Iterable[str]:
    """Yield a line for everything in which the two pictures differ."""
    for what in ("items", "tasks", "attempts"):
        one, other = getattr(journal, what), getattr(store, what)
        for key in sorted({*one, *other}, key=str):
            if one.get(key) != other.get(key):
                yield f"{what} {key}: journal {one.get(key)}, store {other.get(key)}"


def _attempt_of(row: Any, key: TaskKey) -> dict[str, Any]:
    found = {
        "task": key,
        "number": row.number,
        "kind": row.kind,
        "state": AttemptState(row.state).word,
        "generation": row.generation,
        "batch_id": row.batch_id,
        "version": row.version,
        "worker": row.worker,
        "place": None,
        "consumed": json.loads(row.consumed) if row.consumed else {},
        "values": json.loads(row.step_values) if row.step_values else {},
        "outputs": [],
    }
    ended = row.state != AttemptState.RUNNING
    found |= {name: getattr(row, name) or None for name in _ATTEMPT_FACTS if ended}
    if ended and row.exit_code == 0:
        found["exit_code"] = 0
    return found


def _outputs(picture: Picture, rows: Iterable[Any]) -> None:
    for row in rows:
        attempt = picture.attempts[text_of(row.attempt)]
        attempt["place"] = row.at_place
        attempt["outputs"].append([row.name, os.fsdecode(row.path), row.size_bytes, row.checksum])


def _set_version(
    picture: Picture, pipelines: dict[str, Pipeline], row: Any, data: Mapping[str, Any]
) -> None:
    pipeline = canon.load_pipeline(data["spec"])
    pipelines[row.pipeline] = pipeline
    if "moved" in data:
        move_in_picture(picture, row.pipeline, data["moved"])
    if "renamed" in data:
        _rename_steps(picture, row.pipeline, data["renamed"])


def _rename_steps(picture: Picture, pipeline: str, names: Mapping[str, str]) -> None:
    def renamed(key: TaskKey) -> TaskKey:
        return (*key[:2], names.get(key[2], key[2])) if key[0] == pipeline else key

    picture.tasks = {renamed(key): task for key, task in picture.tasks.items()}
    for attempt in picture.attempts.values():
        attempt["task"] = renamed(attempt["task"])


def _add_tasks(picture: Picture, pipeline: Pipeline, name: str, key: str) -> None:
    """Give the item a task for every step that it has none for; none while it is in quarantine."""
    if picture.items[name, key]["reason"] is not None:
        return
    for step in pipeline.steps:
        if (name, key, step.name) in picture.tasks:
            continue
        before = (picture.tasks[name, key, other]["state"] for other in step.after)
        is_blocked = any(not TaskState.of(state).is_satisfied for state in before)
        state = TaskState.BLOCKED if is_blocked else TaskState.READY
        _add_task(picture, (name, key, step.name), state, picture.items[name, key]["generation"])


def _add_task(picture: Picture, key: TaskKey, state: TaskState, generation: int) -> None:
    picture.tasks[key] = {
        "state": state.word, "attempt": None, "number": 0, "tries": 0, "lost": 0, "cut_off": 0,
        "level": 0, "generation": generation,
    }  # fmt: skip


def _register(
    picture: Picture, pipelines: Mapping[str, Pipeline], row: Any, data: Mapping[str, Any]
) -> None:
    known = picture.items.get((row.pipeline, row.key), {})
    if row.event in ("touch", "checksum"):
        known |= data
        return
    if row.event == "priority":
        known["priority"] = data["priority"]
        return
    picture.items[row.pipeline, row.key] = {
        "path": data.get("path"),
        "params": data.get("params", {}),
        "said": data.get("said", {}),
        "meta": data.get("meta", {}),
        "size_bytes": data.get("size_bytes"),
        "mtime_us": data.get("mtime_us"),
        "fingerprint": data["fingerprint"],
        "generation": row.generation,
        "reason": data.get("reason"),
        "by": known.get("by", data.get("by")),  # it stays that of who brought it first
        "checksum": data.get("checksum"),
        "priority": known.get("priority", data.get("priority", 0)),
    }
    _add_tasks(picture, pipelines[row.pipeline], row.pipeline, row.key)


def _forget(picture: Picture, row: Any) -> None:
    picture.items.pop((row.pipeline, row.key), None)
    gone = [key for key in picture.tasks if key[:2] == (row.pipeline, row.key)]
    for key in gone:
        del picture.tasks[key]
    for name in [a for a, of in picture.attempts.items() if of["task"] in gone]:
        del picture.attempts[name]


def _take_told(picture: Picture, row: Any, data: Mapping[str, Any]) -> None:
    picture.items[row.pipeline, row.key] = data["item"]
    for step, task in data["tasks"].items():
        picture.tasks[row.pipeline, row.key, step] = task
    for name, attempt in data["attempts"].items():
        task = (row.pipeline, row.key, attempt["task"][2])  # the pipeline may have been renamed
        is_over = attempt["state"] != AttemptState.RUNNING.word
        facts = dict.fromkeys(_ATTEMPT_FACTS if is_over else ())  # an earlier release knew fewer
        picture.attempts[name] = {**facts, **attempt, "task": task}


def _forget_attempts(picture: Picture, data: Mapping[str, Any]) -> None:
    for name in data["attempts"]:
        del picture.attempts[name]


def _change_task(picture: Picture, row: Any, data: Mapping[str, Any]) -> None:
    key = (row.pipeline, row.key, row.step)
    if row.event == "add_task":
        _add_task(picture, key, TaskState(row.to_state), row.generation)
        return
    transition = BY_NAME[row.event]
    task = picture.tasks[key]
    task["state"] = transition.target.word
    item = picture.items[key[:2]]
    item["generation"] = max(item["generation"], row.generation)  # an end may be of an older one
    if transition.sets_back:
        task["generation"] = row.generation
        for step in data.get("elsewhere", ()):
            picture.tasks[row.pipeline, row.key, step]["generation"] = row.generation
    for name in ("tries", "lost", "cut_off", "level"):
        task[name] = data.get(name, task[name])
    if row.event in ("claim", "adopt"):
        _open(picture, row, key, task, data)
    if row.attempt is not None and row.event != "claim":
        _end(picture.attempts[text_of(row.attempt)], data)


def _open(
    picture: Picture, row: Any, key: TaskKey, task: dict[str, Any], data: Mapping[str, Any]
) -> None:
    task["attempt"] = text_of(row.attempt)
    task["number"] = data["number"]
    picture.attempts[task["attempt"]] = {
        "task": key,
        "number": data["number"],
        "kind": int(row.event == "adopt"),
        "state": AttemptState.RUNNING.word,
        "generation": row.generation,
        "batch_id": data.get("batch_id"),
        "version": data["version"],
        "worker": data.get("worker"),
        "place": None,
        "consumed": data.get("consumed", {}),
        "values": {},
        "outputs": [],
    }


def _end(attempt: dict[str, Any], data: Mapping[str, Any]) -> None:
    attempt["state"] = data["state"]
    attempt["batch_id"] = data.get("batch_id", attempt["batch_id"])
    attempt["place"] = data.get("place")
    attempt["values"] = data.get("values", {})
    attempt["outputs"] = sorted(map(list, data.get("outputs", [])), key=lambda one: one[0])
    attempt |= {name: data.get(name) for name in _ATTEMPT_FACTS}
