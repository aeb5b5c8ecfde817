"""The members of a group on their way to an outpost: in pages, each a file beside the attempt's bundle.

As they are when the task is handed over. However many they are, no page is larger than a file of the
spool may be, and none is kept in memory.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.errors import Unavailable
from stoker.model.id_types import AttemptId
from stoker.model.member import Member
from stoker.model.task import Claimed
from stoker.outpost.plain import from_plain, to_plain
from stoker.outpost.spool import Spool

if TYPE_CHECKING:
    from stoker.store.unit import Store

MOST_BYTES = 2 * 1024 * 1024  # of a page, and of what the store knows of one member
_READ = 2_000  # members at a time


class TooLarge(Exception):
    """More is known of one member than can be sent."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__()
        self.size_bytes = size_bytes


def pages_of(store: "Store", claimed: Claimed) -> Iterator[list[Any]]:
    """Yield the members of the group that the task's item stands for, as pages in the order of keys."""
    page: list[Any] = []
    size = 0
    for member in _members(store, claimed):
        plain = to_plain(member)
        length = len(json.dumps(plain))
        if length > MOST_BYTES:
            raise TooLarge(length)
        if size + length > MOST_BYTES:
            yield page
            page, size = [], 0
        page.append(plain)
        size += length
    if page:
        yield page


def _members(store: "Store", claimed: Claimed) -> Iterator[Member]:
    from stoker.store.groups.member_pages import members_of

    after = ""
    while several := members_of(store, claimed.item_id, after=after, most=_READ):
        yield from several
        after = several[-1].key


@dataclass(frozen=True, slots=True)
class _Page:
    members: tuple[Member, ...]


class SentMembers:
    """Reads what was sent to a spool, for the attempts that were taken. Any thread may ask."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._pages: dict[
            AttemptId, dict[str, int]
        ] = {}  # by the key before: the page that follows

    def have_come(self, attempt: AttemptId, pages: int) -> bool:
        """Whether all pages can be read, before the attempt is carried out."""
        known: dict[str, int] = {}
        last = ""
        for number in range(1, pages + 1):
            try:
                page = self._page(attempt, number)
            except (FileNotFoundError, ValueError):
                return False
            if not page:
                return False
            known[last] = number
            last = page[-1].key
        self._pages[attempt] = known
        return True

    def after(self, attempt: AttemptId, key: str) -> Sequence[Member]:
        """Return the members that follow the key; none: there are no more."""
        number = self._pages[attempt].get(key)
        if number is None:
            return ()
        try:
            return self._page(attempt, number)
        except (FileNotFoundError, ValueError) as error:
            raise Unavailable(f"a list of members in the spool cannot be read: {error}") from None

    def forget(self, attempt: AttemptId) -> None:
        """Nobody asks for the members of this attempt again."""
        self._pages.pop(attempt, None)

    def _page(self, attempt: AttemptId, number: int) -> tuple[Member, ...]:
        found = self._spool.members(attempt.hex(), number)
        return from_plain(_Page, {"members": found}).members
