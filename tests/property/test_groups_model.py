"""Whatever happens to members and to the grouper: at rest each group was made of its members of now.

Random verbs on members (finish, fail, retry, rerun, change, move, hold, cancel, prune) mix with new versions
of both pipelines, with the loss of all that groups remember, with a backup that is restored later, and with
looks, some of which are killed by SIGKILL at a failpoint. A merge remembers what its list of members held;
when nothing is left to do, that must be what the members hold, or a trouble must say why it is not.
"""

import copy
import itertools
import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import delete, select, update

import servers
from stoker import failpoints
from stoker.model.retention import Retention
from stoker.model.selection import Selection
from stoker.model.states import AttemptState
from stoker.store import tables
from stoker.store.database import relocate
from stoker.store.database.connect import bare, open_store
from stoker.store.groups.member_pages import members_of
from stoker.store.orders import verbs
from stoker.store.retention import prune
from stoker.store.retention.counts import Pruned
from store.groups import Groups, a_step
from store.rig import ME, Rig

KILLS = (
    "groups.before_commit",
    "groups.projected",
    "groups.noted",
    "groups.before_register",
    "groups.told",
)
MOST_STEPS = 4  # of the members' pipeline, after new versions
ROUNDS, STEPS = 5, 10  # from rest to rest, as a change of one member must not be missed
NAMES = [f"{group}/{n}" for group in "abc" for n in range(3)]


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("mariadb", marks=pytest.mark.mariadb),
    ]
)
def new_url(request, tmp_path):
    """Makes the URL of another empty store on each database."""
    if request.param != "sqlite":
        return lambda: servers.server(request.param).new_store(servers.make_store)
    numbers = itertools.count()
    return lambda: f"sqlite:///{tmp_path}/store{next(numbers)}/stoker.db"


@dataclass
class Record:
    """What the store must know: a backup holds it as it was."""

    left: dict[str, int] = field(default_factory=dict)  # by member: what it left last
    pushed: dict[str, str] = field(default_factory=dict)  # member -> group
    merged: dict[str, dict[str, int]] = field(default_factory=dict)
    merges: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pruned: dict[str, dict[str, int]] = field(default_factory=dict)  # group -> members -> left


class Lab:
    """Groups whose members leave numbers, and merges that remember which."""

    def __init__(
        self, new_url: Callable[[], str], chance: random.Random, folder: Path, **group
    ) -> None:
        self.new_url = new_url
        self.folder = folder
        self.chance = chance
        self.group = group
        self.has_regrouped = False
        self.prefix = ""  # of all groups, by the version of their pipeline
        self.url = new_url()
        self.store = open_store(self.url, site_name="here")
        self.groups = Groups(Rig(self.store), **group)
        self.is_ = Record()
        self.was: Record | None = None  # when the backup was made
        self.made = 0

    @property
    def backup(self) -> Path:
        return self.folder / "backup.db"

    # ------------------------------------------------------------------------------------- verbs

    def push(self) -> None:
        name = self.chance.choice(NAMES)
        moves = self.chance.random() < 0.2
        group = self.chance.choice("abc") if moves else self.is_.pushed.get(name, name[0])
        self.is_.pushed[name] = group
        self.made += 1
        self.groups.push(name, content=f"{group}{self.made}", group=group)

    def work(self, *, good: float = 0.8) -> int:
        """Some tasks are done, or fail; return how many were claimed."""
        claimed = self.groups.rig.claim(self.groups.worker, self.chance.randint(1, 4))
        for task in claimed:
            if task.step == "merge":
                self._merge(task)
            elif self.chance.random() > good:
                self.groups.rig.end(task, AttemptState.FAILED, reason="bad luck")
            else:
                self.made += 1
                values = {"v": self.made} if task.step == "quant" else {}
                if self.groups.rig.end(task, values=values) and values:
                    self.is_.left[task.key] = self.made
        return len(claimed)

    def _merge(self, task) -> None:
        found: dict[str, int] = {}
        after = ""
        while page := members_of(self.store, task.item_id, after=after, most=2):
            found |= {one.key: one.values["quant"]["v"] for one in page if one.state == "done"}
            after = page[-1].key
        if self.groups.rig.end(task):
            self.is_.merged[task.key] = found
            self.is_.merges[task.key] += 1

    def change(self) -> None:
        keys = self.some()
        verb = self.chance.choice(["retry", "rerun", "hold", "release", "cancel"])
        if keys:
            getattr(verbs, verb)(self.store, Selection(keys=keys, pipeline="runs"), ME)

    def some(self) -> tuple[str, ...]:
        return tuple(self.chance.sample(sorted(self.is_.pushed), min(len(self.is_.pushed), 2)))

    def prune(self) -> None:
        """Some members are forgotten, unless a group that is not complete needs them."""
        if not (keys := self.some()):
            return
        before = self.known()
        selection = Selection(keys=keys, pipeline="runs")
        for _ in prune.steps(
            self.store, Retention(items={"done": 0.0}), Pruned(), selection=selection
        ):
            pass
        for key in before - self.known():
            group = self.prefix + self.is_.pushed.pop(key)
            self.is_.pruned.setdefault(group, {})[key] = self.is_.left.pop(key)

    def known(self) -> set[str]:
        item, pipeline = tables.item, tables.pipeline
        query = select(item.c.key).join(pipeline).where(pipeline.c.name == "runs")
        with self.store.reading() as unit:
            return set(unit.execute(query).scalars())

    def look(self) -> None:
        self.groups.look()

    def lose(self) -> None:
        """All that groups remember is gone, and made again by looking, before anything is claimed.

        Not once members were in other groups for a while: that they were would be gone, too.
        """
        if self.has_regrouped:
            return
        with self.store.writing() as unit:
            for table in (tables.member, tables.item_group):
                unit.execute(delete(table))
            unit.execute(update(tables.source).values(cursor="{}"))
        self.is_.pruned.clear()  # that there were others is gone, too
        self.look()

    def upgrade(self) -> None:
        """A new version of the members' pipeline has one step more."""
        steps = self.groups.runs.steps
        name = f"more{len(steps)}"
        if len(steps) < MOST_STEPS:
            self.groups.runs = replace(self.groups.runs, steps=(*steps, a_step(name, "send")))
            self.groups.rig.apply(self.groups.runs)

    def regroup(self) -> None:
        """A new version of the groups' pipeline calls the groups otherwise."""
        self.has_regrouped = True
        self.prefix = "" if self.prefix else "new-"
        self.declare()
        self.look()

    def declare(self) -> None:
        """The versions of now are the store's."""
        self.groups.rig.apply(self.groups.runs)
        self.groups.declare(**self.group, by=self.prefix + "{meta.group}")

    def back_up(self) -> None:
        relocate.back_up(self.store, self.backup)
        self.was = copy.deepcopy(self.is_)

    def restore(self) -> None:
        """The store is as it was when the backup was made; the file with the pipelines is not."""
        assert self.was is not None
        self.store.close()
        self.url = self.new_url()
        with bare(self.url) as target:
            relocate.restore(self.backup, target)
        self.store = self.groups.store = open_store(self.url)
        self.groups.rig = Rig(self.store)
        self.groups.worker = self.groups.rig.worker()
        self.is_ = self.was
        self.declare()
        self.look()  # what was forgotten before belongs to no group of the names of now

    def look_and_die(self) -> None:
        """Another process looks, and is killed at some point of it, if it comes there."""
        self.die_at(f"{self.chance.choice(KILLS)}=kill@{self.chance.randint(1, 2)}")

    def die_at(self, point: str) -> bool:
        """Another process looks; return whether it came to this failpoint, which killed it."""
        armed = failpoints.parse(point)
        child = os.fork()
        if child == 0:
            try:
                failpoints._armed, failpoints._hits = armed, {}
                self.groups.store = open_store(self.url)
                self.groups.look()
            finally:
                os._exit(0)  # nothing of ours is to be closed in order
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

    # -------------------------------------------------------------------------------------- at rest

    def rest(self) -> None:
        """Everything is done, and looking brings nothing new."""
        everything = Selection(pipeline="runs")
        for verb in (verbs.release, verbs.retry):
            verb(self.store, everything, ME)
        verbs.rerun(self.store, Selection(pipeline="runs", states=("cancelled",)), ME)
        for _ in range(100):
            self.work(good=1.0)
            done = self.groups.look()
            if not done.opened:
                left = set(self.groups.rig.states().values())
                if left <= {"done", "skipped"}:
                    return
        raise AssertionError(f"it never comes to rest: {self.groups.rig.states()}")

    def check(self) -> None:
        wanted: dict[str, dict[str, int]] = {}
        for name, group in self.is_.pushed.items():
            wanted.setdefault(self.prefix + group, {})[name] = self.is_.left[name]
        for key, members in wanted.items():
            pruned = self.is_.pruned.get(key, {})
            found = self.is_.merged.get(key)
            if found != pruned | members:  # it changed after some of its members were forgotten
                assert pruned, (key, found, members)
                assert "were pruned" in (self.groups.row(key).trouble or ""), (found, members)
        merges = dict(self.is_.merges)
        assert self.groups.look().opened == 0
        self.work(good=1.0)
        assert dict(self.is_.merges) == merges, "nothing is done twice at rest"
        self.groups.check()


IS_EXPLORING = settings.get_current_profile_name() == "explore"
# The processes of a run agree on what they draw.
_DRAWN = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).sample(range(10**9), 20)
SEEDS = _DRAWN if IS_EXPLORING else (0, 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("group", [{}, {"step": "quant"}], ids=["whole", "step"])
def test_at_rest_each_group_was_made_of_its_members(new_url, tmp_path, seed, group):
    chance = random.Random(seed)
    lab = Lab(new_url, chance, tmp_path, **group)
    try:
        steps = [lab.push, lab.work, lab.work, lab.change, lab.look, lab.look_and_die]
        steps += [lab.lose, lab.upgrade, lab.prune, lab.regroup]
        rare = {1: lab.back_up, 3: lab.restore}  # once, at some point of these rounds
        for _ in range(3):
            lab.push()
        for number in range(ROUNDS):
            order = [chance.choice(steps) for _ in range(STEPS)]
            if number in rare:
                order.insert(chance.randrange(STEPS), rare[number])
            for step in order:
                step()
            lab.rest()
            lab.check()
    finally:
        lab.store.close()


@pytest.mark.parametrize("point", KILLS)
def test_a_look_that_is_killed_anywhere_is_made_up_for_by_the_next(new_url, tmp_path, point):
    """First while groups become complete, and then while one is to be done again."""
    lab = Lab(new_url, random.Random(1), tmp_path)
    try:
        for _ in range(6):
            lab.push()
        for again in (False, True):
            if again:
                verbs.rerun(lab.store, Selection(keys=lab.some(), pipeline="runs"), ME)
            while lab.work(good=1.0):
                pass
            assert lab.die_at(f"{point}=kill"), f"the look came to `{point}`"
            lab.rest()
            lab.check()
            assert set(lab.is_.merges.values()) <= {1, 2}
    finally:
        lab.store.close()
