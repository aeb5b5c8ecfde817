"""The tables of access: users, tokens, sessions and sign-in links. No secret is in them, only hashes.

`store/tables.py` brings them into the metadata.
"""

from sqlalchemy import Column, ForeignKey, Integer, SmallInteger, String, Table

from stoker.store.columns import Big, Name, metadata

_Hash = String(64)  # SHA-256, hexadecimal: what is hashed has 256 random bits

access_user = Table(
    "access_user",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("role", SmallInteger, nullable=False, doc="the rank of a role"),
    Column("password", Name, doc="by argon2, with its salt; NULL: has no password"),
    Column("created_us", Big, nullable=False),
    Column("signed_in_us", Big, doc="when the last session began"),
)

access_token = Table(
    "access_token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("user_id", ForeignKey("access_user.id"), doc="for whom it acts; NULL: for itself"),
    Column("role", SmallInteger, nullable=False, doc="the rank of a role; never above its user's"),
    Column("hash", _Hash, nullable=False, unique=True),
    Column("created_us", Big, nullable=False),
    Column("expires_us", Big, doc="NULL: never"),
    Column("used_us", Big, doc="to the minute"),
)

access_session = Table(
    "access_session",
    metadata,
    Column("hash", _Hash, primary_key=True),
    Column("user_id", ForeignKey("access_user.id"), nullable=False, index=True),
    Column("created_us", Big, nullable=False),
    Column("used_us", Big, nullable=False, doc="to the minute"),
    Column("expires_us", Big, nullable=False),
)

sign_in_link = Table(
    "sign_in_link",
    metadata,
    Column("hash", _Hash, primary_key=True),
    Column("name", Name, nullable=False, doc="of the user who is signed in by it"),
    Column("is_first", SmallInteger, nullable=False, doc="1: makes the user, if there is none yet"),
    Column("expires_us", Big, nullable=False),
)
