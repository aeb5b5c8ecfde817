"""The journal of a project, as people read it."""

from typing import TYPE_CHECKING

from stoker.project.parts import Part

if TYPE_CHECKING:
    from stoker.store.reports.journal_list import Wanted
    from stoker.store.story_rows import JournalPage

LIMIT = 100  # rows of one page


class Record(Part):
    """What happened: `project.record.page()`."""

    def page(
        self,
        *,
        before: int | None = None,
        limit: int = LIMIT,
        only_people: bool = False,
        with_access: bool = False,
        wanted: "Wanted | None" = None,
    ) -> "JournalPage":
        """Return at most `limit` rows of the journal, newest first, before the row of that id.

        With `only_people`, those that say who did it; with `with_access`, users' and tokens' too; of
        these, the `wanted` ones.
        """
        from stoker.store.reports.journal_list import Wanted, journal_page

        return journal_page(
            self._project.store,
            before=before,
            limit=limit,
            only_people=only_people,
            with_access=with_access,
            wanted=wanted or Wanted(),
        )
