"""`Project`: every verb of Stoker on one `stoker.toml`."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from stoker.errors import NotFound, UserError
from stoker.project.changing import Changing
from stoker.project.keeping import Keeping
from stoker.project.narrowing import Narrowing, StepNarrowing, select
from stoker.project.reading import Reading

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.model.push_request import PushRequest
    from stoker.model.selection import Selection
    from stoker.project.adoption import Adopted
    from stoker.project.foreseeing import Foreseen
    from stoker.project.running import OnEvent, RunSummary
    from stoker.store.arrivals.counts import Registered
    from stoker.store.holdings.pools import PoolChange
    from stoker.store.orders.versions import VersionChange
    from stoker.store.unit import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What taking over the file changed: versions of pipelines, and settings for all workers."""

    versions: tuple["VersionChange", ...]
    pools: tuple["PoolChange", ...]
    shares: bool = False
    terms: tuple[str, ...] = ()  # which of `secrets` and `retention`

    @property
    def is_nothing(self) -> bool:
        """Whether the store had all of it already."""
        is_new = any(change.is_new for change in self.versions)
        return not (self.pools or self.shares or self.terms or is_new)


OnApply = Callable[[Applied], None]
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]  # one, or several
FOLD_LIMIT_S = 30.0  # after a push, so that the next `status` is quick


class Project(Reading, Changing, Keeping):
    """A project: every verb on its file and its store.

    Verbs that read and change take keys or globs and the keywords of `Narrowing`, or a `Selection`.
    Threads may share a project.
    """

    # ------------------------------------------------------------------------------ taking things in

    def apply(
        self,
        *pipelines: str,
        take_over: bool = True,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """The store has the file's pipelines (or those named) and pools, and tasks for them.

        Without `take_over`, VersionConflict where somebody else set a pipeline last.
        """
        chosen = [self.pipeline(name) for name in pipelines or self.loaded.pipelines]
        if not dry_run:
            store = self.open_store(create=True)
            return self._apply(store, chosen, take_over=take_over, reason=reason)
        from stoker.project.trial import passing_store, store_if_there

        known = store_if_there(self)
        with passing_store() if known is None else nullcontext(known) as trial:
            return self._apply(trial, chosen, take_over=take_over, dry_run=True)

    def foresee(self, change: Applied) -> "list[Foreseen]":
        """Return the steps of which outputs could not be published once the change is made."""
        from stoker.project.foreseeing import foresee
        from stoker.project.trial import store_if_there

        store = store_if_there(self)
        if store is None:
            return []
        return [
            found
            for one in change.versions
            for found in foresee(store, self.pipeline(one.pipeline), one)
        ]

    def _apply(
        self,
        store: "Store",
        chosen: "Sequence[Pipeline]",
        *,
        take_over: bool,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        from stoker.store.database.copied import refuse_copy
        from stoker.store.holdings.pools import set_pools, set_shares
        from stoker.store.orders.attempt_terms import set_terms
        from stoker.store.orders.versions import apply_version

        refuse_copy(store, str(self.file.parent))
        terms = set_terms(  # first: no step of a new version may see what is a secret from now on
            store,
            secrets=self.settings.secrets,
            retention=self.settings.retention,
            set_by=f"{store.host}:{self.file}",
            take_over=take_over,
            dry_run=dry_run,
        )
        versions = tuple(
            apply_version(
                store,
                pipeline,
                host=store.host,
                path=str(self.file),
                actor=self.actor(reason),
                take_over=take_over,
                dry_run=dry_run,
            )
            for pipeline in chosen
        )
        pools = set_pools(store, self.settings.pools, dry_run=dry_run)
        shares = set_shares(store, self.settings.shares, dry_run=dry_run)
        return Applied(versions=versions, pools=tuple(pools), shares=shares, terms=terms)

    def follow_file(
        self,
        *pipelines: str,
        on_apply: OnApply | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `apply`, but only what this host and path set last; `on_apply` hears of it before."""
        change = self.apply(*pipelines, take_over=False, dry_run=True)
        if change.is_nothing:
            if not dry_run:
                self._settle()
            return change
        if on_apply is not None:
            on_apply(change)
        if dry_run:
            return change
        return self.apply(*pipelines, take_over=False, reason=reason)

    def _settle(self) -> None:
        """Go on with what a command that was cut short has left to do for a new version."""
        from stoker.project.trial import store_if_there
        from stoker.store.orders.new_version import settle

        store = store_if_there(self)
        if store is not None:
            settle(store)

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
        on_apply: OnApply | None = None,
    ) -> "Registered":
        """Paths (for records: their texts), lists and tables are registered; twice registers once.

        `paths` may be a single one.
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
        )
        return self.push_request(request, on_apply=on_apply)

    def push_request(
        self, request: "PushRequest", *, on_apply: OnApply | None = None
    ) -> "Registered":
        """What is asked for is registered, as `push` does it."""
        from stoker.project.pushing import push
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
        from stoker.project.trial import knows, passing_store, store_if_there

        store = store_if_there(self)
        if store is not None and knows(store, spec.name):
            return nullcontext(store)
        return passing_store(spec)

    def adopt(
        self,
        pipeline: str,
        *keys: str,
        selection: "Selection | None" = None,
        reason: str | None = None,
        dry_run: bool = False,
        on_apply: OnApply | None = None,
        **narrow: Unpack[StepNarrowing],
    ) -> "Adopted":
        """Tasks whose outputs all lie where they belong are done, by an attempt of kind `adopted`."""
        from stoker.project.adoption import adopt

        spec = self.pipeline(pipeline)
        self.follow_file(pipeline, on_apply=on_apply, reason=reason, dry_run=dry_run)
        chosen = select(keys, selection, Narrowing(pipeline=None, **narrow))
        chosen = replace(chosen, pipeline=pipeline)
        return adopt(self.store, spec, chosen, self.actor(reason), dry_run=dry_run)

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
    ) -> "RunSummary":
        """Register, then work until nothing is ready, running or in back-off.

        Registered are the paths, or without paths what the pipelines' sources hold now; where one has
        no room for all of it, the rest once there is.
        """
        from stoker.project.running import work_off_in_turns
        from stoker.project.sources import write_progress

        named = [pipeline] if pipeline is not None else []
        self.follow_file(*named, on_apply=on_apply, reason=reason)
        if pipeline is not None and paths:
            pushed = [self.push(pipeline, paths, reason=reason)]
        else:
            pushed = self.take_sources(*named, reason=reason, on_wait=on_wait)
        store = self.open_store(create=True)
        done = work_off_in_turns(
            store,
            self.settings,
            pushed,
            lambda: self.take_sources(*named, reason=reason, on_wait=on_wait),
            pipeline=pipeline,
            slots=slots,
            on_event=on_event,
            on_push=on_push or (lambda _done: None),
        )
        for name in named or sorted(self.pipelines):
            write_progress(store, self.pipeline(name), self.actor())
        return done

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
        from stoker.spec.load import find_project

        file = find_project(Path.cwd())
    check_name(file)
    project = Project(file)
    if is_checked:
        project.loaded  # noqa: B018 - reads the file, and raises where it cannot be used
    return project


def check_name(file: Path) -> None:
    """Raise UserError for a project that lies where no database can name it."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the project's path `{file}` has bytes that are no UTF-8, and the store could not be "
            "opened there; rename the folder (the names of data files may be anything)"
        ) from None


def _several(paths: Paths) -> Sequence[str | os.PathLike[str]]:
    """Return a list of paths; a text is one of them, never a row of letters."""
    return [paths] if isinstance(paths, str | os.PathLike) else paths
