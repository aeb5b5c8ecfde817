"""Pools, cpus, memory, rates and hours under random claims, crashes and changes of capacity.

Hypothesis plays any order of them on a real store with a clock of its own. After each step nothing
may be given out twice or beyond what there is; at the end the journal alone tells that it never was.
"""

import json
import shutil
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)
from sqlalchemy import select

from property.test_store_model import empty_store
from stoker.errors import StaleAttempt
from stoker.model.hours import Hours
from stoker.model.pipeline import Pipeline, Run, Step
from stoker.model.pool import Pool
from stoker.model.shares import Ledger, ShareBy, Shares
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.actor import Actor
from stoker.store.database.connect import open_store
from stoker.store.ends import lost_hosts
from stoker.store.holdings import pools
from stoker.store.ids import text_of
from store.rig import Rig, set_pools, set_shares

MINUTE_US = 60_000_000
NOON_US = 1_777_888_800_000_000  # 4 May 2026, 10:00 UTC
HOSTS = ("h0", "h1")
CPUS, MEMORY = 4, 1 << 33


def step(name: str, **more) -> Step:
    return Step(name=name, action=Run(text="x"), backoff_s=0, **more)


STEPS = (
    step("thin", pools={"ram": 1}),
    step("wide", pools={"ram": 2, "gpu": 1}, cpus=2),
    step("large", cpus=4),
    step("heavy", memory_bytes=(MEMORY // 2,)),
    step("rated", pools={"site": 1}),
    step("night", pools={"tape": 1}),
    step("near", together="disk", pools={"gpu": 1}),
    step("nearer", after=("near",), together="disk", needs=("disk",)),
)
BY_NAME = {one.name: one for one in STEPS}
NIGHT = Hours(1200, 480, "Europe/Vienna")
SITE = Pool(name="site", slots=tuple("0123"), per_minute=3)


def capacities(ram: int, gpu: int) -> list[Pool]:
    return [
        Pool(name="ram", slots=tuple(map(str, range(ram)))),
        Pool(name="gpu", slots=tuple(map(str, range(gpu))), is_per_host=True),
        Pool(name="tape", slots=("0",), hours=NIGHT),
        SITE,
    ]


class SharingMachine(RuleBasedStateMachine):
    workers = Bundle("workers")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-sharing-"))
        shutil.copytree(empty_store(), self.folder, dirs_exist_ok=True)
        self.store = open_store(f"sqlite:///{self.folder}/stoker.db")
        self.now_us = NOON_US
        for name in ("begin_write", "begin_read"):
            real = getattr(self.store.dialect, name)
            setattr(self.store.dialect, name, lambda *a, real=real, **m: self.tick(real, *a, **m))
        self.rig = Rig(self.store)
        self.rig.apply(Pipeline(name="line", folder="/p", steps=STEPS))
        self.allowed: dict[str, int] = {}
        self.alive: dict[int, int] = {}  # worker -> its slots
        self.hosts: dict[int, str] = {}
        self.running: dict[bytes, tuple[int, object]] = {}
        self.ledgers: defaultdict[int, Ledger] = defaultdict(Ledger)
        self.tagged: set[int] = set()
        self.items = 0
        self.push(8)
        self.set_capacity(2, 1)

    def tick(self, real, *given, **more) -> int:
        """The clock of this store: the same in every run, so that what Hypothesis saw comes again."""
        real(*given, **more)
        self.now_us += 1
        return self.now_us

    def teardown(self) -> None:
        self.check_rates_by_the_journal()
        self.rig.check()
        self.store.close()
        shutil.rmtree(self.folder)

    def note_allowed(self) -> None:
        """A pool may hold what it has, and what is still held from when it had more."""
        used = self.used()
        for key in {*self.allowed, *used}:
            self.allowed[key] = max(self.capacity.get(key[0], 0), used[key])

    def used(self) -> Counter:
        found: Counter = Counter()
        for worker, task in self.running.values():
            host = self.hosts[worker]
            for pool, names in task.slots.items():
                found[pool, host if pool == "gpu" else ""] += len(names)
        return found

    @rule(ram=st.integers(1, 4), gpu=st.integers(1, 3))
    def set_capacity(self, ram, gpu):
        set_pools(self.store, capacities(ram, gpu))
        self.capacity = {"ram": ram, "gpu": gpu, "tape": 1, "site": 4}
        self.note_allowed()

    @rule(n=st.integers(0, 4))
    def set_by_hand(self, n):
        pools.set_slots(self.store, "ram", n, Actor("tester"))
        self.capacity["ram"] = n
        self.note_allowed()

    @rule(by=st.sampled_from([None, *ShareBy]), n=st.integers(0, 3))
    def set_shares_and_push(self, by, n):
        self.push(n)
        set_shares(self.store, Shares(by=by, files={"line": "x"}))

    def push(self, n: int) -> None:
        self.rig.push(*(f"k{self.items + number}" for number in range(n)))
        self.items += n

    @initialize(target=workers)
    def begin(self):
        return multiple(*(self.enlist(host, 4, tagged=True) for host in ("h0", "h0", "h1")))

    @rule(
        target=workers, host=st.sampled_from(HOSTS), slots=st.integers(1, 4), tagged=st.booleans()
    )
    def enlist_one(self, host, slots, tagged):
        return self.enlist(host, slots, tagged=tagged)

    def enlist(self, host: str, slots: int, *, tagged: bool) -> int:
        tags = ["disk"] if tagged else []
        worker = self.rig.worker(host=host, slots=slots, lease_s=1e7, tags=tags)
        self.alive[worker] = slots
        if tagged:
            self.tagged.add(worker)
        self.hosts[worker] = host
        return worker

    @rule(target=held, worker=workers, times=st.integers(1, 4))
    def claim(self, worker, times):
        return multiple(*(task for _ in range(times) for task in self.claim_one(worker)))

    def claim_one(self, worker):
        mine = [task for of, task in self.running.values() if of == worker]
        free = self.alive.get(worker, 4) - sum(task.cpus for task in mine)
        if free <= 0:
            return []
        memory = MEMORY - sum(task.memory_bytes or 0 for task in mine)
        more = {"ledger": self.ledgers[worker], "memory_free_bytes": memory}
        try:
            tasks = self.rig.claim(worker, 1, free, **more)
        except StaleAttempt:
            assert worker not in self.alive
            return []
        assert worker in self.alive
        for task in tasks:
            self.running[task.attempt] = (worker, task)
            spec = BY_NAME[task.step]
            assert {pool: len(names) for pool, names in task.slots.items()} == spec.pools
            assert not spec.needs or worker in self.tagged
            if task.step == "night":
                assert NIGHT.is_open(task.claimed_us)
        return tasks

    @rule(task=consumes(held), good=st.booleans())
    def finish(self, task, good):
        self.rig.end(task, AttemptState.SUCCEEDED if good else AttemptState.FAILED)
        worker = self.running.pop(task.attempt, (0, None))[0]
        self.ledgers[worker].end(task.attempt, 1.0)
        self.note_allowed()

    @rule(worker=workers)
    def die(self, worker):
        self.rig.lapse(worker)
        self.rig.link.reap()
        self.alive.pop(worker, None)
        self.running = {a: one for a, one in self.running.items() if one[0] != worker}
        self.note_allowed()

    @rule(s=st.sampled_from([1, 20, 61, 5 * 3600]))
    def wait(self, s):
        self.now_us += s * 1_000_000

    @rule()
    def look_for_gone_hosts(self):
        lost_hosts.begin_again_elsewhere(self.store)

    @invariant()
    def nothing_is_beyond_what_there_is(self):
        for key, n in self.used().items():
            assert n <= max(self.allowed.get(key, 0), self.capacity[key[0]]), key
        given = [
            (pool, self.hosts[worker] if pool == "gpu" else "", name)
            for worker, task in self.running.values()
            for pool, names in task.slots.items()
            for name in names
        ]
        assert len(given) == len(set(given)), "a slot was given out twice"
        with self.store.reading() as unit:
            slot = tables.slot
            held = unit.execute(select(slot).where(slot.c.attempt.is_not(None))).fetchall()
        assert {(row.pool, row.host, row.name) for row in held} == set(given), "slots balance"
        cpus, memory = Counter(), Counter()
        for worker, task in self.running.values():
            cpus[self.hosts[worker]] += task.cpus
            memory[self.hosts[worker]] += task.memory_bytes or 0
        assert all(n <= CPUS for n in cpus.values()), cpus
        assert all(n <= MEMORY for n in memory.values()), memory

    @invariant()
    def what_stays_together_ran_on_one_host(self):
        where: dict[int, set[str]] = {}
        for worker, task in self.running.values():
            if BY_NAME[task.step].together:
                where.setdefault(task.item_id, set()).add(self.hosts[worker])
        assert all(len(hosts) == 1 for hosts in where.values())

    def check_rates_by_the_journal(self) -> None:
        journal = tables.journal
        with self.store.reading() as unit:
            rows = unit.execute(
                select(journal).where(journal.c.event == "claim").order_by(journal.c.id)
            ).fetchall()
        assert all(json.loads(row.data)["number"] for row in rows)
        assert len({text_of(row.attempt) for row in rows}) == len(rows)
        began = [row.at_us for row in rows if row.step == "rated"]
        for at in began:
            assert sum(at <= one < at + MINUTE_US for one in began) <= SITE.per_minute


SharingMachine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestSharingMachine = SharingMachine.TestCase
