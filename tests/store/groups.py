"""What the tests of groups do: items of one pipeline, gathered into items of another."""

from typing import Any

from sqlalchemy import select

from stoker.intake.register_found import Taker
from stoker.intake.sources.group import GroupSource
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, OnChange, Pipeline, Run, Step
from stoker.model.source import Group, Source
from stoker.model.states import AttemptState, TaskState
from stoker.store import journal_fold, tables
from stoker.store.arrivals.counts import Registered
from stoker.store.arrivals.register import register
from stoker.store.database import rebuild
from stoker.store.groups.member_pages import members_of
from store.rig import ME, Rig


def a_step(name: str, *after: str, **more: Any) -> Step:
    return Step(name=name, after=after, action=Run(text="true"), **more)


class Groups:
    """A pipeline `runs` of records with the steps `quant` and `send`, and one of its groups, `sums`."""

    def __init__(
        self,
        rig: Rig,
        *,
        on_change: OnChange = OnChange.RERUN,
        key: str | None = None,
        steps: tuple[Step, ...] | None = None,
        **group: Any,
    ) -> None:
        self.rig = rig
        self.store = rig.store
        self.runs = Pipeline(
            name="runs",
            folder="/project",
            items=ItemKind.RECORDS,
            steps=steps or (a_step("quant"), a_step("send", "quant")),
        )
        self.declare(on_change=on_change, key=key, **group)
        rig.apply(self.runs)
        self.worker = rig.worker()
        self.last: GroupSource | None = None

    def declare(
        self, *, on_change: OnChange = OnChange.RERUN, key: str | None = None, **group: Any
    ) -> None:
        """The pipeline of groups is so from now on."""
        wanted = {"pipeline": "runs", "by": "{meta.group}", "settle_s": None} | group
        source = Source(name="members", group=Group(**wanted))
        self.sums = Pipeline(
            name="sums",
            folder="/project",
            items=ItemKind.GROUPS,
            on_change=on_change,
            key=key,
            steps=(a_step("merge"),),
            sources=(source,),
        )
        self.rig.apply(self.sums)

    def push(self, *names: str, content: str = "1", **meta: Any) -> Registered:
        """Register items called `GROUP/NAME`, or with a `group` in `meta`."""
        items = [
            NewItem(
                key=name,
                fingerprint=content,
                size_bytes=10,
                meta={"group": name.partition("/")[0]} | meta,
            )
            for name in names
        ]
        return register(self.store, "runs", items, ME)

    def look(self, *, last: bool = False) -> Registered:
        self.last = GroupSource(
            self.store, self.sums, self.sums.sources[0], actor=ME, is_staying=not last
        )
        self.last.is_last = last
        return Taker(self.store, "sums", self.last, ME).take()

    @property
    def trouble(self) -> str:
        return (self.last.standing.trouble if self.last else None) or ""

    def work(self, *, failing: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        """Do all that is ready; those called `failing` fail for good."""
        done = []
        while tasks := self.rig.claim(self.worker, 100):
            for task in tasks:
                is_bad = f"{task.key}:{task.step}" in failing or task.key in failing
                state = AttemptState.FAILED if is_bad else AttemptState.SUCCEEDED
                self.rig.end(task, state, **({"reason": "no license"} if is_bad else {}))
                done.append((task.key, task.step))
        return done

    def merged(self) -> list[str]:
        """Look, and do all that is ready of the groups; return whose merge was done, in order."""
        self.look()
        return sorted(key for key, step in self.work() if step == "merge")

    def row(self, key: str) -> Any:
        table = tables.item_group
        with self.store.reading() as unit:
            return unit.execute(select(table).where(table.c.key == key)).one()

    def item(self, key: str) -> dict[str, Any]:
        with self.store.reading() as unit:
            return rebuild.snapshot(unit).items["sums", key]

    def members(self, key: str) -> dict[str, str]:
        """The members that the steps of the group get to see, with their states."""
        item, pipeline = tables.item, tables.pipeline
        query = select(item.c.id).join(pipeline).where(pipeline.c.name == "sums", item.c.key == key)
        with self.store.reading() as unit:
            item_id = unit.execute(query).scalar_one()
        return {one.key: one.state for one in members_of(self.store, item_id)}

    def keys(self) -> list[str]:
        """The keys of all groups that are items."""
        with self.store.reading() as unit:
            return sorted(key for name, key in rebuild.snapshot(unit).items if name == "sums")

    def state(self, key: str, step: str = "merge") -> str:
        return self.rig.states()[key, step]

    def check(self) -> None:
        journal_fold.fold(self.store)
        self.rig.check()


OPEN = {state.word for state in TaskState if state.is_open}
