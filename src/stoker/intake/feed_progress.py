"""Progress written back into the documents of a feed: how an item stands, and each of its steps.

What is written is how an item stands when it is written, not what happened: written twice it is the
same, and what was not written yet is caught up with. Only the fields `status` and, in `stoker`, the
pipeline's own are touched; everything else in a document is other people's.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.intake.couch import BackOff, Couch, FeedTrouble
from stoker.intake.feed_record import program_of, sendable, state_word, step_record, tails_of
from stoker.intake.sources.source import Find, Mark, Over, Standing
from stoker.model.pipeline import Pipeline
from stoker.model.source import Feed
from stoker.store.arrivals.source_rows import OF_PROGRESS
from stoker.store.reports.recent_changes import (
    ItemProgress,
    Place,
    progress_of,
    touched_since,
)

if TYPE_CHECKING:
    from stoker.store.unit import Store

STATUS, OWN = "status", "stoker"  # the fields of a document that we write
DOCUMENT, FEED = "document", "feed"  # in `meta`: the document's id, and which source it came from
AT_ONCE = 100  # documents
_ROUNDS = 20  # in which others may write to a document before we give up for now
_POLL_S = 1.0
_REST_S = 60.0


class Writer:
    """Writes how items stand into their documents."""

    def __init__(
        self, store: "Store", pipeline: Pipeline, source: str, feed: Feed, couch: Couch
    ) -> None:
        self._store = store
        self._pipeline = pipeline.name
        self._programs = {step.name: program_of(step) for step in pipeline.steps}
        self._source = source
        self._states = feed.states
        self._has_logs = feed.logs
        self._couch = couch
        self.refused: list[str] = []

    def write(self, keys: Sequence[str]) -> None:
        """The documents of those of these items that are known say how they stand.

        A document that is gone is left alone; one that the database refuses is named in `refused`.
        FeedTrouble if the database cannot be reached: some have been written then.
        """
        for at in range(0, len(keys), AT_ONCE):
            found = progress_of(self._store, self._pipeline, keys[at : at + AT_ONCE])
            own = {
                str(one.meta[DOCUMENT]): one
                for one in found
                if one.meta.get(FEED) == self._source and DOCUMENT in one.meta
            }
            if own:
                self._write_some(own)

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """The documents of these ids say why they cannot be items, though none is on record.

        FeedTrouble as `write` raises it.
        """
        wanted = [
            (name, ItemProgress(key=name, state="quarantined", reason=reason, meta={}, steps=()))
            for name, reason in reasons.items()
        ]
        for at in range(0, len(wanted), AT_ONCE):
            self._write_some(dict(wanted[at : at + AT_ONCE]))

    def _write_some(self, wanted: Mapping[str, ItemProgress]) -> None:
        left = list(wanted)
        for _ in range(_ROUNDS):
            merged = [
                new
                for name, document in self._couch.documents(left).items()
                if (new := self._merge(document, wanted[name])) != document
            ]
            if not merged:
                return
            failed = self._couch.write(merged)
            self.refused += [
                f"document `{name}`: the database refuses our progress: {reason}"
                for name, reason in failed.items()
                if reason != "conflict"
            ]
            left = [name for name, reason in failed.items() if reason == "conflict"]
        if left:
            raise FeedTrouble(f"others write to document `{left[0]}` all the time; it has to wait")

    def _merge(self, document: Mapping[str, Any], item: ItemProgress) -> dict[str, Any]:
        """Return the document with the item's progress in it, and nothing else changed."""
        others = _mapping(document.get(OWN))
        said: dict[str, Any] = {"state": item.state, "key": item.key}
        if item.reason:
            said["error"] = item.reason
        before = _mapping(_mapping(others.get(self._pipeline)).get("steps"))
        said["steps"] = {} if item.steps else dict(before)  # a document that is refused keeps them
        said["steps"] |= {
            step.step: step_record(
                step,
                self._programs.get(step.step),
                tails_of(self._store, step.attempt, _mapping(before.get(step.step)))
                if self._has_logs
                else None,
            )
            for step in item.steps
        }
        word = state_word(item, self._states)
        return {**document, STATUS: word, OWN: {**others, self._pipeline: sendable(said)}}


class FeedProgress:
    """Follows the journal, and writes its events into the documents of one feed.

    A source that yields no items, only places in the journal: what was before is written.
    """

    kind = "progress"

    def __init__(self, store: "Store", pipeline: Pipeline, name: str, feed: Feed) -> None:
        self.name = f"{name}{OF_PROGRESS}"
        self.standing = Standing()
        self._store = store
        self._pipeline = pipeline.name
        self._couch = Couch(feed.url, password_file=feed.password_file)
        self._writer = Writer(store, pipeline, name, feed, self._couch)
        self._place = Place()
        self._back_off = BackOff()

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Write what happened since the cursor, and yield the places up to which all is written."""
        self.standing, self._writer.refused = Standing(), []
        self._place = Place(cursor.get("epoch", 0), cursor.get("seq", 0))
        try:
            while True:
                keys, place = touched_since(self._store, self._pipeline, self._place)
                if place == self._place:
                    break
                self._writer.write(keys)
                yield Mark(cursor=place._asdict())
                self._place = place
            self._back_off.worked()
            self.standing = Standing(trouble="\n".join(self._writer.refused) or None)
        except FeedTrouble as error:
            self._back_off.failed()
            self.standing = Standing(trouble=f"progress is not written: {error}")

    def rest(self, over: Over) -> None:
        """Return when something has happened, after a while, or when it may be worth trying again."""
        over.rest(max(_POLL_S, self._back_off.wait_s))
        waited_s = _POLL_S
        while not self._back_off.wait_s and not over and waited_s < _REST_S:
            if touched_since(self._store, self._pipeline, self._place)[1] != self._place:
                return
            over.rest(_POLL_S)
            waited_s += _POLL_S

    def close(self) -> None:
        """Close the connections."""
        self._couch.close()


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return what a document holds where an object belongs; nothing where it is something else."""
    return value if isinstance(value, Mapping) else {}
