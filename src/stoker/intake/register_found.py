"""Registering what the looks of a source yield, and then remembering how far they came."""

import logging
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from stoker.errors import StokerError, StoreGone, Unavailable
from stoker.failpoints import hit
from stoker.intake.sources.source import Mark, Over, Refusal, Source
from stoker.store import journal_fold
from stoker.store.actor import Actor
from stoker.store.arrivals.counts import Registered
from stoker.store.arrivals.register import CHUNK, register
from stoker.store.arrivals.sources import KnownSource, advance, conclude, find_source, open_items
from stoker.store.brief_waits import if_free

if TYPE_CHECKING:
    from stoker.model.item import NewItem
    from stoker.store.unit import Store

FULL_S = 2.0  # between looks at whether a source with too many open items has room again
_OUTAGE_S = 2.0  # before a store that does not answer is asked again
_FOLD_LIMIT_S = 5.0
_MOST_TOLD = 1_000  # of what could not be taken, to a source that answers each of its lines

_log = logging.getLogger(__name__)


class Taker:
    """Takes from one source, for `actor`, whose items the new ones are.

    `on_taken` is called with the number of items that were just registered or changed.
    """

    def __init__(
        self,
        store: "Store",
        pipeline: str,
        source: Source,
        actor: Actor,
        *,
        max_open: int | None = None,
        on_taken: Callable[[int], None] | None = None,
    ) -> None:
        self.source = source
        self.pipeline = pipeline
        self.is_full = False
        self.trouble: str | None = None  # that ended the last look
        self._store = store
        self._max_open = max_open
        self._actor = actor
        self._on_taken = on_taken
        self._known: KnownSource | None = None

    def known(self) -> KnownSource:
        """Return the source's row, made if need be."""
        return find_source(self._store, self.pipeline, self.source.name, kind=self.source.kind)

    def take(self, over: Over | None = None) -> Registered:
        """Look once, and register what is found; return what became of it.

        What went wrong stands in the source's row. Unavailable if the store does not answer.
        """
        known = self.known()
        done = Registered()
        room = self._room(known)
        self.is_full = room == 0
        trouble = None
        if not self.is_full:
            try:
                self._look(known, room, done, over)
            except (Unavailable, StoreGone):
                raise
            except StokerError as error:
                trouble = str(error)
            except OSError as error:
                trouble = _in_words(error)
        self.trouble = trouble
        if self.is_full:
            trouble = f"{self._max_open} items are open, as many as `max_open` allows"
        self._conclude(known, done, trouble or self.source.standing.trouble)
        return done

    def tell(self, trouble: str) -> None:
        """The source's row says what trouble it has."""
        self._conclude(self.known(), Registered(), trouble)

    def follow(self, over: Over) -> None:
        """Take until the end has come. Nothing that goes wrong ends it, but the end of the store.

        The service hears of that from its own worker. An outage is said once.
        """
        is_away = False
        while not over:
            try:
                self.take(over)
            except StoreGone:
                break
            except Unavailable as error:
                if not is_away:
                    _log.warning(
                        "a source has to wait",
                        extra={
                            "event": "source_waits",
                            "source": self.source.name,
                            "error": str(error),
                        },
                    )
                is_away = True
                over.rest(_OUTAGE_S)
                continue
            is_away = False
            if self.is_full:
                over.rest(FULL_S)
            else:
                self.source.rest(over)
        self.source.close()

    def _room(self, known: KnownSource) -> int | None:
        """Return how many items may be taken; None for any number."""
        if self._max_open is None:
            return None
        journal_fold.fold(self._store, limit_s=_FOLD_LIMIT_S)
        return self._max_open - open_items(self._store, known, most=self._max_open)

    def _look(
        self, known: KnownSource, room: int | None, done: Registered, over: Over | None
    ) -> None:
        """Register what a look yields, chunk by chunk, and remember its marks."""
        chunk: list[NewItem] = []
        since = Registered(most=_MOST_TOLD)  # the last mark

        def flush() -> None:
            if not chunk:
                return
            some = register(
                self._store,
                self.pipeline,
                chunk,
                self._actor,
                done=Registered(most=_MOST_TOLD),
                source_id=known.id if self._max_open is not None else None,
            )
            chunk.clear()
            hit("source.registered")
            done.add(some)
            since.add(some)
            self._tell(some)

        with closing(self.source.look(known.cursor)) as finds:
            for find in finds:
                if isinstance(find, Mark):
                    flush()
                    find.done = since
                    # A folder with something that could not be taken is read, and reported, again.
                    is_clear = not (since.conflicts or since.refused)
                    folders = find.folders if is_clear else ()
                    # Where all was known, looking again costs less than waiting for the store's lock.
                    with if_free(self._store, wanted=not since.touched):
                        advance(self._store, known, cursor=find.cursor, folders=folders)
                    hit("source.advanced")
                    since = Registered(most=_MOST_TOLD)
                elif isinstance(find, Refusal):
                    done.refuse(find.message)
                    since.refuse(find.message)
                elif isinstance(find, Registered):
                    done.add(find)
                    self._tell(find)
                else:
                    chunk.append(find)
                is_enough = room is not None and done.opened + len(chunk) >= room
                if len(chunk) >= CHUNK or is_enough:
                    flush()
                # Only what was registered takes up room: some of the chunk may have been known.
                self.is_full = room is not None and done.opened >= room
                if self.is_full or over:
                    return
            flush()

    def _tell(self, some: Registered) -> None:
        taken = some.opened
        if taken and self._on_taken is not None:
            self._on_taken(taken)

    def _conclude(self, known: KnownSource, done: Registered, trouble: str | None) -> None:
        troubles = trouble.splitlines() if trouble else []
        troubles += [message for message in done.messages if message not in troubles]
        if done.untold:
            troubles.append(f"… and {done.untold:,} more")
        conclude(
            self._store,
            known,
            taken=done.opened,
            pending=self.source.standing.pending,
            pending_for_s=self.source.standing.pending_for_s,
            trouble="\n".join(troubles) or None,
        )


def _in_words(error: OSError) -> str:
    where = f"`{error.filename}`: " if error.filename else ""
    return f"{where}{error.strerror or error}"
