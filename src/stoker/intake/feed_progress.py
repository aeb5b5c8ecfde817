"""Progress written back into the documents of a feed: how an item stands, and each of its steps.

What is written is how an item stands when it is written, not what happened: written twice it is the
same, and what was not written yet is caught up with. Only the fields `status` and, in `stoker`, the
pipeline's own are touched; everything else in a document is other people's.
"""

from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stoker.intake.couch import BackOff, Couch, FeedTrouble
from stoker.intake.sources.source import Find, Mark, Over
from stoker.model.item import key_from_name
from stoker.model.pipeline import Argv, Pipeline, Python, Run, Step
from stoker.model.source import Feed
from stoker.store.reports.recent_changes import (
    ItemProgress,
    Place,
    StepProgress,
    progress_of,
    touched_since,
)

if TYPE_CHECKING:
    from stoker.store.unit import Store

STATUS, OWN = "status", "stoker"  # the fields of a document that we write
DOCUMENT, FEED = "document", "feed"  # in `meta`: the document's id, and which source it came from
AT_ONCE = 100  # documents
_ROUNDS = 20  # in which others may write to a document before we give up for now
_PROGRAM = 500  # characters of a command
_POLL_S = 1.0
_REST_S = 60.0


class Writer:
    """Writes how items stand into their documents."""

    def __init__(self, store: "Store", pipeline: Pipeline, source: str, couch: Couch) -> None:
        self._store = store
        self._pipeline = pipeline.name
        self._programs = {step.name: _program(step) for step in pipeline.steps}
        self._source = source
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
        own = document.get(OWN)
        others = own if isinstance(own, Mapping) else {}
        said: dict[str, Any] = {"state": item.state, "key": item.key}
        if item.reason:
            said["error"] = item.reason
        said["steps"] = {
            step.step: _of_step(step, self._programs.get(step.step)) for step in item.steps
        }
        return {**document, STATUS: item.state, OWN: {**others, self._pipeline: _sendable(said)}}


class FeedProgress:
    """Follows the journal, and writes what it tells into the documents of one feed.

    A source that yields no items, only places in the journal: what was before is written.
    """

    kind = "progress"

    def __init__(self, store: "Store", pipeline: Pipeline, name: str, feed: Feed) -> None:
        self.name = f"{name} progress"
        self.pending = 0
        self.pending_for_s: float | None = None
        self.trouble: str | None = None
        self._store = store
        self._pipeline = pipeline.name
        self._couch = Couch(feed.url, password_file=feed.password_file)
        self._writer = Writer(store, pipeline, name, self._couch)
        self._place = Place()
        self._back_off = BackOff()

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Write what happened since the cursor, and yield the places up to which all is written."""
        self.trouble, self._writer.refused = None, []
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
            self.trouble = "\n".join(self._writer.refused) or None
        except FeedTrouble as error:
            self._back_off.failed()
            self.trouble = f"progress is not written: {error}"

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


def _program(step: Step) -> str:
    """Return what the step runs, as its author wrote it."""
    match step.action:
        case Run(text=text):
            return text.strip()[:_PROGRAM]
        case Argv(words=words):
            flat = (
                word for group in words for word in ([group] if isinstance(group, str) else group)
            )
            return " ".join(flat)[:_PROGRAM]
        case Python(function=function):
            return function


def _of_step(step: StepProgress, program: str | None) -> dict[str, Any]:
    """Return the record of one step; what is not known of it is left out."""
    attempt = step.attempt
    if attempt is None:
        return {"state": step.state}
    said = {
        "state": step.state,
        "attempt": attempt.id,
        "number": attempt.number,
        "program": program,
        "host": attempt.host,
        "batch_id": attempt.batch_id,
        "started_at": _date(attempt.started_at),
        "ended_at": _date(attempt.ended_at),
        "exit_code": attempt.exit_code,
        "stdout": attempt.stdout.path,
        "stderr": attempt.stderr.path,
        "outputs": [
            {"name": one.name, "path": one.path, "size_bytes": one.size_bytes}
            for one in attempt.outputs
        ],
        "error": attempt.reason,
    }
    return {name: value for name, value in said.items() if value not in (None, [])}


def _sendable(value: Any) -> Any:
    """Return the value with bytes that are no UTF-8 as `%XX`: JSON has no place for them."""
    if isinstance(value, list):
        return [_sendable(one) for one in value]
    if isinstance(value, dict):
        return {name: _sendable(one) for name, one in value.items()}
    is_text = isinstance(value, str) and not value.isascii()
    has_bytes = is_text and any("\ud800" <= one <= "\udfff" for one in value)
    return key_from_name(value) if has_bytes else value


def _date(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at is not None else None
