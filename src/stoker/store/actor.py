"""The person who asks for a change, as the journal records them."""

import getpass
import os
from dataclasses import dataclass
from typing import Any

from stoker.errors import UserError
from stoker.model.words import shown
from stoker.store.columns import NAME_LENGTH


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who asks for a change, and their reason. UserError if nobody can have that name."""

    user: str
    reason: str | None = None

    def __post_init__(self) -> None:
        if not is_name(self.user):
            raise UserError(
                f"`{ascii(self.user)[:NAME_LENGTH]}` is not a user's name; write 1 to {NAME_LENGTH} "
                "visible characters without spaces at the ends"
            )
        if self.reason:
            object.__setattr__(self, "reason", shown(self.reason))

    def data(self) -> dict[str, Any]:
        """The same, for the journal."""
        return {"by": self.user} | ({"reason": self.reason} if self.reason else {})


def account_name() -> str:
    """Return the name of the account that runs this process."""
    try:
        name = getpass.getuser()  # from the environment, which may hold anything
    except (OSError, KeyError):
        name = ""
    return name if is_name(name) else str(os.getuid())


def is_name(user: str) -> bool:
    """Whether somebody can have this name."""
    return user.isprintable() and user == user.strip() and 0 < len(user) <= NAME_LENGTH
