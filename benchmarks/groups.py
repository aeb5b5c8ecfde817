"""What groups cost: looks at 100,000 changed members, the list that a step reads, and claims beside it.

`python benchmarks/groups.py [--database D]… [--members N]`. Starts servers of its own. For one group
of all members and for as many groups of one, measures the first look, which finds all of them, and
another after every member was done again; then the list of members that a worker writes, and claims
while a group of all is looked at. Goals stand beside the figures.
"""

import argparse
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bulk import multiply

import servers
from stoker.cli.main import ALLOCATIONS
from stoker.intake.register_found import Taker
from stoker.intake.sources.group import GroupSource
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Output, Pipeline, Run, Step, Verdict
from stoker.model.source import Group, Source
from stoker.model.states import AttemptState
from stoker.model.task import Published, Result, Stream
from stoker.model.worker import NewWorker
from stoker.store import journal_fold
from stoker.store.actor import Actor
from stoker.store.arrivals.register import register
from stoker.store.claims import claim, workers
from stoker.store.database.connect import open_store
from stoker.store.ends import finish
from stoker.store.groups.member_pages import members_of
from stoker.store.orders import versions
from stoker.store.unit import Store
from stoker.work import member_lists

ME = Actor("bench")
GOAL_LOOK_S = {"sqlite": 2.0, "postgresql": 4.0, "mariadb": 4.0}
GOAL_LIST_S = 1.0
GOAL_MIB = 200
STATES_DONE = AttemptState.SUCCEEDED


gc.set_threshold(ALLOCATIONS)  # as every command does


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--database", action="append", choices=tuple(GOAL_LOOK_S))
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--part", choices=("one", "each"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        _measure(asked.url, asked.part, asked.members)
        return
    try:
        for name in asked.database or list(GOAL_LOOK_S):
            for part in ("one", "each"):
                with tempfile.TemporaryDirectory() as folder:
                    url = f"sqlite:///{folder}/stoker.db"
                    if name != "sqlite":
                        url = servers.server(name).new_store(servers.make_store)
                    words = ["--part", part, "--url", url, "--members", str(asked.members)]
                    subprocess.run([sys.executable, __file__, *words], check=True)
    finally:
        servers.close_all()


def _measure(url: str, part: str, members: int) -> None:
    """Print the figures of one database, with one group or one of each member."""
    store = open_store(url, site_name="bench")
    sums = _prepare(store, "" if part == "one" else "{key}", members)
    kind = store.dialect.name
    print(f"{kind}, {members:,} members in {'one group' if part == 'one' else 'groups of one'}")
    before = _rss_mib()
    goal = GOAL_LOOK_S[kind]
    source = GroupSource(store, sums, sums.sources[0], actor=ME)
    with _timed(store, "the first look, which registers", goal):
        done = Taker(store, "sums", source, ME).take()
    assert done.registered == (1 if part == "one" else members), done
    _do_again(store)
    with _timed(store, "a look when every member was done again", goal):
        done = Taker(store, "sums", source, ME).take()
    assert done.changed == (1 if part == "one" else members), done
    _do_again(store, "copy-00000007")
    with _timed(store, "a look when one was done again", None):
        done = Taker(store, "sums", source, ME).take()
    assert done.changed == 1, done
    print(
        f"  memory: {_rss_mib() - before:,.0f} MiB more than before (goal {GOAL_MIB} in all: {_rss_mib():,.0f})"
    )
    if part == "one":
        _list(store, members)
        _claims(store, sums)
    else:
        plain = Pipeline(name="plain", folder="/p", items=ItemKind.RECORDS, steps=sums.steps)
        versions.apply_version(store, plain, host="h", path="/f")
        with _timed(store, "for comparison, registering as many records without groups", None):
            register(store, "plain", (NewItem(key=f"plain-{n}") for n in range(members)), ME)
    store.close()


def _prepare(store: Store, by: str, members: int) -> Pipeline:
    """The store has so many items that are done, and a pipeline of groups of them."""
    output = Output(name="tpm", to="quant/{key}")
    steps = (
        Step(name="quant", action=Run(text="true"), outputs=(output,)),
        Step(name="send", action=Run(text="true"), after=("quant",)),
    )
    runs = Pipeline(name="runs", folder="/p", items=ItemKind.RECORDS, steps=steps)
    group = Group(pipeline="runs", by=by, settle_s=None)
    sums = Pipeline(
        name="sums",
        folder="/p",
        items=ItemKind.GROUPS,
        steps=(Step(name="merge", action=Run(text="true")),),
        sources=(Source(name="members", group=group),),
    )
    for one in (runs, sums):
        versions.apply_version(store, one, host="h", path="/f")
    register(store, "runs", [NewItem(key="first", size_bytes=1)], ME)
    _work(store)
    multiply(store, "first", members - 1)
    with store.writing() as unit:
        unit.cursor.execute(
            "INSERT INTO output (attempt, name, position, path, place, size_bytes, checksum) "
            "SELECT task.attempt, 'tpm', 0, item.path, 0, 1000, 'xxh3:0123456789abcdef0123456789abcdef' "
            "FROM task JOIN item ON item.id = task.item_id JOIN step ON step.id = task.step_id "
            "WHERE step.name = 'quant' AND item.key <> 'first' AND item.path IS NOT NULL"
        )
    return sums


def _work(store: Store) -> None:
    new = NewWorker(
        host="h", pid=1, slots=2, scratch="/s", boot_id="b", lease_s=600, tags=(), name="w", cpus=2,
        memory_bytes=1 << 30,
    )  # fmt: skip
    worker = workers.enlist(store, new)
    while tasks := claim.claim(store, worker, limit=10, cpus_free=2).tasks:
        finish.finish(store, [_result(task) for task in tasks])


def _result(task: object) -> Result:
    published = (Published(name="tpm", path="/p/quant/first", size_bytes=1, checksum="xxh3:0"),)
    return Result(
        attempt=task.attempt, task_id=task.task_id, state=STATES_DONE, verdict=Verdict.DONE,
        exit_code=0, ended_us=time.time_ns() // 1000, stdout=Stream(),
        outputs=published if task.step == "quant" else (),
    )  # fmt: skip


def _do_again(store: Store, key: str | None = None) -> None:
    """Every member, or one, was done once more: its tasks and the journal say so."""
    only = "" if key is None else f" WHERE item.key = '{key}'"
    one = (
        "SELECT item.id FROM item JOIN pipeline ON pipeline.id = item.pipeline_id "
        f"WHERE pipeline.name = 'runs' AND item.`key` = '{key}'"
    )
    of_key = "" if key is None else f"AND item_id = ({one})"
    if store.dialect.name != "mariadb":
        of_key = of_key.replace("`", '"')
    with store.writing(alone=True) as unit:
        runs = "(SELECT step.id FROM step WHERE name IN ('quant', 'send'))"
        unit.cursor.execute(f"UPDATE task SET number = number + 1 WHERE step_id IN {runs} {of_key}")
        q = "`" if store.dialect.name == "mariadb" else '"'
        unit.cursor.execute(
            f"INSERT INTO journal (origin, epoch, at_us, v, event, pipeline, {q}key{q}, n) "
            f"SELECT 1, 1, {unit.now_us}, 1, 'succeed', 'runs', item.{q}key{q}, 1 FROM item "
            f"JOIN pipeline ON pipeline.id = item.pipeline_id AND pipeline.name = 'runs'{only}"
        )
    journal_fold.fold(store)


def _list(store: Store, members: int) -> None:
    """Write the lists that a step of the group reads."""
    with store.reading() as unit:
        unit.cursor.execute(
            "SELECT item.id FROM item JOIN pipeline ON pipeline.id = item.pipeline_id "
            "WHERE pipeline.name = 'sums'"
        )
        item_id = unit.cursor.fetchone()[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        _timed(store, "the lists of its members", GOAL_LIST_S),
    ):
        member_lists.write(
            lambda item, after: members_of(store, item, after=after),
            item_id,
            [("quant", "tpm")],
            scratch=f"{folder}/scratch",
            mode=0o700,
        )
        size = sum(path.stat().st_size for path in Path(folder, "lists").iterdir())
    print(f"  the lists have {size / 1e6:,.1f} MB for {members:,} members")


def _claims(store: Store, sums: Pipeline) -> None:
    """Claim and finish one by one, alone and while the group of all is looked at."""
    register(store, "runs", [NewItem(key=f"fresh-{n}") for n in range(1_200)], ME)
    print(f"  claims alone: {_percentiles(store, 600)}")
    over = threading.Event()

    def look() -> None:
        other = open_store(store.engine.url.render_as_string(hide_password=False))
        source = GroupSource(other, sums, sums.sources[0], actor=ME)
        while not over.is_set():
            Taker(other, "sums", source, ME).take()
            over.wait(1.0)  # as a source rests
        other.close()

    thread = threading.Thread(target=look)
    thread.start()
    print(f"  claims beside looks: {_percentiles(store, 600)}")
    over.set()
    thread.join()


def _percentiles(store: Store, n: int) -> str:
    new = NewWorker(
        host="h", pid=2, slots=2, scratch="/s", boot_id="b", lease_s=600, tags=(), name="w", cpus=2,
        memory_bytes=1 << 30,
    )  # fmt: skip
    worker = workers.enlist(store, new)
    times = []
    for _ in range(n):
        began_s = time.perf_counter()
        tasks = claim.claim(store, worker, limit=1, cpus_free=2).tasks
        times.append(time.perf_counter() - began_s)
        finish.finish(store, [_result(task) for task in tasks])
    return f"p50 {statistics.median(times) * 1e3:.2f} ms, p99 {statistics.quantiles(times, n=100)[98] * 1e3:.2f} ms"


@contextmanager
def _timed(store: Store, what: str, goal_s: float | None) -> Iterator[None]:
    """Print how long the block took, and the processor time: what others do beside it does not count."""
    began_s, own_s, server_s = time.perf_counter(), time.process_time(), _server_s(store)
    yield
    took_s, own_s = time.perf_counter() - began_s, time.process_time() - own_s
    goal = f" (goal {goal_s:g} s)" if goal_s is not None else ""
    text = f"  {what}: {took_s:.2f} s{goal}; of the processor {own_s:.2f} s here"
    if store.dialect.name != "sqlite":
        text += f" and {_server_s(store) - server_s:.2f} s in the server"
    print(text, flush=True)


def _server_s(store: Store) -> float:
    """Return the processor time that the server's processes have had so far."""
    if store.dialect.name == "sqlite":
        return 0.0
    is_mariadb = store.dialect.name == "mariadb"
    with store.reading() as unit:
        unit.cursor.execute(
            "SELECT @@pid_file" if is_mariadb else "SELECT pid FROM pg_stat_activity"
        )
        found = [row[0] for row in unit.cursor.fetchall()]
    pids = [int(Path(found[0]).read_text())] if is_mariadb else found
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
