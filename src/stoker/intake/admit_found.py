"""What a source finds, let in by the pipeline's rules: for sources that only know names of files."""

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from stoker.intake.admission import Admission
from stoker.intake.sources.source import Find, Over, Source
from stoker.model.item import NewItem
from stoker.store.arrivals.sources import find_source, fingerprints

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.store.unit import Store

AT_ONCE = 200  # items that the store is asked for


class AdmittedSource:
    """A source whose new items are checked and read; what is known as it is costs nothing again."""

    def __init__(self, store: "Store", pipeline: "Pipeline", source: Source) -> None:
        self.name = source.name
        self.kind = source.kind
        self.pending = 0
        self.pending_for_s: float | None = None
        self.trouble: str | None = None
        self._store = store
        self._pipeline = pipeline.name
        self._source = source
        self._admission = Admission(pipeline)

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield what the source finds, each new item admitted or with the reason why not."""
        row = find_source(self._store, self._pipeline, self.name, kind=self.kind)
        waiting: list[NewItem] = []
        finds = self._source.look(cursor)
        try:
            for find in finds:
                if isinstance(find, NewItem):
                    waiting.append(find)
                if len(waiting) >= AT_ONCE or not isinstance(find, NewItem):
                    yield from self._admit(waiting, row.pipeline_id)
                if not isinstance(find, NewItem):
                    yield find
            yield from self._admit(waiting, row.pipeline_id)
        finally:
            finds.close()
            self.pending = self._source.pending
            self.pending_for_s = self._source.pending_for_s
            self.trouble = self._source.trouble

    def rest(self, over: Over) -> None:
        """Rest as the source does."""
        self._source.rest(over)

    def close(self) -> None:
        """Let go of what the source holds, and of the process that reads headers."""
        self._source.close()
        self._admission.close()

    def _admit(self, waiting: list[NewItem], pipeline_id: int) -> Generator[NewItem]:
        known = fingerprints(self._store, pipeline_id, [item.key for item in waiting])
        for item in waiting:
            if item.reason is not None or known.get(item.key) != item.fingerprint:
                yield self._admission.admit(item) if item.reason is None else item
        waiting.clear()
