"""The promises, checked by query, on disk and in /proc; for tests, and by hand after any disaster.

`python tests/faults/check.py PROJECT` looks at the project's store once nothing works on it any more
and prints every broken promise; it ends with 1 if there is one. What it knows comes from the tables,
the journal, the disk and /proc, and from the ledger: a file into which the tests' own tasks write
while they live, so that what really ran is known without asking Stoker.
"""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from sqlalchemy import func, select

from stoker.model.states import AttemptState, TaskState, WorkerState
from stoker.store import journal_fold, tables
from stoker.store.database import rebuild
from stoker.store.database.connect import open_store
from stoker.store.ids import text_of
from stoker.store.unit import Store
from stoker.work import contain
from stoker.work.measure import measure
from stoker.work.scratch import HIDDEN, process_start
from stoker.work.store_link import StoreLink
from store.rig import broken_promises

LEDGER = "ledger"  # in the project's folder
TAG = "tag"  # a file with a word that is on the command line of every daemon the tasks leave
KEYS = "pushed"  # a line for every key whose registering was acknowledged
SLACK_US = 300_000  # between what a task writes and what the store says of it
JUMPING_US = 1_000_000  # that a process may be held up between asking the clock and how wrong it is
FENCED_US = 2_000_000  # that an attempt may need to be ended once it is fenced off
SETTLE_S = 5.0  # for the kernel to take away what was killed

_T, _I, _A, _S, _W, _J = (
    tables.task, tables.item, tables.attempt, tables.step, tables.worker, tables.journal,
)  # fmt: skip


@dataclass(frozen=True)
class Violation:
    """A promise that does not hold: which check found it, and what it saw."""

    check: str
    text: str

    def __str__(self) -> str:
        return f"{self.check}: {self.text}"


@dataclass(frozen=True)
class Life:
    """What the ledger tells of one attempt, in microseconds since the epoch."""

    attempt: str
    first_us: int
    last_us: int
    ticks: tuple[int, ...]


@dataclass
class Scene:
    """A project after a disaster.

    `excused` gives for workers, by pid, until when their attempts may live on although they are
    lost: the worker was frozen till then, or nobody was there to clear what it left.
    """

    folder: Path
    store: Store
    scratch: Path
    is_over: bool = True  # every task is done, skipped, failed or cancelled
    is_quiet: bool = True  # nothing works on it
    excused: Mapping[int, int] = field(default_factory=dict)
    may_fail: bool = False  # tasks may be failed or cancelled
    outside: Sequence[Path] = ()  # where outputs lie beside the project's folder
    jumps: Sequence[
        tuple[int, int]
    ] = ()  # of the store's clock: when, and by how much it was wrong

    def true_us(self, stored_us: int) -> int:
        """Return the latest moment at which the store's clock may have shown this time.

        Who asks the clock while it jumps may see what was, or what will be, a moment later or before.
        """
        found = [stored_us]
        now = (time.time_ns() // 1000, 0)
        for (from_us, wrong_us), (to_us, _) in pairwise([*self.jumps, now]):
            right_us = stored_us - wrong_us
            if from_us - JUMPING_US <= right_us <= to_us + JUMPING_US:
                found.append(right_us)
        return max(found)

    def rows(self, query: Any) -> list[Any]:
        with self.store.reading() as unit:
            return list(unit.execute(query).fetchall())


# ------------------------------------------------------------------------------------- in the tables


def success(scene: Scene) -> Iterator[str]:
    """Each done task carries one succeeded attempt."""
    query = select(_T.c.id, _A.c.state, _A.c.task_id).outerjoin(_A, _A.c.id == _T.c.attempt)
    for row in scene.rows(query.where(_T.c.state == TaskState.DONE.value)):
        if row.state != AttemptState.SUCCEEDED or row.task_id != row.id:
            yield f"task {row.id} is done and carries no succeeded attempt"


def once(scene: Scene) -> Iterator[str]:
    """A success is recorded once, and again only if the task was to be done again."""
    is_done: dict[Any, bool] = {}
    counted = set()
    for row in scene.rows(select(_J).where(_J.c.step.is_not(None)).order_by(_J.c.id)):
        task = (row.pipeline, row.key, row.step)
        if row.to_state == TaskState.DONE and is_done.get(task):
            yield f"the success of {task} is recorded twice"
        if row.to_state in (TaskState.DONE, TaskState.SKIPPED) and row.attempt:
            counted.add(bytes(row.attempt))
        if row.to_state is not None:
            is_done[task] = row.to_state == TaskState.DONE
    succeeded = select(_A.c.id).where(_A.c.state == AttemptState.SUCCEEDED.value, _A.c.kind == 0)
    for row in scene.rows(succeeded):
        if bytes(row.id) not in counted:
            yield f"attempt {text_of(row.id)} succeeded and its task never did"
    of_task = (
        select(_A.c.task_id, func.count().label("n"))
        .where(_A.c.state == AttemptState.SUCCEEDED.value)
        .group_by(_A.c.task_id)
    )
    redone = _redone(scene)
    for row in scene.rows(of_task):
        if row.n > 1 + redone.get(row.task_id, 0):
            yield f"task {row.task_id} has {row.n} succeeded attempts"


def _redone(scene: Scene) -> dict[int, int]:
    """Return how often each task, having been done, was to be done again."""
    rows = scene.rows(
        select(_T.c.id, func.count().label("n"))
        .select_from(
            _T.join(_I, _I.c.id == _T.c.item_id)
            .join(_S, _S.c.id == _T.c.step_id)
            .join(_J, (_J.c.key == _I.c.key) & (_J.c.step == _S.c.name))
        )
        .where(_J.c.from_state.in_([TaskState.DONE.value, TaskState.SKIPPED.value]))
        .group_by(_T.c.id)
    )
    return {row.id: row.n for row in rows}


def leases(scene: Scene) -> Iterator[str]:
    """No task runs without an attempt of a live worker whose lease lasts."""
    now_us = time.time_ns() // 1000
    query = select(
        _T.c.id, _A.c.state.label("attempt_state"), _A.c.task_id, _W.c.state, _W.c.lease_until_us,
        _W.c.pid,
    ).select_from(
        _T.outerjoin(_A, _A.c.id == _T.c.attempt).outerjoin(_W, _W.c.id == _A.c.worker_id)
    ).where(_T.c.state == TaskState.RUNNING.value)  # fmt: skip
    for row in scene.rows(query):
        what = f"task {row.id} runs"
        if row.attempt_state != AttemptState.RUNNING or row.task_id != row.id:
            yield f"{what} without a running attempt"
        elif row.state != WorkerState.ALIVE or row.lease_until_us < now_us:
            yield f"{what} and its worker is dead or has no lease"
        elif process_start(row.pid) is None:
            yield f"{what} and its worker's process {row.pid} is gone"
    query = select(_A.c.id, _T.c.state).join(_T, _T.c.id == _A.c.task_id)
    running = query.where(_A.c.state == AttemptState.RUNNING.value)
    for row in scene.rows(running.where(_T.c.attempt != _A.c.id)):
        yield f"attempt {text_of(row.id)} runs and its task carries another"


def over(scene: Scene) -> Iterator[str]:
    """Everything that was to be done has been done."""
    if not scene.is_over:
        return
    ends = [TaskState.DONE, TaskState.SKIPPED]
    if scene.may_fail:
        ends += [TaskState.FAILED, TaskState.CANCELLED, TaskState.BLOCKED, TaskState.HELD]
    query = select(_T.c.id, _T.c.state, _I.c.key, _S.c.name, _A.c.reason).select_from(
        _T.join(_I, _I.c.id == _T.c.item_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .outerjoin(_A, _A.c.id == _T.c.attempt)
    )
    for row in scene.rows(query):
        if TaskState(row.state) not in ends:
            yield f"`{row.name}` of `{row.key}` is {TaskState(row.state).word}: {row.reason}"


def pools(scene: Scene) -> Iterator[str]:
    """No slot is held by an attempt that has ended or whose worker is dead."""
    slot = tables.slot
    query = select(
        slot.c.pool, slot.c.name, _A.c.state.label("attempt_state"), _W.c.state
    ).select_from(
        slot.outerjoin(_A, _A.c.id == slot.c.attempt).outerjoin(_W, _W.c.id == _A.c.worker_id)
    )
    for row in scene.rows(query.where(slot.c.attempt.is_not(None))):
        if row.attempt_state != AttemptState.RUNNING or row.state != WorkerState.ALIVE:
            yield f"slot `{row.name}` of `{row.pool}` is held by nobody who runs"


def items(scene: Scene) -> Iterator[str]:
    """Every item whose registering was acknowledged is there, once."""
    known = [row.key for row in scene.rows(select(_I.c.key))]
    if len(known) != len(set(known)):
        yield "a key is there twice"
    path = scene.folder / KEYS
    wanted = path.read_text().split() if path.exists() else []
    for key in sorted(set(wanted) - set(known)):
        yield f"item `{key}` was registered and is not there"


def journal(scene: Scene) -> Iterator[str]:
    """The journal replays to what the tables hold; its numbers are dense; the counts are right."""
    journal_fold.fold(scene.store)
    with scene.store.reading() as unit:
        try:
            replayed = rebuild.replay(unit)
        except KeyError as missing:
            yield f"the journal mentions {missing}, but not how it began"
        else:
            yield from rebuild.differences(replayed, rebuild.snapshot(unit))
        open_ = unit.execute(select(func.count()).where(_J.c.seq.is_(None))).scalar_one()
        if open_:
            yield f"{open_} rows have no number"
    yield from broken_promises(scene.store)


# ------------------------------------------------------------------------------------------- on disk


def outputs(scene: Scene) -> Iterator[str]:
    """What done tasks made lies at its path with the recorded size and checksum."""
    output = tables.output
    query = (
        select(output, _T.c.id.label("task_id"))
        .select_from(output.join(_T, _T.c.attempt == output.c.attempt))
        .where(_T.c.state == TaskState.DONE.value)
    )
    made = defaultdict(set)
    for row in scene.rows(query):
        path = os.fsdecode(row.path)
        made[row.task_id].add(row.name)
        if not os.path.lexists(path):
            yield f"output `{path}` is recorded and is not there"
            continue
        found = measure(path)
        if (found.size_bytes, found.checksum) != (row.size_bytes, row.checksum):
            yield f"output `{path}` is not what was recorded: {found}"
    for row in scene.rows(
        select(_T.c.id, _S.c.name, tables.version.c.spec)
        .select_from(
            _T.join(_S, _S.c.id == _T.c.step_id)
            .join(_A, _A.c.id == _T.c.attempt)
            .join(tables.version, tables.version.c.id == _A.c.version_id)
        )
        .where(_T.c.state == TaskState.DONE.value)
    ):
        for name in _declared(row.spec, row.name) - made[row.id]:
            yield f"task {row.id} is done and its output `{name}` is not recorded"


def _declared(spec: str, step: str) -> set[str]:
    found = next(one for one in json.loads(spec)["steps"] if one["name"] == step)
    return {one["name"] for one in found.get("outputs", ()) if not one.get("optional")}


def scratch(scene: Scene) -> Iterator[str]:
    """No worker's folder is left."""
    if scene.is_quiet and scene.scratch.exists():
        for path in sorted(scene.scratch.iterdir()):
            inside = sorted(str(one.relative_to(path)) for one in path.rglob("*"))
            yield f"`{path}` is left: {', '.join(inside[:10])}"


def hidden(scene: Scene) -> Iterator[str]:
    """Nothing half-made lies hidden beside an output."""
    if scene.is_quiet:
        for folder in (scene.folder, *scene.outside):
            yield from (f"`{path}` is left" for path in sorted(folder.rglob(f"{HIDDEN}*")))


# ------------------------------------------------------------------------------------------- in /proc


def processes(scene: Scene) -> Iterator[str]:
    """No process of the store's attempts lives: by mark, by attempt, by group, by its own word."""
    if not scene.is_quiet:
        return
    until_s = time.monotonic() + SETTLE_S
    while (found := sorted(left_behind(scene))) and time.monotonic() < until_s:
        time.sleep(0.02)
    yield from found


def left_behind(scene: Scene) -> Iterator[str]:
    """Yield what still runs for the store's attempts, workers included."""
    own, attempts = StoreLink(scene.store).store_id, _attempts(scene)
    tag_file = scene.folder / TAG
    tag = tag_file.read_bytes().strip() if tag_file.exists() else None
    for entry in os.listdir("/proc"):
        if not entry.isdecimal() or int(entry) == os.getpid():
            continue
        environment = contain.read_environment(int(entry))
        mark = contain.Mark.parse(
            environment.get(contain.MARK.encode(), b"").decode(errors="replace")
        )
        attempt = environment.get(contain.ATTEMPT.encode(), b"").decode(errors="replace")
        is_ours = (mark is not None and mark.store == own) or attempt in attempts
        words = _words(int(entry))
        if not is_ours and not (tag and tag in words):
            continue
        if process_start(int(entry)) is not None:
            yield f"process {entry} lives: {b' '.join(words)[:200]!r}, attempt {attempt!r}"


def _attempts(scene: Scene) -> Collection[str]:
    return {text_of(row.id) for row in scene.rows(select(_A.c.id))}


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


# ----------------------------------------------------------------------------------------- the ledger


def read_ledger(folder: Path) -> dict[str, Life]:
    """Return what ran, by attempt. A line is `seconds.micros attempt word`."""
    path = folder / LEDGER
    ticks: dict[str, list[int]] = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else ():
        at, attempt, *_ = line.split()
        ticks[attempt].append(int(at.replace(".", "").replace(",", "")))
    return {
        attempt: Life(attempt, min(several), max(several), tuple(several))
        for attempt, several in ticks.items()
    }


def ledger(scene: Scene) -> Iterator[str]:
    """No attempt lives past its end, nor beside another of its task that is not fenced off."""
    lives = read_ledger(scene.folder)
    query = select(
        _A.c.id, _A.c.task_id, _A.c.number, _A.c.state, _A.c.ended_us, _A.c.reason, _W.c.pid
    ).outerjoin(_W, _W.c.id == _A.c.worker_id)
    known = {text_of(row.id): row for row in scene.rows(query)}
    for attempt in sorted(set(lives) - set(known)):
        yield f"attempt {attempt} ran and is not in the store"
    by_task: dict[int, list[tuple[Life, Any]]] = defaultdict(list)
    for attempt, life in lives.items():
        row = known.get(attempt)
        if row is not None:
            by_task[row.task_id].append((life, row))
            ended_us = None if row.ended_us is None else scene.true_us(row.ended_us)
            yield from _outlived(life, row, ended_us, scene.excused.get(row.pid, 0))
    for task, several in by_task.items():
        several.sort(key=lambda one: one[1].number)
        for (one, row), (other, _) in pairwise(several):
            if one.last_us > other.first_us and not _is_fenced(row):
                yield f"task {task}: attempts {one.attempt} and {other.attempt} lived side by side"


def _is_fenced(row: Any) -> bool:
    """Whether the attempt could record nothing any more while it lived on."""
    return row.state == AttemptState.LOST or "fenced off" in (row.reason or "")


def _outlived(life: Life, row: Any, ended_us: int | None, excused_us: int) -> Iterator[str]:
    if ended_us is None:
        return
    limit_us = ended_us + SLACK_US
    if _is_fenced(row):
        limit_us = max(limit_us + FENCED_US, excused_us)
    if life.last_us > limit_us:
        late_s = (life.last_us - ended_us) / 1e6
        state = AttemptState(row.state).word
        yield f"attempt {life.attempt} ({state}) lived for {late_s:.2f} s after its end"


def silence(scene: Scene) -> Iterator[str]:
    """Nobody writes to the ledger any more."""
    path = scene.folder / LEDGER
    if not scene.is_quiet or not path.exists():
        return
    size = path.stat().st_size
    until_s = time.monotonic() + 0.15
    while time.monotonic() < until_s:
        if path.stat().st_size != size:
            yield f"somebody still writes to `{path}`"
            return
        time.sleep(0.01)


def capacity(scene: Scene) -> Iterator[str]:
    """As the ledger has it, no more attempts held a pool at a time than it has slots."""
    lives = read_ledger(scene.folder)
    query = select(_A.c.id, _A.c.state, _S.c.id.label("step"), tables.lane_need.c.pool,
                   tables.lane_need.c.n).select_from(
        _A.join(_T, _T.c.id == _A.c.task_id)
        .join(_S, _S.c.id == _T.c.step_id)
        .join(tables.lane, tables.lane.c.step_id == _S.c.id)
        .join(tables.lane_need, tables.lane_need.c.lane_id == tables.lane.c.id)
    ).distinct()  # fmt: skip
    edges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in scene.rows(query):
        life = lives.get(text_of(row.id))
        if life is not None and row.state != AttemptState.LOST:  # what is lost is fenced off
            edges[row.pool] += [(life.first_us, row.n), (life.last_us, -row.n)]
    slot = tables.slot
    for pool, changes in edges.items():
        query = select(func.count()).where(slot.c.pool == pool, ~slot.c.is_retired)
        most = scene.rows(query)[0][0]
        used = 0
        for at_us, change in sorted(changes):
            used += change
            if used > most:
                yield f"pool `{pool}` of {most} slots was used by {used} at {at_us}"
                break


CHECKS: tuple[Callable[[Scene], Iterator[str]], ...] = (
    success, once, outputs, leases, over, pools, capacity, processes, silence, scratch, hidden, items,
    journal, ledger,
)  # fmt: skip


def check(scene: Scene) -> list[Violation]:
    """Return every broken promise."""
    return [Violation(one.__name__, text) for one in CHECKS for text in one(scene)]


def main() -> int:
    """Check the project named on the command line."""
    from stoker.spec.load import load_project
    from stoker.work.leftovers import scratch_root

    folder = Path(sys.argv[1]).absolute()
    settings = load_project(folder / "stoker.toml").settings
    store = open_store(settings.store_url, create=False)
    try:
        scratch_folder = Path(scratch_root(StoreLink(store), settings))
        found = check(Scene(folder, store, scratch_folder, is_over=False))
    finally:
        store.close()
    for one in found:
        sys.stdout.write(f"{one}\n")
    sys.stdout.write(f"{len(CHECKS)} checks, {len(found)} broken promises\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
