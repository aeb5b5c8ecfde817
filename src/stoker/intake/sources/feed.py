"""A feed of documents as a source: those that fit the selector are items.

Which documents fit is decided here, not by the server: then a document that ceases to fit while
nobody looks is seen all the same, and any server of the protocol will do. A place in the feed is
remembered only after everything before it is registered, and belongs to one database and one way
of reading it: with another selector or other parameters all documents are looked at again.
"""

import hashlib
import json
import re
import time
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.intake.couch import BackOff, Change, Couch, FeedTrouble, Since, number_of
from stoker.intake.feed_progress import DOCUMENT, FEED, Writer
from stoker.intake.pushed import Listing
from stoker.intake.sources.source import Find, Mark, Over, Refusal, Standing
from stoker.model.item import NewItem, key_of
from stoker.model.mango import MISSING, field_of, fits
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.source import Feed
from stoker.model.words import shown
from stoker.spec.params import Places, check_params

if TYPE_CHECKING:
    from stoker.store.unit import Store

PAGE = 200  # documents at once
REST_S = 60.0  # at most between looks
GATHER_S = 0.3  # at least between looks: changes come in swarms
AGAIN_S = 60.0  # between looks at what was refused
_REMEMBERED = 1_000  # documents that were refused; further ones are reported once
_TOLD = 5  # of them, in the source's trouble
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class FeedSource:
    """Follows the changes of one database."""

    kind = "feed"

    def __init__(
        self, store: "Store", pipeline: Pipeline, name: str, feed: Feed, *, project_folder: str
    ) -> None:
        self.name = name
        self.standing = Standing()
        self._pipeline = pipeline
        self._feed = feed
        self._couch = Couch(feed.url, password_file=feed.password_file)
        self._writer = Writer(store, pipeline, name, feed, self._couch)
        self._listing = Listing(
            pipeline,
            project_folder=project_folder,
            refuse=lambda _message: None,  # documents are refused one by one, with their id
            priority=pipeline.priority,
            reads_meta=False,  # we write into documents ourselves
        )
        self._since: Since = 0
        self._refused: dict[str, str] = {}  # of documents that are not on record, by their ids
        self._wrong: dict[str, str] = {}  # of documents that are themselves to say what is wrong
        self._again_s = 0.0
        self._is_sure = False  # that the place is one of the database as it is now
        self._back_off = BackOff()
        reading = repr(
            (feed.selector, feed.params, feed.path, pipeline.params, pipeline.key, pipeline.items)
        )
        self._reading = hashlib.sha256(reading.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def look(self, cursor: Mapping[str, Any]) -> Generator[Find]:
        """Yield the items of the documents that were changed since the cursor."""
        same = {"url": self._couch.url, "reading": self._reading}
        if any(cursor.get(key) != value for key, value in same.items()):
            cursor = {}
        self._since = cursor.get("since", 0)
        self._refused = dict(cursor.get("refused", {}))
        try:
            self._make_sure()
            changes = self._again()
            while True:
                keys: list[str] = []
                self._wrong = {}
                for change in changes:
                    for find in self._finds(change):
                        yield find
                        keys += [find.key] if isinstance(find, NewItem) else []
                # What is known already came again because what we wrote into it was lost, in a
                # conflict between servers or by somebody's hand.
                self._writer.write(keys)
                self._writer.refuse(self._wrong)
                place = {**same, "since": self._since, "refused": dict(self._refused)}
                if place != cursor:
                    yield Mark(cursor=place)
                    cursor = place
                changes, since = self._couch.changes(self._since, limit=PAGE)
                if not changes and since == self._since:
                    break
                self._since = since
            self._back_off.worked()
            self.standing = Standing(trouble=self._in_words())
        except FeedTrouble as error:
            self._is_sure = False
            self._back_off.failed()
            self.standing = Standing(trouble=str(error))

    def rest(self, over: Over) -> None:
        """Return when there are changes, after a while, or when it may be worth asking again."""
        if self._back_off.wait_s:
            over.rest(self._back_off.wait_s)
            return
        over.rest(GATHER_S)
        try:
            self._couch.await_change(self._since, over, limit_s=REST_S)
        except FeedTrouble:
            self._back_off.failed()
            over.rest(self._back_off.wait_s)  # the look that follows says what is wrong

    def close(self) -> None:
        """Close the connections."""
        self._couch.close()

    def _make_sure(self) -> None:
        """Start again if the database has fewer changes than were read: it is another."""
        if not self._is_sure:
            if number_of(self._couch.newest()) < number_of(self._since):
                self._since = 0
            self._is_sure = True

    def _again(self) -> list[Change]:
        """Return from time to time what was refused: a file may come later than its document."""
        if not self._refused or time.monotonic() < self._again_s:
            return []
        self._again_s = time.monotonic() + AGAIN_S
        found = self._couch.documents(list(self._refused))
        return [Change(name, found.get(name)) for name in list(self._refused)]

    def _in_words(self) -> str | None:
        """Return what is refused, as trouble."""
        lines = list(self._refused.values())[:_TOLD]
        more = len(self._refused) - len(lines)
        return "\n".join([*lines, f"… and {more:,} more"] if more else lines) or None

    # ------------------------------------------------------------------------------------ documents

    def _finds(self, change: Change) -> Generator[Find]:
        """Yield the document's item, or why it cannot be taken; remember what is not on record."""
        document = change.document
        self._refused.pop(change.id, None)
        if document is None or change.id.startswith("_design/"):
            return
        if not fits(self._feed.selector, document):
            return
        found = self._find(change.id, document)
        if (
            isinstance(found, Refusal)
            and change.id not in self._wrong
            and len(self._refused) < _REMEMBERED
        ):
            self._refused[change.id] = found.message
        yield found

    def _find(self, name: str, document: Mapping[str, Any]) -> NewItem | Refusal:
        try:
            return self._item(name, document)
        except UserError as error:
            found = self._bad(name, document, str(error))
            if isinstance(found, Refusal) and self._is_wrong(document):
                self._wrong[name] = str(error).removeprefix(f"document `{name}`: ")
            return found
        except OSError as error:
            return self._bad(name, document, f"its file cannot be taken: {error.strerror}")
        except ValueError:
            return self._bad(name, document, "its path has a NUL byte, which no path can have")

    def _is_wrong(self, document: Mapping[str, Any]) -> bool:
        """Whether the document itself is at fault, rather than a file that may come later."""
        places = Places(given=self._pipeline.folder, defaults=self._pipeline.folder)
        try:
            self._datum("", document)
            check_params(self._pipeline.params, self._given(document), where="", places=places)
        except UserError:
            return True
        return False

    def _item(self, name: str, document: Mapping[str, Any]) -> NewItem:
        """Return the document's item; UserError or OSError where it cannot be taken."""
        return self._listing.row(
            self._datum(name, document),
            self._given(document),
            where=f"document `{name}`",
            folder=self._pipeline.folder,
            columns=[param.name for param in self._pipeline.params],
            meta=self._meta(name, document),
        )

    def _given(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters as the document has them."""
        named = self._feed.params
        found = {
            param.name: field_of(document, named.get(param.name, param.name))
            for param in self._pipeline.params
        }
        return {name: value for name, value in found.items() if value not in (MISSING, None)}

    def _datum(self, name: str, document: Mapping[str, Any]) -> str:
        """Return the path that the document names; for a record the document's own id."""
        if self._feed.path is None:
            return name
        path = field_of(document, self._feed.path)
        if not isinstance(path, str) or not path:
            raise UserError(f"its field `{self._feed.path}` has no path in it")
        return path

    def _meta(self, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the plain values of the document, and where it is."""
        taken = {param.name for param in self._pipeline.params}
        plain = {
            key: value
            for key, value in document.items()
            if key not in taken and _NAME.fullmatch(key) and _is_plain(value)
        }
        return {**plain, DOCUMENT: name, FEED: self.name}

    def _bad(self, name: str, document: Mapping[str, Any], message: str) -> NewItem | Refusal:
        """Return what says why a document cannot be taken: on record, if it would have this key."""
        where = f"document `{name}`: "
        if self._pipeline.key is not None or self._pipeline.items is not ItemKind.RECORDS:
            return Refusal(message=where + message.removeprefix(where))
        try:
            key = key_of(name)
        except UserError as error:
            return Refusal(message=where + str(error))
        reason = shown(message.removeprefix(where))
        mark = hashlib.sha256(json.dumps([reason, document], sort_keys=True).encode()).hexdigest()
        return NewItem(
            key=key,
            reason=reason,
            params=self._given(document),
            meta=self._meta(name, document),
            fingerprint=f"bad:{mark[:16]}",
        )


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str | int | float) for one in value)
    return isinstance(value, str | int | float)
