"""Places in a list, between two pages: the text `next` of a page, and what it means when it returns."""

import base64
import binascii
from hashlib import blake2b
from typing import Literal

from stoker.errors import UserError
from stoker.model.bounds import PAGE_ROWS
from stoker.model.selection import Selection

_DIGEST_BYTES, _ID_BYTES, _ATTEMPT_ID_BYTES = 8, 8, 16
_LONGEST = 64  # characters that a text of ours never has


class Place:
    """Where a page of a list begins; `id` is that of the row before it, None at the list's beginning.

    The text names the list and the selection, so that it is not taken for a place in another. It comes
    from outside and may be anything: it only ever stands for an id to compare with. UserError for one
    that is not of this list, and for a limit out of bounds.
    """

    def __init__(
        self,
        kind: Literal["items", "tasks", "attempts", "groups"],
        selection: Selection,
        *,
        after: str | None,
        limit: int,
    ) -> None:
        PAGE_ROWS.check("limit", limit)
        said = f"{kind} {selection!r}".encode("utf-8", "backslashreplace")
        self._digest = blake2b(said, digest_size=_DIGEST_BYTES).digest()
        self._kind = kind
        self.id: int | bytes | None = None if after is None else self._read(after)

    def next(self, last: int | bytes | None) -> str | None:
        """Return the text for the place behind the row `last`; None where there is none."""
        if last is None:
            return None
        raw = last.to_bytes(_ID_BYTES, "big", signed=True) if isinstance(last, int) else last
        return base64.urlsafe_b64encode(self._digest + raw).decode().rstrip("=")

    def _read(self, text: str) -> int | bytes:
        try:
            padded = text[:_LONGEST] + "=" * (-len(text) % 4)
            raw = base64.urlsafe_b64decode(padded)[_DIGEST_BYTES:]
        except (ValueError, TypeError, binascii.Error):
            raw = b""
        is_attempt = self._kind == "attempts"
        if len(raw) == (_ATTEMPT_ID_BYTES if is_attempt else _ID_BYTES):
            found = raw if is_attempt else int.from_bytes(raw, "big", signed=True)
            if self.next(found) == text:
                return found
        raise UserError(
            f"`{ascii(text)[:_LONGEST]}` is not a place in this list of {self._kind}; give `after` as "
            "`next` of the page before, with the same selection, or leave it out to begin"
        )
