"""The verbs that bring the file's pipelines and settings into the store (rule V)."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.project.parts import Part

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.project.plans.foreseeing import Foreseen
    from stoker.store.holdings.pools import PoolChange
    from stoker.store.orders.site_name import SiteRenamed
    from stoker.store.orders.versions import VersionChange
    from stoker.store.unit import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What taking over the file changed: versions of pipelines, and settings for all workers."""

    versions: tuple["VersionChange", ...]
    pools: tuple["PoolChange", ...]
    shares: bool = False
    terms: tuple[str, ...] = ()  # which of `secrets` and `retention`
    site: "SiteRenamed | None" = None

    @property
    def is_nothing(self) -> bool:
        """Whether the store had all of it already."""
        is_new = any(change.is_new for change in self.versions)
        return not (self.pools or self.shares or self.terms or self.site or is_new)


OnApply = Callable[[Applied], None]


class Applying(Part):
    """What the file says, taken over by the store."""

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
        chosen = [
            self._project.pipeline(name) for name in pipelines or self._project.loaded.pipelines
        ]
        if not dry_run:
            store = self._project.open_store(create=True)
            return self._apply(store, chosen, take_over=take_over, reason=reason)
        from stoker.project.plans.trial import passing_store, store_if_there

        known = store_if_there(self._project)
        site = self._project.settings.site
        with passing_store(site=site) if known is None else nullcontext(known) as trial:
            return self._apply(trial, chosen, take_over=take_over, dry_run=True)

    def foresee(self, change: Applied) -> "list[Foreseen]":
        """Return the steps of which outputs could not be published once the change is made."""
        from stoker.project.plans.foreseeing import foresee
        from stoker.project.plans.trial import store_if_there

        store = store_if_there(self._project)
        if store is None:
            return []
        return [
            found
            for one in change.versions
            for found in foresee(store, self._project.pipeline(one.pipeline), one)
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
        from stoker.store.orders.shared_settings import SharedSettings, set_settings
        from stoker.store.orders.site_name import name_site
        from stoker.store.orders.versions import apply_version

        refuse_copy(store, str(self._project.file.parent))
        own = self._project.settings
        how: dict[str, Any] = {"take_over": take_over, "dry_run": dry_run}
        how |= {
            "set_by": f"{store.host}:{self._project.file}",
            "actor": self._project.actor(reason),
        }
        site = name_site(store, own.site, **how) if own.site is not None else None
        shared = SharedSettings(
            pools=own.pools, shares=own.shares, secrets=own.secrets, retention=own.retention
        )
        outposts = (*own.sites, *own.farms)
        if outposts and not dry_run:
            from stoker.store.outposts.entries import set_entries

            set_entries(store, outposts, file=str(self._project.file))
        # First: no step of a new version may see what is a secret from now on.
        settings = set_settings(store, shared, **how)
        versions = tuple(
            apply_version(
                store,
                pipeline,
                host=store.host,
                path=str(self._project.file),
                actor=self._project.actor(reason),
                take_over=take_over,
                dry_run=dry_run,
                outposts={one.name for one in own.sites},
            )
            for pipeline in chosen
        )
        if not dry_run:
            self._take_over_batch()
        return Applied(
            versions=versions,
            pools=settings.pools,
            shares=settings.shares,
            terms=settings.terms,
            site=site,
        )

    def follow_file(
        self,
        *pipelines: str,
        on_apply: OnApply | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """As `apply`, but only what this host and path set last; `on_apply` hears of it before.

        Looks first at all of it: by reading alone where nothing is new, as nearly always, and so that
        a conflict in one pipeline leaves the others as they are too.
        """
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
        from stoker.project.plans.trial import store_if_there
        from stoker.store.orders.new_version import settle

        store = store_if_there(self._project)
        if store is not None:
            settle(store)
            self._take_over_batch()

    def _take_over_batch(self) -> None:
        """The store has the file's batch systems; those that it no longer has, a visit looks after."""
        if self._project.settings.batch:
            from stoker.project.verbs.batch import Batch

            Batch(self._project).take_over()
