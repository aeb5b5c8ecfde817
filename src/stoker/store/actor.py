"""The person who asks for a change, as the journal records them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Who:
    """The account of the person who asks for a change, and their reason."""

    user: str
    reason: str | None = None

    def data(self) -> dict[str, Any]:
        """The same, for the journal."""
        return {"by": self.user} | ({"reason": self.reason} if self.reason else {})
