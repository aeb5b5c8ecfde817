"""The verbs on versions of pipelines, as `project.history.versions`."""

import difflib
from typing import TYPE_CHECKING

from stoker.project.parts import Part

if TYPE_CHECKING:
    from stoker.project.verbs.applying import Applied
    from stoker.store.reports.version_list import VersionRow

LIMIT = 20  # versions of one page
LINES = 5_000  # of a definition that are compared


class Versions(Part):
    """What the store has taken over from files, and what the file says now."""

    def current(self) -> "list[VersionRow]":
        """Return the current version of each pipeline, by name."""
        from stoker.store.reports import version_list

        return version_list.current(self._project.store)

    def history(
        self, pipeline: str, *, before: int | None = None, limit: int = LIMIT
    ) -> "list[VersionRow]":
        """Return versions of a pipeline, newest first, before that number."""
        from stoker.store.reports import version_list

        return version_list.history(self._project.store, pipeline, before=before, limit=limit)

    def difference(self, pipeline: str, number: int) -> list[str]:
        """Return the lines by which a version differs from the one before it, as `diff -u` has them.

        All of the first version. NotFound if there is none of that number.
        """
        from stoker.store.reports.version_list import definition

        store = self._project.store
        after = definition(store, pipeline, number).splitlines()[:LINES]
        if number <= 1:
            return after
        before = definition(store, pipeline, number - 1).splitlines()[:LINES]
        return list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]

    def differences(self, limit: int = LIMIT) -> dict[str, list[str]]:
        """Return the lines by which pipelines of the file, as it is now, differ from the store's.

        As `diff -u` has them, of at most so many pipelines that the store has in another version.
        SpecError for the file's mistakes.
        """
        from stoker.spec import canon
        from stoker.store.reports import version_list

        store, found = self._project.store, dict[str, list[str]]()
        known = {row.pipeline: row.number for row in version_list.current(store)}
        fresh = type(self._project)(self._project.file)  # reads the file again
        try:
            pipelines = dict(fresh.pipelines)
        finally:
            fresh.close()
        for name, pipeline in sorted(pipelines.items()):
            if name not in known or len(found) == limit:
                continue
            before = version_list.definition(store, name, known[name]).splitlines()[:LINES]
            text = version_list.in_lines(canon.dump_pipeline(pipeline))
            lines = difflib.unified_diff(before, text.splitlines()[:LINES], lineterm="", n=3)
            if several := list(lines)[2:]:
                found[name] = several
        return found

    def in_file(self) -> "Applied":
        """Return what taking over the file, as it is now, would change. SpecError for its mistakes."""
        from stoker.project.verbs.applying import Applying

        fresh = type(self._project)(self._project.file)  # reads the file again
        try:
            return Applying(fresh).apply(dry_run=True)
        finally:
            fresh.close()
