"""What `run` waits for when work is out at other sites: visits go on until it has come home."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from stoker.errors import Bug
from stoker.project.services.service import running
from stoker.project.services.visits import Visits
from stoker.store.outposts.listed import has_work_away

if TYPE_CHECKING:
    from stoker.store.unit import Store

EVERY_S = 5.0  # between visits, while somebody waits for what they bring
_LOOK_S = 0.5


class Away:
    """The sites of a run, visited while it lasts. Without sites it costs a look at the store."""

    def __init__(self, file: Path, store: "Store", *, on_trouble: Callable[[str], None]) -> None:
        self._store = store
        self._news = threading.Event()
        self._on_trouble = on_trouble
        self._told = ""
        self._failure: BaseException | None = None
        self._visits = Visits(file, store, every_s=EVERY_S, on_news=self._news.set)

    def visited(self) -> AbstractContextManager[None]:
        """In the block, visits are made, if there is any site to visit."""
        if not self._visits.has_sites():
            return nullcontext()
        return running([self._visits], on_failure=self._fail)

    def _fail(self, problem: BaseException) -> None:
        self._failure = problem
        self._news.set()

    def come_home(self) -> bool:
        """Wait until a visit has brought something; False if nothing was out, nor about to go there."""
        was_away = False
        while has_work_away(self._store):
            was_away = True
            if self._news.wait(_LOOK_S):
                self._news.clear()
                if self._failure is not None:
                    raise Bug(f"the visits have ended: {self._failure}") from self._failure
                return True
            trouble = self._visits.health() or ""
            if trouble and trouble != self._told:
                self._on_trouble(trouble)
            self._told = trouble
        return was_away
