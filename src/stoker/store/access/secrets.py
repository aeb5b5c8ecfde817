"""Secrets that people and programs hold, of which the store has the hash only.

A token or the id of a session has 256 random bits, so that a plain SHA-256 is enough. A password has
few, and gets argon2, which is slow on purpose.
"""

import hashlib
import secrets
from typing import TYPE_CHECKING

from stoker.errors import UserError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

TOKEN_PREFIX = "stk_"  # noqa: S105 - by it scanners for leaked secrets know one
LEAST_PASSWORD, MOST_PASSWORD = 10, 1000  # characters


def new_secret(prefix: str = "") -> str:
    """Return a secret that nobody can guess."""
    return prefix + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """Return what the store keeps of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def hash_password(password: str) -> str:
    """Return what the store keeps of a password; UserError for one that is too short to be safe."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        raise UserError(
            f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD:,} characters; several words do"
        )
    return _hasher().hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Whether `kept` is of this password. Takes as long where there is none to compare with."""
    from argon2.exceptions import VerificationError

    is_there = kept is not None and len(password) <= MOST_PASSWORD
    try:
        _hasher().verify(
            kept if is_there and kept is not None else _NOBODY, password[:MOST_PASSWORD]
        )
    except VerificationError:
        return False
    return is_there


# Of a password that nobody knows: so that a name without a password takes as long as one with it.
_NOBODY = (
    "$argon2id$v=19$m=65536,t=3,p=4$UhxxgNW94H7cuYkCiVQFoA$"
    "fqHPyMGrBwxu2o8nWmcyZ7rTSJMdJg5sFZzXzL1hMFE"
)


def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher

    return PasswordHasher()
