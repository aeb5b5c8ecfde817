"""The verbs by which a person changes what is to be done."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from stoker.model.selection import Selection
from stoker.project.parts import Part
from stoker.project.verbs.narrowing import Narrowing, check_keywords, select

if TYPE_CHECKING:
    from stoker.model.retention import Retention
    from stoker.store.actor import Actor
    from stoker.store.ends.redo import Changed
    from stoker.store.holdings.pools import PoolChange
    from stoker.store.retention.counts import Pruned
    from stoker.store.unit import Store

Outcome = TypeVar("Outcome")


class Change(Narrowing, total=False):
    """The keywords of a verb that changes something: which tasks, why, and whether really."""

    selection: Selection | None
    reason: str | None
    dry_run: bool


class TaskChange(Change, total=False):
    """The keywords of a verb that changes tasks, which may be chosen by a list.

    `from_file` holds keys or paths, one a line, or with `nul` a NUL after each.
    """

    from_file: str | None
    nul: bool


class Changing(Part):
    """What a person can change. Every verb takes `dry_run`, and most a `reason` for the record."""

    def retry(self, *keys: str, **how: Unpack[TaskChange]) -> "Changed":
        """Selected failed tasks are ready again, with a fresh allowance of retries.

        The record has their items' files as they are now, if a person has repaired them.
        Selected items in quarantine are taken, if they pass now.
        """
        from stoker.project.verbs.readmitting import readmit
        from stoker.project.verbs.repaired_files import note_repairs
        from stoker.store.orders import verbs

        def again(store: "Store", chosen: Selection, actor: "Actor", *, dry_run: bool) -> "Changed":
            done = readmit(self._project, chosen, actor, dry_run=dry_run)
            if chosen.states != ("quarantined",):
                if not dry_run:
                    note_repairs(store, chosen)
                done.add(verbs.retry(store, chosen, actor, dry_run=dry_run))
            return done

        return self._change_tasks(again, keys, how, only="failed")

    def rerun(
        self,
        *keys: str,
        outdated: bool = False,
        missing: bool = False,
        **how: Unpack[TaskChange],
    ) -> "Changed":
        """Selected tasks are ready again and all that follow from them blocked.

        With `outdated`, only those that an older version of their step has done. With `missing`, only
        those of which `verify` found an output missing.
        """
        from stoker.store.ends.redo import Changed
        from stoker.store.orders import verbs, verifying

        if not missing:
            return self._change_tasks(verbs.rerun, keys, how, outdated=outdated)

        def again(store: "Store", chosen: Selection, actor: "Actor", *, dry_run: bool) -> "Changed":
            done = Changed()
            for some in verifying.with_missing(store, chosen):
                done.add(verbs.rerun(store, some, actor, outdated=outdated, dry_run=dry_run))
            return done

        return self._change_tasks(again, keys, how)

    def cancel(self, *keys: str, **how: Unpack[TaskChange]) -> "Changed":
        """Selected tasks are given up; running ones are stopped within seconds."""
        from stoker.store.orders import verbs

        return self._change_tasks(verbs.cancel, keys, how)

    def hold(self, *keys: str, **how: Unpack[TaskChange]) -> "Changed":
        """Selected tasks that have not begun will not be started until they are released."""
        from stoker.store.orders import verbs

        return self._change_tasks(verbs.hold, keys, how)

    def set_priority(self, *keys: str, priority: int, **how: Unpack[TaskChange]) -> "Changed":
        """The items of selected tasks come earlier or later from now on: those of higher priority first."""
        from stoker.store.orders.priorities import set_priority

        return self._change_tasks(set_priority, keys, how, priority=priority)

    def set_pool(
        self,
        name: str,
        slots: int | Sequence[str],
        *,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> "PoolChange | None":
        """The pool has so many slots from now on, or those named; None if it has them already."""
        from stoker.store.holdings.pools import set_slots

        return set_slots(
            self._project.store, name, slots, self._project.actor(reason), dry_run=dry_run
        )

    def release(self, *keys: str, **how: Unpack[TaskChange]) -> "Changed":
        """Selected held tasks go on."""
        from stoker.store.orders import verbs

        return self._change_tasks(verbs.release, keys, how, only="held")

    def prune(
        self,
        *keys: str,
        retention: "Retention | None" = None,
        older_than_s: float | None = None,
        **how: Unpack[Change],
    ) -> "Pruned":
        """Records older than `[retention]` of the file, or `retention`, allows are forgotten.

        With `older_than_s`, items that were done or cancelled so long ago. A selection that says
        more than a pipeline chooses items, and forgets nothing else. Results stay.
        """
        from stoker.model.retention import Retention
        from stoker.store.retention.prune import prune

        if older_than_s is not None:
            retention = Retention(items={"done": older_than_s, "cancelled": older_than_s})
        wanted = retention if retention is not None else self._project.settings.retention

        def forget(store: "Store", chosen: Selection, actor: "Actor", *, dry_run: bool) -> "Pruned":
            return prune(store, wanted, selection=chosen, actor=actor, dry_run=dry_run)

        return self._change(forget, keys, how)

    def _change_tasks(
        self,
        verb: "Callable[..., Changed]",
        keys: Sequence[str],
        how: TaskChange,
        **more: Any,
    ) -> "Changed":
        """Do what the verb does with the selection, or with what is listed of it, some at a time."""
        check_keywords(how, TaskChange)
        rest: Any = {**how}
        name, nul = rest.pop("from_file", None), rest.pop("nul", False)
        if name is None:
            return self._change(verb, keys, rest, **more)
        from stoker.project.verbs.key_lists import read_list
        from stoker.store.ends.redo import Changed

        def listed(store: "Store", chosen: Selection, actor: "Actor", **said: Any) -> "Changed":
            found = read_list(store, chosen, name=name, nul=nul)
            done = Changed(unknown=found.unknown_count, messages=found.unknown)
            for some in found.selections(chosen):
                done.add(verb(store, some, actor, **said))
            return done

        return self._change(listed, keys, rest, **more)

    def _change(
        self,
        verb: "Callable[..., Outcome]",
        keys: Sequence[str],
        how: Change,
        *,
        only: str | None = None,
        **more: Any,
    ) -> "Outcome":
        """Do what the verb does with the selection; `only` is the one state that it is about.

        To look at tasks in others would cost time.
        """
        check_keywords(how, Change)
        narrow: Any = {**how}
        selection, reason = narrow.pop("selection", None), narrow.pop("reason", None)
        dry_run = narrow.pop("dry_run", False)
        chosen = select(keys, selection, narrow)
        if only is not None and not chosen.states:
            chosen = replace(chosen, states=(only,))
        return verb(
            self._project.store, chosen, self._project.actor(reason), dry_run=dry_run, **more
        )
