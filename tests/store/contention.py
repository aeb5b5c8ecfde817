"""Many worker processes claim and finish on one store at once; then the journal is checked.

`python tests/store/contention.py --database postgresql --processes 64 --tasks 100000` starts a server
of its own, or takes the empty database of `--url`. Of the tasks three in a hundred need slots of pools.
Checked: no task was claimed or finished twice, none is left, no pool was ever over its slots, no
error came up to a worker, each worker got its share, and tasks with many slots were not kept waiting
for those with few. Exit code 1 where one of these does not hold.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).parents[1]))

import crowd
import servers
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.store import journal_fold, tables
from stoker.store.actor import Actor
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.orders import versions
from store.rig import set_pools

ME = Actor("tester")
SLOTS = {"ram": 4, "gpu": 2}
NEEDS: dict[str, dict[str, int]] = {"many": {"ram": 3}, "few": {"ram": 1, "gpu": 1}}
SCARCE = 33  # of so many items one needs pools
ENOUGH = 200  # tasks of a kind, to judge their order by
DO = Run(text="x")
LINE = Pipeline(
    name="line", folder="/p",
    steps=(Step(name="one", action=DO), Step(name="two", after=("one",), action=DO)),
)  # fmt: skip
SCARCELY = Pipeline(
    name="scarce", folder="/p",
    steps=tuple(Step(name=name, action=DO, pools=needs) for name, needs in NEEDS.items()),
)  # fmt: skip


def fill(url: str, tasks: int) -> None:
    """The store has so many tasks, each item with two."""
    store = open_store(url, site_name="here")
    for pipeline in (LINE, SCARCELY):
        versions.apply_version(store, pipeline, host="h", path="/f")
    set_pools(
        store, [Pool(name=pool, slots=tuple(map(str, range(n)))) for pool, n in SLOTS.items()]
    )
    items = [NewItem(key=f"k{number:07}", path=f"/d/{number}") for number in range(tasks // 2)]
    register.register(store, "scarce", items[::SCARCE], ME)
    register.register(store, "line", [one for n, one in enumerate(items) if n % SCARCE], ME)
    store.close()


class Checks:
    """What went wrong, in words, and what was counted on the way."""

    def __init__(self, accounts: Sequence[crowd.Account], *, is_sqlite: bool) -> None:
        self.problems = [one.problem for one in accounts if one.problem]
        self.claims = Counter(task for one in accounts for task in one.claimed)
        self.shares = [len(one.claimed) for one in accounts]
        self.most: Counter[str] = Counter()
        if not min(self.shares) and not is_sqlite:  # its one lock is not given out in turn
            self.problems.append("a worker got nothing")

    def follow(self, rows: Iterator[Any]) -> None:
        """Go through claims and ends in the order of the journal."""
        held: Counter[str] = Counter()
        claimed: Counter[tuple[str, str, str]] = Counter()
        done: Counter[tuple[str, str, str]] = Counter()
        turns: dict[str, list[int]] = {step: [] for step in NEEDS}
        for event, pipeline, key, step in rows:
            by = {"claim": 1, "succeed": -1}.get(event, 0)
            for pool, n in NEEDS.get(step, {}).items():
                held[pool] += by * n
                self.most[pool] = max(self.most[pool], held[pool])
            if by > 0:
                claimed[pipeline, key, step] += 1
                if step in turns:
                    turns[step].append(sum(map(len, turns.values())))
            elif by < 0:
                done[pipeline, key, step] += 1
            elif event not in (
                "register",
                "create_tasks",
                "set_version",
                "set_settings",
                "unblock",
            ):
                self.problems.append(f"there is a `{event}` in the journal")
        self._compare(claimed, done)
        self._fair(turns)

    def _compare(self, claimed: Counter[Any], done: Counter[Any]) -> None:
        for what, counted in (("claimed", claimed), ("done", done)):
            if twice := [task for task, n in counted.items() if n > 1]:
                self.problems.append(f"{what} more than once: {twice[:5]}")
        if claimed != self.claims:
            self.problems.append("the journal's claims are not those that the workers got")
        if claimed != done:
            self.problems.append(f"{len(claimed - done)} tasks were claimed and are not done")
        for pool, most in self.most.items():
            if most > SLOTS[pool]:
                self.problems.append(f"{most} slots of pool `{pool}` were held at once")

    def _fair(self, turns: dict[str, list[int]]) -> None:
        """Tasks of both kinds came in at once, and in turn: neither may all come at the end.

        Of a few tasks that says nothing: one that needs many slots may be passed over for a while.
        """
        many, few = turns["many"], turns["few"]
        if min(len(many), len(few)) >= ENOUGH and many[len(many) // 2] > few[-1]:
            self.problems.append("tasks that need many slots waited for those that need few")

    def rest(self, unit: Any) -> None:
        """Nothing is left that belongs to a task which has ended."""
        slot = tables.slot
        if unit.execute(select(slot.c.name).where(slot.c.attempt.is_not(None))).first():
            self.problems.append("slots of pools are still held")


def check(url: str, accounts: Sequence[crowd.Account]) -> Checks:
    """What the journal says of it."""
    checks = Checks(accounts, is_sqlite=url.startswith("sqlite"))
    store = open_store(url, create=False)
    journal_fold.fold(store)
    of = tables.journal.c
    with store.reading() as unit:
        rows = unit.execute(select(of.event, of.pipeline, of.key, of.step).order_by(of.id))
        checks.follow(rows)
        checks.rest(unit)
    store.close()
    return checks


@contextmanager
def database(kind: str, url: str | None) -> Iterator[str]:
    """The URL of an empty database."""
    if url:
        yield url
    elif kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="stoker-contention-") as folder:
            yield f"sqlite:///{folder}/store/stoker.db"
    else:
        server = servers.KINDS[kind]()
        try:
            yield server.new_database("lab")
        finally:
            server.close()


def main() -> int:
    """Fill, work, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=("sqlite", *servers.KINDS), default="postgresql")
    parser.add_argument("--url", help="an empty database, instead of a server of its own")
    parser.add_argument("--processes", type=int, default=64)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=8, help="tasks that a worker asks for at once")
    parser.add_argument("--limit", type=float, default=600, help="seconds, and then it has failed")
    parser.add_argument("--hosts", type=int, help="that the processes share; by default one each")
    given = parser.parse_args()
    with database(given.database, given.url) as url:
        fill(url, given.tasks)
        accounts = crowd.run(
            url,
            processes=given.processes,
            batch=given.batch,
            hosts=given.hosts,
            warm_up=0,
            limit_s=given.limit,
        )
        checks = check(url, accounts)
    elapsed_s = max(crowd.elapsed_s(accounts), 0.001)
    told = {
        "database": given.database, "processes": given.processes, "tasks": sum(checks.shares),
        "elapsed_s": round(elapsed_s, 1), "per_s": round(sum(checks.shares) / elapsed_s),
        "smallest_share": min(checks.shares), "largest_share": max(checks.shares),
        "most_slots_held": dict(checks.most), "slots": SLOTS, "problems": checks.problems,
    }  # fmt: skip
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if checks.problems else 0


if __name__ == "__main__":
    sys.exit(main())
