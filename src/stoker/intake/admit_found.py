"""What a source finds, let in by the pipeline's rules: for sources that only know names of files."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from stoker.intake.admission import Admission
from stoker.intake.sources.source import Find, Over, Source, Standing
from stoker.model.item import NewItem
from stoker.model.source import Rules
from stoker.store.arrivals.quarantine import taken_as
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
        self.standing = Standing()
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
            self.standing = self._source.standing

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


def admit_pushed(
    store: "Store", pipeline: "Pipeline", items: Iterable[NewItem]
) -> Generator[NewItem]:
    """Yield the items that a person names, each new one admitted or with the reason why not.

    What is known as it is comes as it is, and costs no look at its content.
    """
    if pipeline.extract is None and pipeline.rules == Rules():
        yield from items
        return
    admission = Admission(pipeline)
    try:
        for some in batched(items):
            known = taken_as(store, pipeline.name, [item.key for item in some])
            for item in some:
                is_known = item.key in known and known[item.key] == item.fingerprint
                yield item if is_known or item.reason is not None else admission.admit(item)
    finally:
        admission.close()


def batched(items: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    """Yield the items in groups of what the store is asked for at once."""
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some
