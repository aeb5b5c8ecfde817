"""`Project`: every verb of Stoker on one `stoker.toml`."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from stoker.errors import NotFound
from stoker.project.opened import Opened
from stoker.project.parts import Delegated
from stoker.project.project_path import check_name
from stoker.project.verbs.applying import Applying, OnApply
from stoker.project.verbs.changing import Changing
from stoker.project.verbs.narrowing import Narrowing, StepNarrowing, select
from stoker.project.verbs.reading import Reading
from stoker.project.verbs.store_care import Keeping

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.push_request import PushRequest
    from stoker.model.selection import Selection
    from stoker.project.jobs.verbs import Jobs
    from stoker.project.running import OnEvent, RunSummary
    from stoker.project.services.notifying import Notifying
    from stoker.project.value_tables.verbs import Values
    from stoker.project.verbs.access import Access
    from stoker.project.verbs.adoption import Adopted
    from stoker.project.verbs.batch import Batch
    from stoker.project.verbs.groups import GroupVerbs
    from stoker.project.verbs.history import History
    from stoker.project.verbs.journal import Record
    from stoker.project.verbs.sites import Sites
    from stoker.project.verbs.verifying import Verify
    from stoker.project.verbs.volumes import Volumes
    from stoker.store.arrivals.counts import Registered
    from stoker.store.unit import Store


Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]  # one, or several
FOLD_LIMIT_S = 30.0  # after a push, so that the next `status` is quick


class Project(Opened):
    """A project: every verb on its file and its store.

    Verbs that read and change take keys or globs and the keywords of `Narrowing`, or a `Selection`.
    Threads may share a project.
    """

    # -------------------------------------------------------------------------------------- reading

    status = Delegated(Reading, Reading.status)
    demand = Delegated(Reading, Reading.demand)
    each_item = Delegated(Reading, Reading.each_item)
    each_task = Delegated(Reading, Reading.each_task)
    each_attempt = Delegated(Reading, Reading.each_attempt)
    page_items = Delegated(Reading, Reading.page_items)
    page_tasks = Delegated(Reading, Reading.page_tasks)
    page_attempts = Delegated(Reading, Reading.page_attempts)
    items = Delegated(Reading, Reading.items)
    tasks = Delegated(Reading, Reading.tasks)
    attempts = Delegated(Reading, Reading.attempts)
    failures = Delegated(Reading, Reading.failures)
    show = Delegated(Reading, Reading.show)
    find_key = Delegated(Reading, Reading.find_key)
    search = Delegated(Reading, Reading.search)
    why = Delegated(Reading, Reading.why)
    attempt = Delegated(Reading, Reading.attempt)
    streams = Delegated(Reading, Reading.streams)
    which = Delegated(Reading, Reading.which)
    rehearse = Delegated(Reading, Reading.rehearse)
    plan = Delegated(Reading, Reading.plan)
    busy_since = Delegated(Reading, Reading.busy_since)
    task_counts = Delegated(Reading, Reading.task_counts)
    workers = Delegated(Reading, Reading.workers)
    slots = Delegated(Reading, Reading.slots)
    sharing = Delegated(Reading, Reading.sharing)
    doctor = Delegated(Reading, Reading.doctor)

    # ------------------------------------------------------------------------------------- changing

    retry = Delegated(Changing, Changing.retry)
    rerun = Delegated(Changing, Changing.rerun)
    cancel = Delegated(Changing, Changing.cancel)
    hold = Delegated(Changing, Changing.hold)
    set_pool = Delegated(Changing, Changing.set_pool)
    set_priority = Delegated(Changing, Changing.set_priority)
    release = Delegated(Changing, Changing.release)
    prune = Delegated(Changing, Changing.prune)

    # ----------------------------------------------------------------------------- the store itself

    create_store = Delegated(Keeping, Keeping.create_store)
    upgrade_store = Delegated(Keeping, Keeping.upgrade_store)
    check_store = Delegated(Keeping, Keeping.check_store)
    move_store = Delegated(Keeping, Keeping.move_store)
    back_up_store = Delegated(Keeping, Keeping.back_up_store)
    dump_command = Delegated(Keeping, Keeping.dump_command)
    restore_store = Delegated(Keeping, Keeping.restore_store)
    store_extent = Delegated(Keeping, Keeping.store_extent)

    @property
    def batch(self) -> "Batch":
        """The verbs on batch systems and their pilots."""
        from stoker.project.verbs.batch import Batch

        return Batch(self)

    @property
    def sites(self) -> "Sites":
        """The verbs on other sites, where steps run."""
        from stoker.project.verbs.sites import Sites

        return Sites(self)

    @property
    def jobs(self) -> "Jobs":
        """The items that clients submit over HTTP, as jobs."""
        from stoker.project.jobs.verbs import Jobs

        return Jobs(self)

    @property
    def access(self) -> "Access":
        """The verbs on users and tokens."""
        from stoker.project.verbs.access import Access

        return Access(self)

    @property
    def record(self) -> "Record":
        """The journal: what happened, newest first."""
        from stoker.project.verbs.journal import Record

        return Record(self)

    @property
    def history(self) -> "History":
        """What hosts and steps did over time."""
        from stoker.project.verbs.history import History

        return History(self)

    @property
    def notify(self) -> "Notifying":
        """The entries of `[notify]`, and whether messages arrive."""
        from stoker.project.services.notifying import Notifying

        return Notifying(self)

    @property
    def verify(self) -> "Verify":
        """The verb that compares outputs with their records: `project.verify("run_*")`."""
        from stoker.project.verbs.verifying import Verify

        return Verify(self)

    @property
    def values(self) -> "Values":
        """What items' steps have left, as a table: `project.values("spikes")`."""
        from stoker.project.value_tables.verbs import Values

        return Values(self)

    # ------------------------------------------------------------------------------ taking things in

    apply = Delegated(Applying, Applying.apply)
    foresee = Delegated(Applying, Applying.foresee)
    follow_file = Delegated(Applying, Applying.follow_file)

    def push(
        self,
        pipeline: str,
        paths: Paths = (),
        *,
        from_file: str | None = None,
        nul: bool = False,
        table: str | None = None,
        params: Mapping[str, object] | None = None,
        priority: int | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        keeps_keys: bool = False,
        on_apply: OnApply | None = None,
    ) -> "Registered":
        """Paths (for records: their texts), lists and tables are registered; twice registers once.

        `paths` may be a single one. With `keeps_keys`, `Registered.keys` lists the registered ones.
        """
        from stoker.model.push_request import PushRequest

        request = PushRequest(
            pipeline=pipeline,
            paths=tuple(os.fspath(path) for path in _several(paths)),
            from_file=from_file,
            nul=nul,
            table=table,
            params=params or {},
            priority=priority,
            reason=reason,
            dry_run=dry_run,
            keeps_keys=keeps_keys,
        )
        return self.push_request(request, on_apply=on_apply)

    def push_request(
        self, request: "PushRequest", *, on_apply: OnApply | None = None
    ) -> "Registered":
        """What is asked for is registered, as `push` does it."""
        from stoker.project.verbs.pushing import push
        from stoker.store import journal_fold

        spec, dry_run, reason = self.pipeline(request.pipeline), request.dry_run, request.reason
        self.follow_file(request.pipeline, on_apply=on_apply, reason=reason, dry_run=dry_run)
        folder = self.settings.folder
        with self._store_to_push(spec, dry_run=dry_run) as store:
            done = push(store, spec, request, self.actor(reason), project_folder=folder)
            if not dry_run:
                journal_fold.fold(store, limit_s=FOLD_LIMIT_S)
        return done

    def _store_to_push(self, spec: "Pipeline", *, dry_run: bool) -> AbstractContextManager["Store"]:
        """Return the store; for a dry run one that knows the pipeline, with nothing made for good."""
        if not dry_run:
            return nullcontext(self.open_store(create=True))
        from stoker.project.plans.trial import knows, passing_store, store_if_there

        store = store_if_there(self)
        if store is not None and knows(store, spec.name):
            return nullcontext(store)
        return passing_store(spec)

    def adopt(
        self,
        pipeline: str,
        *keys: str,
        selection: "Selection | None" = None,
        from_file: str | None = None,
        nul: bool = False,
        without_outputs: bool = False,
        reason: str | None = None,
        dry_run: bool = False,
        on_apply: OnApply | None = None,
        **narrow: Unpack[StepNarrowing],
    ) -> "Adopted":
        """Tasks whose outputs all exist are done, by an attempt of kind `adopted`.

        With `without_outputs`, so are those of which no output exists. `from_file` is a list of keys
        or paths, which narrows the selection.
        """
        from stoker.project.verbs.adoption import adopt, adopt_listed

        spec = self.pipeline(pipeline)
        self.follow_file(pipeline, on_apply=on_apply, reason=reason, dry_run=dry_run)
        chosen = select(keys, selection, Narrowing(pipeline=None, **narrow))
        chosen = replace(chosen, pipeline=pipeline)
        what = (self.store, spec, chosen, self.actor(reason))
        if from_file is None:
            return adopt(*what, without_outputs=without_outputs, dry_run=dry_run)
        return adopt_listed(
            *what, name=from_file, nul=nul, without_outputs=without_outputs, dry_run=dry_run
        )

    # -------------------------------------------------------------------------------------- working

    def run(
        self,
        pipeline: str | None = None,
        paths: Paths = (),
        *,
        slots: int | None = None,
        reason: str | None = None,
        on_event: "OnEvent | None" = None,
        on_apply: OnApply | None = None,
        on_push: "Callable[[Registered], None] | None" = None,
        on_wait: "Callable[[int, float], None] | None" = None,
        on_trouble: "Callable[[str], None] | None" = None,
    ) -> "RunSummary":
        """Register, then work until nothing is ready, running or in back-off, here or elsewhere.

        Registered are the paths, or without paths what the pipelines' sources hold now; where one has
        no room for all of it, the rest once there is. Then come groups that are complete, until there
        are no more.
        """
        from stoker.project.afterwards import begin, finish
        from stoker.project.away import Away
        from stoker.project.running import Turns, work_off_in_turns
        from stoker.project.sources import last_groups

        named = [pipeline] if pipeline is not None else []
        self.follow_file(*named, on_apply=on_apply, reason=reason)
        if pipeline is not None and paths:
            pushed = [self.push(pipeline, paths, reason=reason)]
        else:
            pushed = self.take_sources(*named, reason=reason, on_wait=on_wait)
        store = self.open_store(create=True)
        begin(self, store)
        turns = Turns(
            pushed,
            lambda: self.take_sources(*named, reason=reason, on_wait=on_wait),
            last_groups(
                store,
                [self.pipeline(name) for name in named or sorted(self.pipelines)],
                self.actor(),
                on_wait=on_wait,
            ),
            on_push or (lambda _done: None),
        )
        away = Away(self.file, store, on_trouble=on_trouble or (lambda _text: None))
        done = work_off_in_turns(
            store,
            self.settings,
            turns,
            pipeline=pipeline,
            slots=slots,
            on_event=on_event,
            away=away,
        )
        finish(self, store, named, was_interrupted=done.was_interrupted)
        return done

    @cached_property
    def groups(self) -> "GroupVerbs":
        """The verbs on groups: `project.groups.list()`."""
        from stoker.project.verbs.groups import GroupVerbs

        return GroupVerbs(self)

    @property
    def volumes(self) -> "Volumes":
        """The verbs on archive volumes: `project.volumes.locate(["a/1"])`."""
        from stoker.project.verbs.volumes import Volumes

        return Volumes(self)

    def take_sources(
        self,
        *pipelines: str,
        reason: str | None = None,
        on_wait: "Callable[[int, float], None] | None" = None,
    ) -> "list[Registered]":
        """What the sources of these pipelines, or of all, hold now is registered.

        Return what changed anything. What was changed lately is waited for until it has settled;
        `on_wait` hears of how many and for how long.
        """
        from stoker.project.sources import take_sources

        store = self.open_store(create=True)
        taken = (
            take_sources(
                store,
                self.pipeline(name),
                self.actor(reason),
                project_folder=self.settings.folder,
                on_wait=on_wait,
            )
            for name in pipelines or sorted(self.pipelines)
        )
        return [one for one in taken if one is not None and one.is_news]

    def take_over_store(self) -> str:
        """The store, moved here from another host for good, is this host's; return its name."""
        from stoker.store.database.integrity import take_over

        return take_over(self.settings.store_url)


def open_project(path: str | os.PathLike[str] | None = None, *, is_checked: bool = True) -> Project:
    """Return the project at `path`, a folder or its `stoker.toml`.

    Without `path`: what `STOKER_PROJECT` names, else the nearest `stoker.toml` upwards from here.
    SpecError if the file cannot be used; with `is_checked` false only once it is needed.
    """
    named = os.fspath(path) if path is not None else os.environ.get("STOKER_PROJECT")
    if named:
        file = Path(os.path.abspath(named))
        if file.is_dir():
            file /= "stoker.toml"
        if not file.is_file():
            raise NotFound(f"there is no project at `{named}`; `stoker init` makes one")
    else:
        from stoker.spec.project_file import find_project

        file = find_project(Path.cwd())
    check_name(file)
    project = Project(file)
    if is_checked:
        project.loaded  # noqa: B018 - reads the file, and raises where it cannot be used
    return project


def _several(paths: Paths) -> Sequence[str | os.PathLike[str]]:
    """Return a list of paths; a text is one of them, never a row of letters."""
    return [paths] if isinstance(paths, str | os.PathLike) else paths
