"""`Project`: every verb of Stoker on one `stoker.toml`."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from stoker.errors import NotFound, SpecError
from stoker.model.pipeline import Pipeline
from stoker.model.selection import Selection
from stoker.project.narrowing import Narrowing, select
from stoker.spec.load import Loaded, find_project, load_project
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from stoker.model.settings import Settings
    from stoker.project.adoption import Adopted
    from stoker.project.checkup import Finding
    from stoker.project.rehearsal import Rehearsal
    from stoker.project.running import OnEvent, RunSummary
    from stoker.store.attempts import StoredStream
    from stoker.store.connect import Store
    from stoker.store.control import Changed
    from stoker.store.pools import PoolChange
    from stoker.store.prune import Pruned
    from stoker.store.register import Registered
    from stoker.store.rows import (
        AttemptRow,
        FailureRow,
        ItemRow,
        Rows,
        SlotRow,
        Status,
        Story,
        TaskRow,
        Why,
        WorkerRow,
    )
    from stoker.store.versions import VersionChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What taking over the file changed: versions of pipelines, and pools."""

    versions: tuple["VersionChange", ...]
    pools: tuple["PoolChange", ...]

    @property
    def is_nothing(self) -> bool:
        """Whether the store had all of it already."""
        return not self.pools and not any(change.is_new for change in self.versions)


OnApply = Callable[[Applied], None]


class Project:
    """A project: its file as it was when opened, and its store, opened when first needed.

    Verbs that read and change take keys or globs and the keywords of `Narrowing`, or a `Selection`.
    Threads may share a project.
    """

    def __init__(self, file: Path, loaded: Loaded) -> None:
        self.file = file
        self.loaded = loaded
        self._store: Store | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"Project({str(self.file)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def settings(self) -> "Settings":
        """What the file says outside its pipelines."""
        return self.loaded.settings

    @property
    def pipelines(self) -> Mapping[str, Pipeline]:
        """The pipelines of the file that have no problem."""
        return self.loaded.pipelines

    @property
    def store(self) -> "Store":
        """The store; NotFound if nothing has been pushed or run here yet."""
        return self._open(create=False)

    def close(self) -> None:
        """Close the store. The project can be used again; it opens the store anew."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _open(self, *, create: bool) -> "Store":
        from stoker.store.connect import open_store

        with self._lock:
            if self._store is None:
                url, name = self.settings.store_url, self.settings.name
                self._store = open_store(url, site_name=name, create=create)
            return self._store

    def pipeline(self, name: str) -> Pipeline:
        """Return the file's pipeline of that name; SpecError if it is broken, NotFound if absent."""
        if name in self.loaded.pipelines:
            return self.loaded.pipelines[name]
        if name in self.loaded.broken:
            problems = self.loaded.broken[name]
            raise SpecError(f"pipeline `{name}` cannot be used until this is put right:", problems)
        hint = suggest(name, self.loaded.pipelines) or "`stoker.toml` declares none"
        raise NotFound(f"`{self.file.name}` has no pipeline `{name}`; {hint}")

    # ------------------------------------------------------------------------------ taking things in

    def apply(
        self, *pipelines: str, take_over: bool = True, dry_run: bool = False
    ) -> Applied:
        """The store has the file's pipelines (or those named) and pools, and tasks for them.

        Without `take_over`, VersionConflict where somebody else set a pipeline last.
        """
        from stoker.store.pools import set_pools
        from stoker.store.versions import apply_version

        store = self._open(create=True)
        chosen = [self.pipeline(name) for name in pipelines or self.loaded.pipelines]
        versions = tuple(
            apply_version(
                store,
                pipeline,
                host=store.host,
                path=str(self.file),
                take_over=take_over,
                dry_run=dry_run,
            )
            for pipeline in chosen
        )
        pools = set_pools(store, self.settings.pools, dry_run=dry_run)
        return Applied(versions=versions, pools=tuple(pools))

    def follow_file(self, *pipelines: str, on_apply: OnApply | None = None) -> Applied:
        """As `apply`, but only what this host and path set last; `on_apply` hears of it before."""
        change = self.apply(*pipelines, take_over=False, dry_run=True)
        if change.is_nothing:
            return change
        if on_apply is not None:
            on_apply(change)
        return self.apply(*pipelines, take_over=False)

    def push(
        self,
        pipeline: str,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        from_file: str | None = None,
        nul: bool = False,
        table: str | None = None,
        params: Mapping[str, object] | None = None,
        priority: int = 0,
        dry_run: bool = False,
        on_apply: OnApply | None = None,
    ) -> "Registered":
        """Paths (for records: their texts), lists and tables are registered; twice registers once."""
        from stoker.project.pushing import push

        spec = self.pipeline(pipeline)
        self.follow_file(pipeline, on_apply=on_apply)
        return push(
            self._open(create=True),
            spec,
            [os.fspath(path) for path in paths],
            project_folder=self.settings.folder,
            from_file=from_file,
            nul=nul,
            table=table,
            given=params,
            priority=priority,
            dry_run=dry_run,
        )

    def adopt(
        self,
        pipeline: str,
        *keys: str,
        selection: Selection | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Adopted":
        """Tasks whose outputs all lie where they belong are done, by an attempt of kind `adopted`."""
        from stoker.project.adoption import adopt

        self.follow_file(pipeline)
        chosen = replace(select(keys, selection, narrow), pipeline=pipeline)
        return adopt(self.store, chosen, reason=reason, dry_run=dry_run)

    # -------------------------------------------------------------------------------------- working

    def run(
        self,
        pipeline: str | None = None,
        paths: Sequence[str | os.PathLike[str]] = (),
        *,
        slots: int | None = None,
        on_event: "OnEvent | None" = None,
        on_apply: OnApply | None = None,
        on_push: "Callable[[Registered], None] | None" = None,
    ) -> "RunSummary":
        """Push the paths, if any, then work until nothing is ready, running or in back-off."""
        from stoker.project.running import work_off

        self.follow_file(*([pipeline] if pipeline is not None else []), on_apply=on_apply)
        if pipeline is not None and paths:
            pushed = self.push(pipeline, paths)
            if on_push is not None:
                on_push(pushed)
        return work_off(
            self._open(create=True),
            self.settings,
            pipeline=pipeline,
            slots=slots,
            on_event=on_event,
        )

    # -------------------------------------------------------------------------------------- reading

    def status(self, *, pipeline: str | None = None) -> "Status":
        """Return how many items and tasks stand where, pools and workers."""
        from stoker.store import reports

        return reports.status(self.store, pipeline=pipeline)

    def each_item(self, selection: Selection) -> Iterator["ItemRow"]:
        """Yield the selected items one by one; for millions."""
        from stoker.store import reports

        return reports.items(self.store, selection)

    def each_task(self, selection: Selection) -> Iterator["TaskRow"]:
        """Yield the selected tasks one by one."""
        from stoker.store import reports

        return reports.tasks(self.store, selection)

    def each_attempt(self, selection: Selection) -> Iterator["AttemptRow"]:
        """Yield the attempts of the selected tasks one by one, oldest first."""
        from stoker.store import attempts

        return attempts.attempts(self.store, selection)

    def items(
        self, *keys: str, selection: Selection | None = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[ItemRow]":
        """Return the selected items."""
        from stoker.store.rows import Rows

        return Rows(self.each_item(select(keys, selection, narrow)))

    def tasks(
        self, *keys: str, selection: Selection | None = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[TaskRow]":
        """Return the selected tasks."""
        from stoker.store.rows import Rows

        return Rows(self.each_task(select(keys, selection, narrow)))

    def attempts(
        self, *keys: str, selection: Selection | None = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[AttemptRow]":
        """Return the attempts of the selected tasks, oldest first."""
        from stoker.store.rows import Rows

        return Rows(self.each_attempt(select(keys, selection, narrow)))

    def failures(
        self, *keys: str, selection: Selection | None = None, **narrow: Unpack[Narrowing]
    ) -> "Rows[FailureRow]":
        """Return the failed tasks grouped by step and cause, most frequent first."""
        from stoker.store.failures import failures
        from stoker.store.rows import Rows

        return Rows(failures(self.store, select(keys, selection, narrow)))

    def show(self, key: str, *, pipeline: str | None = None) -> "Story":
        """Return the whole story of an item."""
        from stoker.store.story import story

        return story(self.store, key, pipeline=pipeline)

    def why(self, key: str, step: str | None = None, *, pipeline: str | None = None) -> "Why":
        """Return the one reason why the item's task is not running."""
        from stoker.store.reasons import why

        return why(self.store, key, step, pipeline=pipeline)

    def attempt(self, name: str) -> "AttemptRow":
        """Return the attempt of that id, or of the only one that begins so."""
        from stoker.store.attempts import attempt_by_id

        return attempt_by_id(self.store, name)

    def streams(self, attempt: str) -> "Mapping[str, StoredStream]":
        """Return what is kept of an attempt's `stdout` and `stderr`."""
        from stoker.store.attempts import streams_of

        return streams_of(self.store, attempt)

    def which(self, path: str | os.PathLike[str]) -> "AttemptRow":
        """Return the attempt that made the file; NotFound if none did."""
        from stoker.store.attempts import maker_of

        return maker_of(self.store, os.fspath(path))

    def rehearse(
        self,
        key: str,
        step: str,
        *,
        scratch: str,
        pipeline: str | None = None,
        attempt: str | None = None,
    ) -> "Rehearsal":
        """Return what it takes to do a task by hand in `scratch`: as an attempt of it was given
        it, or as one would be given it now."""
        from stoker.project.rehearsal import rehearse
        from stoker.store import attempts, repeat

        if attempt is None:
            claimed, spec = repeat.as_claimed(self.store, key, step, pipeline=pipeline)
        else:
            found = attempts.attempt_by_id(self.store, attempt)
            claimed, spec = repeat.as_attempted(self.store, found)
        return rehearse(self.settings, spec, claimed, scratch=scratch)

    def workers(self, *, everyone: bool = False) -> "Rows[WorkerRow]":
        """Return the workers that are alive, or all that ever were."""
        from stoker.store import reports
        from stoker.store.rows import Rows

        return Rows(reports.workers(self.store, everyone=everyone))

    def slots(self, *, pool: str | None = None) -> "Rows[SlotRow]":
        """Return the slots of the pools, with who holds them."""
        from stoker.store import pools
        from stoker.store.rows import Rows

        return Rows(pools.slots(self.store, pool=pool))

    def doctor(self) -> "list[Finding]":
        """Return what was found on checking this installation."""
        from stoker.project.checkup import check_up

        return check_up(self)

    def take_over_store(self) -> str:
        """The store, moved here from another host for good, is this host's; return its name."""
        from stoker.store.integrity import take_over

        return take_over(self.settings.store_url)

    # ------------------------------------------------------------------------------------- changing

    def retry(
        self,
        *keys: str,
        selection: Selection | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected failed tasks are ready again, with a fresh allowance of retries."""
        from stoker.store import control

        chosen = select(keys, selection, narrow)
        return control.retry(self.store, chosen, _who(reason), dry_run=dry_run)

    def rerun(
        self,
        *keys: str,
        selection: Selection | None = None,
        outdated: bool = False,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected tasks are ready again and all that follow from them blocked."""
        from stoker.store import control

        chosen = select(keys, selection, narrow)
        who = _who(reason)
        return control.rerun(self.store, chosen, who, outdated=outdated, dry_run=dry_run)

    def cancel(
        self,
        *keys: str,
        selection: Selection | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected tasks are given up; running ones are stopped within seconds."""
        from stoker.store import control

        chosen = select(keys, selection, narrow)
        return control.cancel(self.store, chosen, _who(reason), dry_run=dry_run)

    def hold(
        self,
        *keys: str,
        selection: Selection | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected tasks that have not begun will not be started until they are released."""
        from stoker.store import control

        chosen = select(keys, selection, narrow)
        return control.hold(self.store, chosen, _who(reason), dry_run=dry_run)

    def release(
        self,
        *keys: str,
        selection: Selection | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected held tasks go on."""
        from stoker.store import control

        chosen = select(keys, selection, narrow)
        return control.release(self.store, chosen, _who(reason), dry_run=dry_run)

    def prune(
        self, *, older_than_s: float, pipeline: str | None = None, dry_run: bool = False
    ) -> "Pruned":
        """Items that were done or cancelled so long ago are forgotten; their results stay."""
        from stoker.store.prune import prune

        return prune(self.store, older_than_s=older_than_s, pipeline=pipeline, dry_run=dry_run)


def open_project(path: str | os.PathLike[str] | None = None) -> Project:
    """Return the project at `path`, a folder or its `stoker.toml`.

    Without `path`: what `STOKER_PROJECT` names, else the nearest `stoker.toml` upwards from here.
    """
    named = os.fspath(path) if path is not None else os.environ.get("STOKER_PROJECT")
    if named:
        file = Path(os.path.abspath(named))
        if file.is_dir():
            file /= "stoker.toml"
        if not file.is_file():
            raise NotFound(f"there is no project at `{named}`; `stoker init` makes one")
    else:
        file = find_project(Path.cwd())
    return Project(file, load_project(file))


def _who(reason: str | None) -> "Who":
    from stoker.store.control import Who
    from stoker.store.register import user

    return Who(user(), reason)


if TYPE_CHECKING:
    from stoker.store.control import Who
