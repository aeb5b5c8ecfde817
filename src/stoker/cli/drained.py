"""The last word of a service, each time that nothing is left: how busy the slots were."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stoker.cli.render import last_word

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.work.progress import Event

_OPEN = ("ready", "running", "blocked")


class Drained:
    """Follows a worker, and has the last word on what was done since the one before."""

    def __init__(self, project: "Project") -> None:
        self._project = project
        self._seen = datetime.now(UTC)  # the last look at which nothing was going on
        self._since: datetime | None = None
        self._ended = 0

    def look(self, event: "Event") -> str | None:
        """Return the last word if work has come to its end since the last look."""
        ended = event.done + event.failed + event.skipped + event.cancelled
        if event.running or ended != self._ended:
            self._since = self._since or self._seen
        self._ended = ended
        if event.running or self._since is None:
            self._seen = datetime.now(UTC)
            return None
        pipelines = self._project.status().pipelines.values()
        if any(one.tasks[word] for one in pipelines for word in _OPEN):
            return None
        busy = self._project.busy_since(self._since, while_worked=True)
        self._since, self._seen = None, datetime.now(UTC)
        if busy is None:
            return None
        return f"nothing is left; {last_word(busy.share, busy.worked_s, busy.equal_split_s)}"
