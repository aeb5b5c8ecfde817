"""Which store was opened, and whether it is still the one that connections lead to."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stoker.errors import StoreGone
from stoker.store.dialects.dialect import OWN_SITE


class Identity:
    """Of one opened store: `uid`, once it is known, and `gone`, why it can be used no more.

    Whichever thread finds that the store is gone, all may see it here.
    """

    def __init__(self, url: str) -> None:
        self.uid: str | None = None
        self.gone: StoreGone | None = None
        self._url = url

    @contextmanager
    def watched(self) -> Iterator[None]:
        """If the block finds that the store is gone, that is remembered."""
        try:
            yield
        except StoreGone as error:
            self.gone = error
            raise

    def check(self, cursor: Any) -> None:
        """StoreGone if this new connection leads to another store than the one that was opened."""
        if self.uid is None:
            return
        cursor.execute(f"SELECT uid FROM site WHERE id = {OWN_SITE}")
        row = cursor.fetchone()
        if row is None or row[0] != self.uid:
            raise StoreGone(
                f"another store has taken the place of `{self._url}`; begin again to use it"
            )
