"""The verbs by which a person changes what is to be done."""

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from stoker.project.narrowing import Narrowing, select
from stoker.project.opened import Opened

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.store.control import Changed, Who
    from stoker.store.prune import Pruned


class Changing(Opened):
    """What a person can change. Every verb takes `dry_run`, and most a `reason` for the record."""

    def retry(
        self,
        *keys: str,
        selection: "Selection | None" = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected failed tasks are ready again, with a fresh allowance of retries."""
        from stoker.store import control

        chosen = _by_default(select(keys, selection, narrow), "failed")
        return control.retry(self.store, chosen, _who(reason), dry_run=dry_run)

    def rerun(
        self,
        *keys: str,
        selection: "Selection | None" = None,
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
        selection: "Selection | None" = None,
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
        selection: "Selection | None" = None,
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
        selection: "Selection | None" = None,
        reason: str | None = None,
        dry_run: bool = False,
        **narrow: Unpack[Narrowing],
    ) -> "Changed":
        """Selected held tasks go on."""
        from stoker.store import control

        chosen = _by_default(select(keys, selection, narrow), "held")
        return control.release(self.store, chosen, _who(reason), dry_run=dry_run)

    def prune(
        self, *, older_than_s: float, pipeline: str | None = None, dry_run: bool = False
    ) -> "Pruned":
        """Items that were done or cancelled so long ago are forgotten; their results stay."""
        from stoker.store.prune import prune

        return prune(self.store, older_than_s=older_than_s, pipeline=pipeline, dry_run=dry_run)


def _by_default(selection: "Selection", state: str) -> "Selection":
    """Return the selection narrowed to the one state that the verb is about: others cost time."""
    return selection if selection.states else replace(selection, states=(state,))


def _who(reason: str | None) -> "Who":
    from stoker.store.control import Who
    from stoker.store.register import user

    return Who(user(), reason)
