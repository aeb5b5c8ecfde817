"""`project.sites`: the verbs on outposts, where steps run and no store is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.errors import NotFound, StokerError, Unavailable
from stoker.model.encoding import Answer
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from stoker.outpost.visit import Visit
    from stoker.outpost.visited import Visited
    from stoker.project.opened import Opened
    from stoker.store.outposts.entries import Entry
    from stoker.store.site_rows import SiteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAnswer(Answer):
    """What a verb did to a site; `lost` counts the attempts that were out there."""

    site: str
    changed: bool
    lost: int = 0
    dry_run: bool = False


def _told(visit: "Visit", done: "Visited") -> Mapping[str, object]:
    told = {
        "waiting": done.waiting,
        "bad": done.bad,
        "orphans": done.orphans,
        "free_bytes": done.free_bytes,
    }
    return told | visit.pilots | {"todo": visit.todo, "system_trouble": visit.system_trouble}


class Sites:
    """The outposts of a project: reading, visiting, and what a person can do about them."""

    def __init__(self, project: "Opened") -> None:
        self._project = project
        self._under_way: set[Visit] = set()
        self._is_over = False  # visits were broken off, which says nothing of the sites

    def status(self) -> "Mapping[str, SiteStatus]":
        """Return how each outpost stands, by name."""
        from stoker.store.outposts.listed import site_status

        with self._project.store.reading() as unit:
            return site_status(unit)

    def show(self, name: str) -> "SiteStatus":
        """Return how one outpost stands; NotFound if there is none of that name."""
        found = self.status()
        if name not in found:
            hint = suggest(name, found) or "`[sites.NAME]` in `stoker.toml` declares them"
            raise NotFound(f"there is no site `{name}`; {hint}")
        return found[name]

    def take_over(self) -> None:
        """The store has the outposts of the file."""
        from stoker.store.outposts.entries import set_entries

        project = self._project
        set_entries(
            project.store,
            (*project.settings.sites, *project.settings.farms),
            file=str(project.file),
        )

    def intervals(self) -> Mapping[str, float]:
        """Return how often each outpost is visited, in seconds; of removed ones, while any is out."""
        from stoker.store.outposts.entries import entries
        from stoker.store.outposts.listed import site_status

        with self._project.store.reading() as unit:
            known = {one.name: one.outpost.every_s for one in entries(unit, everything=True)}
            return {name: known[name] for name in site_status(unit)}

    def visit(self, name: str, *, slots: int | None = None, dry_run: bool = False) -> "Visited":
        """Results come in from the outpost, and new work goes out; return what was done.

        Unavailable if it does not answer, or another visit is under way; Refused if it serves another
        store. The store knows of either; what was recorded until then stays.
        """
        from stoker.outpost.ground import UnderWay
        from stoker.outpost.visit import Visit
        from stoker.store.ends.reap import promote_all_due
        from stoker.store.outposts import entries

        store = self._project.store
        entry = self._entry(name)
        promote_all_due(store)
        visit = Visit(
            store,
            entry.outpost,
            place=entry.place,
            is_held=entry.held_by is not None or entry.is_removed,
            slots=slots,
            resumes=entry.told.get("resumes") is True,
            dry_run=dry_run,
        )
        self._under_way.add(visit)
        try:
            done = visit.run()
        except StokerError as error:
            if not (isinstance(error, UnderWay) or self._is_over):
                entries.note_visit(store, name, trouble=str(error))
            raise
        except OSError as error:
            entries.note_visit(store, name, trouble=str(error))
            raise Unavailable(f"`{name}` cannot be visited: {error}") from error
        finally:
            self._under_way.discard(visit)
        if not dry_run:
            entries.note_visit(store, name, trouble=None, told=_told(visit, done))
        return done

    def break_off(self) -> None:
        """Visits that are under way end soon; the next ones go on. From any thread."""
        self._is_over = True
        for visit in list(self._under_way):
            visit.break_off()

    def _entry(self, name: str) -> "Entry":
        from stoker.store.outposts.entries import entries

        with self._project.store.reading() as unit:
            found = {one.name: one for one in entries(unit, everything=True)}
        if name not in found:
            hint = suggest(name, found) or "`[sites.NAME]` in `stoker.toml` declares them"
            raise NotFound(f"there is no site `{name}`; {hint}")
        return found[name]

    # ------------------------------------------------------------------------------------- changing

    def hold(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> SiteAnswer:
        """Nothing new goes there until it is released; what is there comes back."""
        from stoker.store.outposts import entries

        actor = self._project.actor(reason)
        changed = entries.hold(self._project.store, name, actor, dry_run=dry_run)
        return SiteAnswer(site=name, changed=changed, dry_run=dry_run)

    def release(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> SiteAnswer:
        """Work goes there again."""
        from stoker.store.outposts import entries

        actor = self._project.actor(reason)
        changed = entries.release(self._project.store, name, actor, dry_run=dry_run)
        return SiteAnswer(site=name, changed=changed, dry_run=dry_run)

    def drop(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> SiteAnswer:
        """What is out there is lost, and ready again; nothing new goes there until it is released."""
        from stoker.store.ends.reap import reap
        from stoker.store.outposts import entries

        actor = self._project.actor(reason)
        lost = entries.drop(self._project.store, name, actor, dry_run=dry_run)
        if not dry_run:
            reap(self._project.store)
        return SiteAnswer(site=name, changed=True, lost=lost, dry_run=dry_run)
