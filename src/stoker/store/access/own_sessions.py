"""Where a user is signed in: for that user to read, and to end elsewhere."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from stoker.store import access_tables
from stoker.store.access.secrets import hash_of
from stoker.store.access.sessions import UNUSED_S
from stoker.store.times import moment
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

MOST = 200  # sessions that are listed

_U, _S = access_tables.access_user, access_tables.access_session


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session that goes on. `used_at` is exact to the minute; `is_this`: that of who asks."""

    created_at: datetime
    used_at: datetime
    expires_at: datetime
    is_this: bool


def sessions_of(store: "Store", name: str, secret: str | None) -> list[SessionRow]:
    """Return the user's sessions, the last used first; `secret` is that of who asks."""
    own = None if secret is None else hash_of(secret)
    with store.reading() as unit:
        query = (
            select(_S)
            .join(_U, _U.c.id == _S.c.user_id)
            .where(
                _U.c.name == name,
                _S.c.expires_us > unit.now_us,
                _S.c.used_us > unit.now_us - int(UNUSED_S * 1e6),
            )
            .order_by(_S.c.used_us.desc(), _S.c.hash)
            .limit(MOST)
        )
        rows = unit.execute(query).fetchall()
    return [
        SessionRow(
            created_at=moment(row.created_us),
            used_at=moment(row.used_us),
            expires_at=moment(row.expires_us),
            is_this=row.hash == own,
        )
        for row in rows
    ]


@as_a_whole
def sign_out_elsewhere(store: "Store", name: str, secret: str) -> int:
    """All sessions of the user but this one are over; return how many that were."""
    with store.writing() as unit:
        user = unit.execute(select(_U.c.id).where(_U.c.name == name)).scalar()
        others = delete(_S).where(_S.c.user_id == user, _S.c.hash != hash_of(secret))
        return int(unit.execute(others).rowcount)
