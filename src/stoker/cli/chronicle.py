"""What `up` reports while it serves: what was taken in, refused, and finished, each line with its time."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stoker.cli.render import plural
from stoker.errors import NotFound, StokerError
from stoker.work.threads import Companion

if TYPE_CHECKING:
    from stoker.project import Project
    from stoker.store.status_rows import PipelineStatus, Status

LOOK_S = 5.0
SHARE = 0.02  # of the time at most goes into looking
_LINES = 10  # of a source's trouble
_ENDS = ("done", "failed", "quarantined", "cancelled")


class Chronicle(Companion):
    """A thread that compares how all stands with how it stood, and says what is different.

    `say` gets each line. A store that does not answer is asked again; its worker reports that.
    """

    name = "chronicle"

    def __init__(self, project: "Project", say: Callable[[str], None]) -> None:
        super().__init__()
        self._project = project
        self._say = say
        self._before: Status | None = None
        self._is_new = False
        self._troubles: dict[tuple[str, str], str | None] = {}

    def _run(self) -> None:
        pause_s = 0.0
        while not self._over.wait(pause_s):
            began_s = time.thread_time()
            self.look()
            pause_s = max(LOOK_S, (time.thread_time() - began_s) / SHARE)
        self.look()

    def look(self) -> None:
        """Say what has happened since the last look; the first one says what is wrong already."""
        try:
            found = self._project.status()
        except NotFound:
            self._is_new = True  # there is no store yet: all that will be in it is news
            return
        except StokerError:
            return
        now = time.strftime("%H:%M:%S")
        before, self._before = self._before, found
        known = before.pipelines if before is not None else {} if self._is_new else found.pipelines
        for name, one in found.pipelines.items():
            if words := _news(known.get(name), one):
                self._say(f"{now} {name}: {words}")
        for source in found.sources:
            where = source.pipeline, source.source
            if source.trouble != self._troubles.get(where):
                for line in (source.trouble or "is all right again").splitlines()[:_LINES]:
                    self._say(f"{now} {source.pipeline}/{source.source}: {line}")
            self._troubles[where] = source.trouble


def _news(before: "PipelineStatus | None", now: "PipelineStatus") -> str:
    """Return what has become more since then, in words; nothing if nothing has."""
    then = before.items if before is not None else {}
    taken = sum(now.items.values()) - sum(then.values())
    parts = [f"{plural(taken, 'item')} taken"] if taken > 0 else []
    ended = [(word, now.items.get(word, 0) - then.get(word, 0)) for word in _ENDS]
    parts += [f"{n:,} {word}" for word, n in ended if n > 0]
    left = [f"{now.tasks[word]:,} {word}" for word in ("running", "ready") if now.tasks[word]]
    return ", ".join(parts) + (f" (tasks: {', '.join(left)})" if parts and left else "")
