"""The person who asks for a change, as the journal records them."""

import getpass
import os
from dataclasses import dataclass
from typing import Any

from stoker.errors import UserError

LONGEST = 200  # characters of a name, as the store's columns hold


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who asks for a change, and their reason. UserError if nobody can have that name."""

    user: str
    reason: str | None = None

    def __post_init__(self) -> None:
        if not _is_name(self.user):
            raise UserError(
                f"`{ascii(self.user)[:LONGEST]}` is not a user's name; write 1 to {LONGEST} "
                "visible characters without spaces at the ends"
            )

    def data(self) -> dict[str, Any]:
        """The same, for the journal."""
        return {"by": self.user} | ({"reason": self.reason} if self.reason else {})


def account_name() -> str:
    """Return the name of the account that runs this process."""
    try:
        name = getpass.getuser()  # from the environment, which may hold anything
    except (OSError, KeyError):
        name = ""
    return name if _is_name(name) else str(os.getuid())


def _is_name(user: str) -> bool:
    return user.isprintable() and user == user.strip() and 0 < len(user) <= LONGEST
