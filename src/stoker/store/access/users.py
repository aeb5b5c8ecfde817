"""Users: made, listed, changed and removed. The journal has each change with its actor."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from stoker.errors import Conflict, NotFound, Refused, UserError
from stoker.model.access import Role
from stoker.store import access_tables
from stoker.store.access.rows import UserRow
from stoker.store.actor import Actor
from stoker.store.journal import Entry, append, to_json
from stoker.store.times import moment
from stoker.store.unit import Unit, as_a_whole

if TYPE_CHECKING:
    from stoker.store.unit import Store

ANONYMOUS = "anonymous"  # by whom the items of strangers are

_U, _T, _S = access_tables.access_user, access_tables.access_token, access_tables.access_session
_L = access_tables.sign_in_link


def users(store: "Store") -> list[UserRow]:
    """Return all users by name."""
    with store.reading() as unit:
        rows = unit.execute(select(_U).order_by(_U.c.name)).fetchall()
    return [_row(row) for row in rows]


def user(store: "Store", name: str) -> UserRow:
    """Return the user of that name; NotFound if there is none."""
    with store.reading() as unit:
        return _row(user_named(unit, name))


def _row(row: Any) -> UserRow:
    return UserRow(
        name=row.name,
        role=Role(row.role).word,
        has_password=row.password is not None,
        created_at=moment(row.created_us),
        signed_in_at=moment(row.signed_in_us),
    )


def count_users(store: "Store") -> int:
    """Return how many users there are: without any, nobody may come from elsewhere."""
    with store.reading() as unit:
        return int(unit.execute(select(func.count()).select_from(_U)).scalar_one())


@as_a_whole
def create_user(
    store: "Store",
    name: str,
    role: Role,
    actor: Actor,
    *,
    password: str | None = None,
    dry_run: bool = False,
) -> None:
    """There is a user of that name. `password` is a hash. Conflict if the name is taken."""
    check_name(name)
    with store.writing(dry_run=dry_run) as unit:
        check_is_free(unit, name)
        values = {"name": name, "role": role, "password": password, "created_us": unit.now_us}
        unit.execute(insert(_U).values(**values))
        note(unit, "create_user", name, actor, role=role.word)


@as_a_whole
def set_user(
    store: "Store",
    name: str,
    actor: Actor,
    *,
    role: Role | None = None,
    password: str | None = None,
    dry_run: bool = False,
) -> None:
    """The user has this role or password from now on; a new password ends all their sessions.

    Their tokens never keep a higher role than theirs. Refused for the last admin.
    """
    with store.writing(dry_run=dry_run) as unit:
        row = user_named(unit, name)
        values: dict[str, Any] = {}
        if role is not None:
            if role is not Role.ADMIN:
                _keep_an_admin(unit, row)
            values["role"] = role
            above = (_T.c.user_id == row.id, _T.c.role > role)
            unit.execute(update(_T).where(*above).values(role=role))
        if password is not None:
            values["password"] = password
            unit.execute(delete(_S).where(_S.c.user_id == row.id))
        unit.execute(update(_U).where(_U.c.id == row.id).values(**values))
        said = {"role": role.word} if role is not None else {}
        note(unit, "set_user", name, actor, **said, **({"password": "new"} if password else {}))


@as_a_whole
def remove_user(store: "Store", name: str, actor: Actor, *, dry_run: bool = False) -> None:
    """There is no such user any more, and their tokens, sessions and links are worthless.

    Items of theirs stay. Refused for the last admin while there are other users.
    """
    with store.writing(dry_run=dry_run) as unit:
        row = user_named(unit, name)
        _keep_an_admin(unit, row)
        for table in (_T, _S):
            unit.execute(delete(table).where(table.c.user_id == row.id))
        unit.execute(delete(_L).where(_L.c.name == name))
        unit.execute(delete(_U).where(_U.c.id == row.id))
        note(unit, "remove_user", name, actor)


def user_named(unit: Unit, name: str) -> Any:
    """Return the row of the user; NotFound if there is none."""
    row = unit.execute(select(_U).where(_U.c.name == name)).first()
    if row is None:
        raise NotFound(f"there is no user `{name[:100]}`; `stoker user list` names all")
    return row


def check_name(name: str) -> None:
    """UserError unless this can be the name of a user or a token."""
    Actor(name)
    if name == ANONYMOUS or "/" in name or ":" in name:
        raise UserError(
            f"`{name}` cannot be a name here: it is not `{ANONYMOUS}`, and has no `/` and no `:`"
        )


def check_is_free(unit: Unit, name: str) -> None:
    """Conflict if a user or a token has this name: what is one's own is known by the name alone."""
    for table, kind in ((_U, "user"), (_T, "token")):
        if unit.execute(select(table.c.id).where(table.c.name == name)).first() is not None:
            raise Conflict(f"there is a {kind} `{name}` already; take another name")


# What `note` is given: how people and programs get in, which is for admins to read.
ACCESS_EVENTS = (
    "create_user",
    "set_user",
    "remove_user",
    "link_user",
    "sign_in",
    "create_token",
    "revoke_token",
)


def note(unit: Unit, event: str, name: str, actor: Actor, **said: Any) -> None:
    """The journal has what was done to a user or token, and by whom."""
    append(unit, [Entry(event, key=name, n=0, data=to_json({**actor.data(), **said}))])


def _keep_an_admin(unit: Unit, row: Any) -> None:
    if row.role != Role.ADMIN:
        return
    others = select(_U.c.role).where(_U.c.id != row.id)
    roles = list(unit.execute(others).scalars())
    if roles and Role.ADMIN not in roles:
        raise Refused(
            f"`{row.name}` is the last admin; make another one first with `stoker user set NAME "
            "--role admin`"
        )
