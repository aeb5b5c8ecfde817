"""Makes the stores that later releases are tried with: one of each database, every table filled.

`python -m upgrade.make 0.2.0` in `tests`, run once when a release with a new schema is made, puts them
into `tests/upgrade/0.2.0`. They are never made again: what lies there is what that release wrote.
"""

import json
import lzma
import os
import shutil
import sys
import tempfile
from pathlib import Path

from sqlalchemy import func, select

import servers
from stoker.model.item import NewItem
from stoker.model.pipeline import Output, Pipeline, Run, Step, Verdict
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.shares import ShareBy, Shares
from stoker.model.states import AttemptState
from stoker.model.task import Published, Stream
from stoker.store import journal_fold, tables
from stoker.store.arrivals import register, sources
from stoker.store.database import rebuild
from stoker.store.database.connect import open_store
from stoker.store.forecasts import estimates
from stoker.store.holdings import places, publications
from stoker.store.orders import adopt, verbs, versions
from stoker.store.orders.shared_settings import SharedSettings, set_settings
from stoker.store.retention import prune
from stoker.store.unit import Store
from store.rig import ME, Rig, wanted

HERE = Path(__file__).parent
LINE = Pipeline(
    name="line",
    folder="/project",
    steps=(
        Step(
            name="one",
            action=Run(text="make {item} {out.raw} {out.tree}"),
            outputs=(
                Output(name="raw", to="raw/{key}", temp=True),
                Output(name="tree", to="trees/{key}/"),
            ),
            pools={"ram": 1, "doors": 1},
            memory_bytes=(1 << 20, 1 << 21),
            retries=2,
            backoff_s=3600,
        ),
        Step(name="two", after=("one",), action=Run(text="look {in.one.tree}"), together="disk"),
        Step(name="three", after=("two",), action=Run(text="end"), together="disk"),
    ),
)
KEYS = ("done", "failed", "again", "running", "held", "ü %0a", "waiting", "late", "old")


def fill(store: Store) -> None:
    """Every table of the store has rows, by the verbs that write them."""
    rig = Rig(store)
    limited = Pool(name="doors", slots=("left", "right", "third"), per_minute=60)
    shared = SharedSettings(
        pools=[Pool(name="ram", slots=("0", "1", "2")), limited],
        shares=Shares(by=ShareBy.USER, weights={"ann": 2.0}),
        secrets=["TOKEN"],
        retention=Retention(journal=1e9),
    )
    set_settings(store, shared, set_by="h:/f", actor=ME)
    rig.apply(LINE)
    bring_in(rig)
    work(rig)
    steer(rig)
    estimates.catch_up(store, limit_s=60)
    with store.writing() as unit:  # a second host's speed is learned from more than a few attempts
        unit.execute(tables.host_speed.insert().values(host="quick", factor=1.25))
    prune.prune(store, Retention(items={"done": 0}), selection=rig.select(keys=("old",)))
    prune.prune(store, Retention(logs={"failed": 0}))
    prune.prune(store, Retention(journal=0), selection=rig.select(pipeline="line"))
    journal_fold.fold(store)
    grown = Pipeline(
        name="line",
        folder="/project",
        steps=(*LINE.steps, Step(name="four", after=("three",), action=Run(text="more"))),
    )
    versions._set_version(  # and died before the tasks followed
        store, grown, host="h", path="/f", actor=ME, take_over=False, dry_run=False
    )


def bring_in(rig: Rig) -> None:
    source = sources.find_source(rig.store, "line", "incoming", kind="folder")
    sources.advance(rig.store, source, cursor={"n": 1}, folders=[(b"sub", "17"), (b"\xff", "18")])
    items = [
        NewItem(
            key=key,
            path=f"/data/{key}\udcff",
            size_bytes=1000 * number,
            mtime_us=1_700_000_000_000_000,
            fingerprint=f"f{number}",
            params={"gain": 1.5, "names": ["a", "b"]},
            meta={"run": number},
            priority=number % 2,
        )
        for number, key in enumerate(KEYS, 1)
    ]
    register.register(rig.store, "line", items, ME, source_id=source.id)
    bad = NewItem(key="bad", path="/data/bad", reason="its header is cut off")
    register.register(rig.store, "line", [bad], ME)
    unread = sources.unread(rig.store, "line", after=0)
    sources.note_checksums(rig.store, [(unread[0], "xxh3:00ff")])


def work(rig: Rig) -> None:
    """Attempts that ended in several ways, and one that runs; `late` is adopted."""
    verbs.hold(rig.store, rig.select(keys=("late", "waiting")), ME)
    verbs.hold(rig.store, rig.select(keys=("held",), steps=("two",)), ME)
    worker = rig.worker(name="w1", batch_id="slurm:8.0", tags=["fast"])
    while tasks := rig.claim(worker, 1):
        finish(rig, tasks[0])
    adopt_one(rig, "late")
    verbs.release(rig.store, rig.select(keys=("late",)), ME)
    rig.link.reap(dead_workers=[worker])
    assert rig.claim(rig.worker(name="w2", host="other"), 1)


def adopt_one(rig: Rig, key: str) -> None:
    with rig.store.reading() as unit:
        task, item, step = tables.task, tables.item, tables.step
        query = select(task.c.id, task.c.step_id).join(item, item.c.id == task.c.item_id).join(step)
        row = unit.execute(query.where(item.c.key == key, step.c.name == "one")).one()
    path = f"/project/raw/{key}"
    output = Published(name="raw", path=path, size_bytes=3, checksum="xxh3:03")
    found = adopt.Found(
        task_id=row.id, step_id=row.step_id, outputs=(output,), wanted=(wanted(path),)
    )
    assert adopt.adopt(rig.store, found, ME)


def finish(rig: Rig, task) -> None:
    if task.key == "failed" and task.step == "one":
        stream = Stream(size_bytes=5, text=b"oh \xff\n")
        file = Stream(size_bytes=9_000_000, truncated=True, path="/nowhere/log")
        rig.end(
            task, AttemptState.FAILED, verdict=Verdict.FAIL, stdout=stream, stderr=file,
            reason="no licence", cause="no licence", signal=9, exit_code=None,
        )  # fmt: skip
    elif task.key == "again":
        rig.end(task, AttemptState.OUT_OF_MEMORY)
    elif task.key == "running":
        return
    elif task.step == "one":
        raw, tree = f"/project/raw/{task.key}", f"/project/trees/{task.key}"
        place = 0
        if task.key == "held":
            with rig.store.writing() as unit:
                place = places.place_of(unit, "lyon")
        several = [wanted(raw), wanted(tree, parts=b"12345678")]
        publications.reserve(rig.store, task.attempt, task.task_id, several, place=place)
        outputs = (
            Published(name="raw", path=raw, size_bytes=3, checksum="xxh3:03"),
            Published(name="tree", path=tree, size_bytes=4, checksum="xxh3:04"),
        )
        rig.end(task, outputs=outputs, place=place, values={"n": 1, "text": "ü"}, command="make x")
    else:
        rig.end(task)


def steer(rig: Rig) -> None:
    verbs.rerun(rig.store, rig.select(keys=("done",), steps=("two",)), ME)
    verbs.cancel(rig.store, rig.select(keys=("waiting",)), ME)
    journal_fold.fold(rig.store)


def facts(store: Store) -> dict:
    """What the store holds, for later releases to find in it."""
    with store.reading() as unit:
        picture = rebuild.snapshot(unit)
        rows = {
            table.name: unit.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables.metadata.sorted_tables
        }
        journal = tables.journal
        events = unit.execute(
            select(journal.c.event, func.count())
            .group_by(journal.c.event)
            .order_by(journal.c.event)
        )
        counted = {event: n for event, n in events}  # noqa: C416 - rows are no pairs
    empty = [name for name, n in rows.items() if not n]
    assert not empty, f"nothing is in {empty}"
    return {
        "rows": rows,
        "events": counted,
        "items": {" ".join(key): one for key, one in picture.items.items()},
        "tasks": {" ".join(key): one for key, one in picture.tasks.items()},
        "attempts": picture.attempts,
    }


def write(path: Path, content: bytes) -> None:
    path.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def main(folder: Path) -> None:
    folder.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "stoker.db")
        urls = {"sqlite": f"sqlite:///{file}"}
        for kind in ("postgresql", "mariadb"):
            urls[kind] = servers.server(kind).new_database("made")
        for kind, url in urls.items():
            store = open_store(url, site_name="here")
            fill(store)
            found = facts(store)
            (folder / f"{kind}.json").write_text(
                json.dumps(found, indent=1, ensure_ascii=True) + "\n", encoding="ascii"
            )
            store.close()
            dump = file.read_bytes() if kind == "sqlite" else servers.server(kind).dump("made")
            write(folder / f"{kind}.xz", dump)
    servers.close_all()


if __name__ == "__main__":
    os.umask(0o022)
    shutil.rmtree(HERE / sys.argv[1], ignore_errors=True)
    main(HERE / sys.argv[1])
