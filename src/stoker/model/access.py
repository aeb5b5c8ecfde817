"""Roles: what a person or a program may do with a project over HTTP."""

from enum import IntEnum


class Role(IntEnum):
    """The roles, each with all that those before it may do; their ranks are in the store."""

    VIEWER = 1  # reads
    SUBMITTER = 2  # also submits, and cancels what is theirs
    OPERATOR = 3  # also uses every verb on everything
    ADMIN = 4  # also manages users, tokens and pools

    @property
    def word(self) -> str:
        """The name that people use."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "Role":
        """Return the role of that name; ValueError if there is none."""
        for role in cls:
            if role.word == word:
                return role
        raise ValueError(f"`{word}` is not a role; those are {', '.join(one.word for one in cls)}")


ROLES = tuple(role.word for role in Role)
