"""Removing what clients submitted: items that are over, with their uploads and results.

What somebody else changed, or published elsewhere, stays. Cut short anywhere, the next call does the
rest: an item is forgotten last.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from stoker.errors import NotFound, StokerError, WrongState
from stoker.model.selection import Selection
from stoker.project.jobs.job_files import JobFiles
from stoker.project.jobs.uploads import Uploads
from stoker.project.verbs.reading import Reading

if TYPE_CHECKING:
    from stoker.project.opened import Opened

LOOK_AGAIN_S = 300.0  # between two looks for items that are due
STEP_S = 0.5  # of work at each tick of the janitor
ORPHAN_S = 86_400.0  # after which files that no item names are removed

_log = logging.getLogger(__name__)


def remove_job(project: "Opened", pipeline: str, key: str, *, reason: str) -> None:
    """The item is forgotten, and its uploads and results are gone.

    WrongState, with nothing removed, while a task of it runs or waits.
    """
    from stoker.store.orders import verbs
    from stoker.store.retention import submitted
    from stoker.work.removal import look

    story = Reading(project).show(key, pipeline=pipeline)
    if any(task.state in ("ready", "running", "held") for task in story.tasks):
        raise WrongState(f"`{key}` is not over yet; cancel it first")
    chosen = Selection(keys=(key,), pipeline=pipeline)
    verbs.cancel(project.store, chosen, project.actor(reason))  # what it failed before would do
    for path, content in submitted.published(project.store, pipeline, key):
        kept = look(path, content)()
        if kept is not None:
            _log.warning(
                "a result was changed since it was published, and stays",
                extra={"event": "result_kept", "path": kept, "item": key},
            )
    JobFiles(project.settings, project.store).remove(key)
    if not submitted.forget_item(project.store, pipeline, key):
        raise WrongState(f"`{key}` has begun again, and was not removed")


class Keeper:
    """Removes what clients submitted once `[pipelines.P.web] keep` is over, a little at each look."""

    def __init__(self, project: "Opened") -> None:
        self._project = project
        self._steps: Iterator[None] | None = None
        self._from_s = 0.0

    def look(self) -> None:
        """Go on for a moment with what is due; begin again after some minutes."""
        began_s = time.monotonic()
        if began_s < self._from_s:
            return
        if self._steps is None:
            self._steps = self.steps()
        for _ in self._steps:
            if time.monotonic() > began_s + STEP_S:
                return
        self._steps = None
        self._from_s = time.monotonic() + LOOK_AGAIN_S

    def steps(self) -> Iterator[None]:
        """Remove one item at each step, then files of jobs that were never registered, and uploads."""
        from stoker.store.reports.offered import offered
        from stoker.store.retention import submitted

        store = self._project.store
        for name, one in offered(store).items():
            keep_s = one.pipeline.web.keep_s
            if keep_s is None:
                continue
            for keys in submitted.due(store, name, keep_s):
                for key in keys:
                    self._remove(name, key)
                    yield
        yield from self._orphans()
        for _ in Uploads(self._project).sweep():
            yield

    def _remove(self, pipeline: str, key: str) -> None:
        with suppress(NotFound, WrongState):  # somebody was quicker, or asked for it again
            remove_job(self._project, pipeline, key, reason="kept long enough")

    def _orphans(self) -> Iterator[None]:
        """Remove old files of jobs that no item names: a process was killed before it registered."""
        files = JobFiles(self._project.settings, self._project.store)
        try:
            entries = [one for one in os.scandir(files.folder) if one.is_dir(follow_symlinks=False)]
        except OSError:
            return
        for entry in entries:
            try:
                if time.time() - entry.stat(follow_symlinks=False).st_mtime < ORPHAN_S:
                    continue
                if not Reading(self._project).items(entry.name):
                    files.remove(entry.name)
            except (OSError, StokerError):
                continue
            yield
