"""What is known of users and tokens, for people and programs; never a secret, nor its hash."""

from dataclasses import dataclass
from datetime import datetime

from stoker.model.encoding import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow(Answer):
    """A user who may sign in."""

    name: str
    role: str
    has_password: bool
    created_at: datetime
    signed_in_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow(Answer):
    """A token that programs use. `user` is for whom it acts; None: for itself, by its own name."""

    name: str
    user: str | None
    role: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
