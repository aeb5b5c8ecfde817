"""Tokens of programs: each is shown once, when it is made."""

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from stoker.errors import NotFound, UserError
from stoker.model.access import Role
from stoker.store import access_tables
from stoker.store.access.rows import TokenRow
from stoker.store.access.secrets import TOKEN_PREFIX, hash_of, new_secret
from stoker.store.access.users import check_is_free, check_name, note, user_named
from stoker.store.actor import Actor
from stoker.store.times import moment
from stoker.store.unit import as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

_U, _T = access_tables.access_user, access_tables.access_token


def tokens(store: "Store") -> list[TokenRow]:
    """Return all tokens by name, those that have expired too."""
    query = select(_T, _U.c.name.label("user")).outerjoin(_U, _U.c.id == _T.c.user_id)
    with store.reading() as unit:
        rows = unit.execute(query.order_by(_T.c.name)).fetchall()
    return [
        TokenRow(
            name=row.name,
            user=row.user,
            role=Role(row.role).word,
            created_at=moment(row.created_us),
            expires_at=moment(row.expires_us),
            used_at=moment(row.used_us),
        )
        for row in rows
    ]


@as_a_whole
def create_token(
    store: "Store",
    name: str,
    actor: Actor,
    *,
    role: Role | None = None,
    user: str | None = None,
    expires_s: float | None = None,
    dry_run: bool = False,
) -> str:
    """There is a token of that name; return it, as nobody can see it again.

    It acts for the user, with at most their role, or for itself; by default a submitter.
    """
    check_name(name)
    secret = new_secret(TOKEN_PREFIX)
    with store.writing(dry_run=dry_run) as unit:
        check_is_free(unit, name)
        user_id = None
        if user is not None:
            row = user_named(unit, user)
            user_id, highest = row.id, Role(row.role)
            role = min(Role.SUBMITTER, highest) if role is None else role
            if role > highest:
                raise UserError(
                    f"`{user}` has the role `{highest.word}`; a token of theirs cannot have the role "
                    f"`{role.word}`"
                )
        role = Role.SUBMITTER if role is None else role
        values = {
            "name": name,
            "user_id": user_id,
            "role": role,
            "hash": hash_of(secret),
            "created_us": unit.now_us,
            "expires_us": None if expires_s is None else unit.now_us + int(expires_s * 1e6),
        }
        unit.execute(insert(_T).values(**values))
        said = {"user": user} if user is not None else {}
        note(unit, "create_token", name, actor, role=role.word, **said)
    return secret


@as_a_whole
def revoke_token(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> None:
    """The token of that name is worthless from now on, and its name is free."""
    with store.writing(dry_run=dry_run) as unit:
        found = unit.execute(delete(_T).where(_T.c.name == name)).rowcount
        if not found:
            raise NotFound(f"there is no token `{name[:100]}`; `stoker token list` names all")
        note(unit, "revoke_token", name, actor)
