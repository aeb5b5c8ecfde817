"""Signing in, and who a secret belongs to: asked at every request, so by one statement each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Table, delete, func, insert, select, update

from stoker.model.access import Role
from stoker.store import access_tables
from stoker.store.access.secrets import hash_of, is_password, new_secret
from stoker.store.access.users import note, user_named
from stoker.store.actor import Actor, is_name
from stoker.store.unit import Prepared, Unit, as_a_whole, param

if TYPE_CHECKING:
    from stoker.store.unit import Store

SESSION_S = 14 * 86_400.0  # after which one signs in again
UNUSED_S = 3 * 86_400.0  # and so without a request for this long
LINK_S = 600.0
_MINUTE_US = 60_000_000  # to which the last use is known: a write for each request would cost more

_U, _T = access_tables.access_user, access_tables.access_token
_S, _L = access_tables.access_session, access_tables.sign_in_link
_BY_SESSION = Prepared(
    select(_U.c.name, _U.c.role, _S.c.used_us, _S.c.expires_us)
    .join(_U, _U.c.id == _S.c.user_id)
    .where(_S.c.hash == param("hash"))
)
_BY_TOKEN = Prepared(
    select(_T.c.name, _T.c.role, _T.c.used_us, _T.c.expires_us, _U.c.name.label("user"))
    .select_from(_T.outerjoin(_U, _U.c.id == _T.c.user_id))
    .where(_T.c.hash == param("hash"))
)
_BY_NAME = Prepared(select(_U.c.role).where(_U.c.name == param("name")))


class _Session(NamedTuple):
    """As `_BY_SESSION` reads it."""

    user: str
    role: int
    used_us: int
    expires_us: int


class _Token(NamedTuple):
    """As `_BY_TOKEN` reads it; one without a user acts for itself."""

    name: str
    role: int
    used_us: int | None
    expires_us: int | None
    user: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user or a program that has shown a secret. `token` is the name of the token, if it was one."""

    user: str
    role: Role
    token: str | None = None


def of_session(store: "Store", secret: str) -> Identity | None:
    """Return whose session this is; None if it is over, or none at all."""
    hashed = hash_of(secret)
    with store.reading() as unit:
        row = unit.run(_BY_SESSION, hash=hashed).fetchone()
        now_us = unit.now_us
    if row is None:
        return None
    found = _Session._make(row)
    if now_us >= min(found.expires_us, found.used_us + int(UNUSED_S * 1e6)):
        return None
    if now_us >= found.used_us + _MINUTE_US:
        _note_use(store, _S, hashed)
    return Identity(user=found.user, role=Role(found.role))


def of_token(store: "Store", secret: str) -> Identity | None:
    """Return for whom the token acts; None if it has expired, was revoked, or is none at all."""
    hashed = hash_of(secret)
    with store.reading() as unit:
        row = unit.run(_BY_TOKEN, hash=hashed).fetchone()
        now_us = unit.now_us
    if row is None:
        return None
    found = _Token._make(row)
    if found.expires_us is not None and now_us >= found.expires_us:
        return None
    if found.used_us is None or now_us >= found.used_us + _MINUTE_US:
        _note_use(store, _T, hashed)
    return Identity(user=found.user or found.name, role=Role(found.role), token=found.name)


def of_user(store: "Store", name: str) -> Identity | None:
    """Return the user of that name, for whom a trusted proxy vouches; None if there is none."""
    if not is_name(name):
        return None
    with store.reading() as unit:
        row = unit.run(_BY_NAME, name=name).fetchone()
    return None if row is None else Identity(user=name, role=Role(row[0]))


def sign_in(store: "Store", name: str, password: str) -> str | None:
    """Return the secret of a new session; None if there is no such user with this password."""
    if not is_name(name):
        return None
    with store.reading() as unit:
        row = unit.execute(select(_U.c.id, _U.c.password).where(_U.c.name == name)).first()
    if not is_password(password, None if row is None else row.password):
        return None
    return _begin(store, name)


@as_a_whole
def _begin(store: "Store", name: str) -> str | None:
    with store.writing() as unit:
        return _new_session(unit, name)


@as_a_whole
def sign_out(store: "Store", secret: str) -> None:
    """The session is over."""
    with store.writing() as unit:
        unit.execute(delete(_S).where(_S.c.hash == hash_of(secret)))


@as_a_whole
def create_link(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> str:
    """Return a secret by which this user signs in once, within ten minutes."""
    secret = new_secret()
    with store.writing(dry_run=dry_run) as unit:
        user_named(unit, name)
        _insert_link(unit, secret, name, is_first=False)
        note(unit, "link_user", name, actor)
    return secret


@as_a_whole
def create_first_link(store: "Store", name: str) -> str | None:
    """Return a secret that makes the first user, an admin; None where there is one already."""
    secret = new_secret()
    with store.writing() as unit:
        if _has_users(unit):
            return None
        unit.execute(delete(_L).where(_L.c.is_first == 1))
        _insert_link(unit, secret, name, is_first=True)
    return secret


def name_of_link(store: "Store", secret: str) -> str | None:
    """Return whom a link would sign in; None if it was used, is too old, or is none at all."""
    with store.reading() as unit:
        query = select(_L.c.name, _L.c.expires_us).where(_L.c.hash == hash_of(secret))
        row = unit.execute(query).first()
        return row.name if row is not None and unit.now_us < row.expires_us else None


@as_a_whole
def use_link(store: "Store", secret: str) -> str | None:
    """Return the secret of a new session; None for a link that was used, or is too old."""
    hashed = hash_of(secret)
    with store.writing() as unit:
        row = unit.execute(select(_L).where(_L.c.hash == hashed).with_for_update()).first()
        if row is None or not unit.execute(delete(_L).where(_L.c.hash == hashed)).rowcount:
            return None
        if unit.now_us >= row.expires_us:
            return None
        if row.is_first:
            if _has_users(unit):
                return None
            values = {"name": row.name, "role": Role.ADMIN, "created_us": unit.now_us}
            unit.execute(insert(_U).values(**values))
            actor = Actor(row.name, "the first sign-in link")
            note(unit, "create_user", row.name, actor, role=Role.ADMIN.word)
        return _new_session(unit, row.name)


def _insert_link(unit: Unit, secret: str, name: str, *, is_first: bool) -> None:
    unit.execute(delete(_L).where(_L.c.expires_us <= unit.now_us))
    values = {
        "hash": hash_of(secret),
        "name": name,
        "is_first": int(is_first),
        "expires_us": unit.now_us + int(LINK_S * 1e6),
    }
    unit.execute(insert(_L).values(**values))


def _new_session(unit: Unit, name: str) -> str | None:
    found = unit.execute(select(_U.c.id).where(_U.c.name == name)).scalar()
    if found is None:
        return None
    now_us = unit.now_us
    over = (_S.c.expires_us <= now_us) | (_S.c.used_us <= now_us - int(UNUSED_S * 1e6))
    unit.execute(delete(_S).where(over))
    secret = new_secret()
    values = {
        "hash": hash_of(secret),
        "user_id": found,
        "created_us": now_us,
        "used_us": now_us,
        "expires_us": now_us + int(SESSION_S * 1e6),
    }
    unit.execute(insert(_S).values(**values))
    unit.execute(update(_U).where(_U.c.id == found).values(signed_in_us=now_us))
    note(unit, "sign_in", name, Actor(name))
    return secret


def _has_users(unit: Unit) -> bool:
    return bool(unit.execute(select(func.count()).select_from(_U)).scalar_one())


@as_a_whole
def _note_use(store: "Store", table: Table, hashed: str) -> None:
    with store.writing(durable=False) as unit:
        unit.execute(update(table).where(table.c.hash == hashed).values(used_us=unit.now_us))
