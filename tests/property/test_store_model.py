"""Several workers, people and crashes against the pure transition table, for ever new histories.

Hypothesis plays any order of verbs on a real store: registering, claiming, finishing late and
twice, renewing, dying, holding, cancelling, rerunning, changing the pipeline. A model remembers
only what each attempt was told. After every step the store must hold its promises, and the journal
alone must give the same picture as the tables.
"""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

import servers
from stoker.errors import StaleAttempt
from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline, Run, Step, Verdict
from stoker.model.pool import Pool
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import journal_fold
from stoker.store.arrivals import register
from stoker.store.database.connect import open_store
from stoker.store.orders import verbs
from stoker.store.retention import prune
from store.rig import ME, Rig, set_pools

ENDS = [
    (AttemptState.SUCCEEDED, Verdict.DONE),
    (AttemptState.SUCCEEDED, Verdict.SKIP),
    (AttemptState.SUCCEEDED, Verdict.STOP),
    (AttemptState.FAILED, Verdict.RETRY),
    (AttemptState.FAILED, Verdict.LATER),
    (AttemptState.FAILED, Verdict.FAIL),
    (AttemptState.TIMED_OUT, Verdict.RETRY),
    (AttemptState.OUT_OF_MEMORY, Verdict.RETRY),
    (AttemptState.CANCELLED, Verdict.LATER),
    (AttemptState.CANCELLED, Verdict.SKIP),
    (AttemptState.CANCELLED, Verdict.FAIL),
]


def step(name: str, *after: str, text: str = "x", **more) -> Step:
    return Step(name=name, after=after, action=Run(text=text), backoff_s=0, **more)


LINES = [
    (step("a", pools={"ram": 1}), step("b", "a", retries=1), step("c", "a"), step("d", "b", "c")),
    (step("a", retries=2), step("d", "a", pools={"ram": 2})),
    (step("a", text="changed"), step("c", "a"), step("e"), step("d", "c", "e")),
]
RETENTIONS = [
    Retention(items={"done": 0, "cancelled": 0}),
    Retention(attempts={word: 0 for word in AttemptState.words() if word != "running"}),
    Retention(logs={"succeeded": 0}),
    Retention(journal=0),
]
KEYS = st.sampled_from(["k0", "k1", "k2", "k3"])
STEPS = st.sampled_from(["a", "b", "c", "d", "e"])


@functools.cache
def empty_store() -> Path:
    """A folder with a store that has just been made: migrating once is enough."""
    folder = Path(tempfile.mkdtemp(prefix="stoker-empty-"))
    atexit.register(shutil.rmtree, folder)
    open_store(f"sqlite:///{folder}/stoker.db").close()
    return folder


class StoreMachine(RuleBasedStateMachine):
    workers = Bundle("workers")
    held = Bundle("held")
    ended = Bundle("ended")
    folder: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(self.new_url())
        self.rig = Rig(self.store)
        self.dead: set[int] = set()
        self.counted: dict[bytes, AttemptState] = {}  # how attempts ended whose results counted
        self.take(0)
        set_pools(self.store, [Pool(name="ram", slots=("0", "1"))])

    def new_url(self) -> str:
        """The URL of an empty store."""
        self.folder = Path(tempfile.mkdtemp(prefix="stoker-model-"))
        shutil.copytree(empty_store(), self.folder, dirs_exist_ok=True)
        return f"sqlite:///{self.folder}/stoker.db"

    def teardown(self) -> None:
        self.store.close()
        if self.folder is not None:
            shutil.rmtree(self.folder)

    def take(self, line: int) -> None:
        self.rig.apply(Pipeline(name="line", folder="/p", steps=LINES[line]))

    @rule(
        keys=st.lists(KEYS, max_size=3),
        content=st.sampled_from("xxxy"),
        priority=st.integers(-1, 1),
    )
    def push(self, keys, content, priority):
        items = [
            NewItem(key=key, path=f"/{key}", fingerprint=content, priority=priority) for key in keys
        ]
        register.register(self.store, "line", items, ME)

    @rule(target=workers)
    def enlist(self):
        return self.rig.worker(host=f"host{len(self.dead)}")

    @rule(target=held, worker=workers, limit=st.integers(1, 4))
    def claim(self, worker, limit):
        try:
            tasks = self.rig.claim(worker, limit)
        except StaleAttempt:
            assert worker in self.dead
            return multiple()
        assert worker not in self.dead
        return multiple(*tasks)

    @rule(target=ended, task=consumes(held), end=st.sampled_from(ENDS))
    def finish(self, task, end):
        if self.rig.end(task, end[0], verdict=end[1]):
            self.counted[task.attempt] = end[0]
        return task

    @rule(task=ended, end=st.sampled_from(ENDS))
    def finish_again(self, task, end):
        before = self.rig.events()
        counts = self.rig.end(task, end[0], verdict=end[1])
        assert self.rig.events() == before, "an attempt ended twice"
        assert counts == (self.counted.get(task.attempt) is end[0])

    @rule(target=ended, tasks=st.lists(consumes(held), min_size=1, max_size=4))
    def finish_together(self, tasks):
        results = [self.rig.result(task) for task in [*tasks, *tasks]]
        stale = self.rig.link.finish(results)
        for task in tasks:
            if task.attempt not in stale:
                self.counted[task.attempt] = AttemptState.SUCCEEDED
        return multiple(*tasks)

    @rule(worker=workers)
    def die(self, worker):
        self.rig.lapse(worker)
        self.rig.link.reap()
        self.dead.add(worker)

    @rule(worker=workers)
    def renew(self, worker):
        renewal = self.rig.link.renew(worker, lease_s=60)
        assert renewal.is_alive == (worker not in self.dead)

    @rule(keys=st.lists(KEYS, max_size=2), steps=st.lists(STEPS, max_size=2), dry_run=st.booleans(),
          verb=st.sampled_from([verbs.hold, verbs.release, verbs.cancel, verbs.retry, verbs.rerun]))  # fmt: skip
    def steer(self, keys, steps, dry_run, verb):
        known = {entry for _, entry in self.rig.states()}
        chosen = tuple(name for name in steps if name in known)
        verb(self.store, self.rig.select(keys=tuple(keys), steps=chosen), ME, dry_run=dry_run)

    @rule(line=st.sampled_from(range(len(LINES))))
    def change_pipeline(self, line):
        self.take(line)

    @rule()
    def redo_outdated(self):
        verbs.rerun(self.store, self.rig.select(), ME, outdated=True)

    @rule(retention=st.sampled_from(RETENTIONS), pipeline=st.sampled_from([None, "line"]))
    def prune(self, retention, pipeline):
        prune.prune(self.store, retention, selection=Selection(pipeline=pipeline))

    @rule()
    def fold(self):
        journal_fold.fold(self.store)

    @invariant()
    def promises_hold(self):
        self.rig.check()


StoreMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestStoreMachine = StoreMachine.TestCase


class OnPostgresql(StoreMachine):
    kind = "postgresql"

    def new_url(self) -> str:
        return servers.server(self.kind).new_store(servers.make_store)


class OnMariadb(OnPostgresql):
    kind = "mariadb"


FEWER = settings(StoreMachine.TestCase.settings, max_examples=10)
OnPostgresql.TestCase.settings = FEWER
OnMariadb.TestCase.settings = FEWER
TestOnPostgresql = pytest.mark.postgresql(OnPostgresql.TestCase)
TestOnMariadb = pytest.mark.mariadb(OnMariadb.TestCase)
