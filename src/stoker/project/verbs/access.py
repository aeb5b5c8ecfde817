"""The verbs on users and tokens, as `project.access`."""

from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.model.access import Role

if TYPE_CHECKING:
    from stoker.project.opened import Opened
    from stoker.store.access.own_sessions import SessionRow
    from stoker.store.access.rows import TokenRow, UserRow
    from stoker.store.access.sessions import Identity


class Access:
    """Who may use a project over HTTP. Changes are in the journal, by the project's user."""

    def __init__(self, project: "Opened") -> None:
        self._project = project

    def users(self) -> "list[UserRow]":
        """Return all users by name; none where there is no store yet."""
        from stoker.project.plans.trial import store_if_there
        from stoker.store.access import users

        store = store_if_there(self._project)
        return [] if store is None else users.users(store)

    def user(self, name: str) -> "UserRow":
        """Return the user of that name; NotFound if there is none."""
        from stoker.store.access import users

        return users.user(self._project.store, name)

    def has_users(self) -> bool:
        """Whether there is a user: without one, nobody may come from another host."""
        from stoker.project.plans.trial import store_if_there
        from stoker.store.access import users

        store = store_if_there(self._project)
        return store is not None and users.count_users(store) > 0

    def create_user(
        self,
        name: str,
        *,
        role: str = "viewer",
        password: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> None:
        """There is a user of that name; Conflict if the name is taken."""
        from stoker.store.access import secrets, users

        users.create_user(
            self._project.open_store(create=True),
            name,
            role_of(role),
            self._project.actor(reason),
            password=None if password is None else secrets.hash_password(password),
            dry_run=dry_run,
        )

    def set_user(
        self,
        name: str,
        *,
        role: str | None = None,
        password: str | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> None:
        """The user has this role, or this password, which ends all their sessions."""
        from stoker.store.access import secrets, users

        if role is None and password is None:
            raise UserError(f"nothing is to change of user `{name}`; give a role or a password")
        users.set_user(
            self._project.store,
            name,
            self._project.actor(reason),
            role=None if role is None else role_of(role),
            password=None if password is None else secrets.hash_password(password),
            dry_run=dry_run,
        )

    def remove_user(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> None:
        """There is no such user; their tokens and sessions are worthless. Their items stay."""
        from stoker.store.access import users

        users.remove_user(self._project.store, name, self._project.actor(reason), dry_run=dry_run)

    def create_link(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> str:
        """Return the secret of a link by which the user signs in once, within ten minutes."""
        from stoker.store.access import sessions

        actor = self._project.actor(reason)
        return sessions.create_link(self._project.store, name, actor, dry_run=dry_run)

    def create_first_link(self) -> str | None:
        """Return the secret of a link that makes the first user; None where there is one."""
        from stoker.store.access import sessions

        return sessions.create_first_link(self._project.store, self._project.user)

    def tokens(self) -> "list[TokenRow]":
        """Return all tokens by name; none where there is no store yet."""
        from stoker.project.plans.trial import store_if_there
        from stoker.store.access import tokens

        store = store_if_there(self._project)
        return [] if store is None else tokens.tokens(store)

    def create_token(
        self,
        name: str,
        *,
        role: str | None = None,
        user: str | None = None,
        expires_s: float | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> str:
        """There is a token of that name; return it: nobody can see it again."""
        from stoker.store.access import tokens

        return tokens.create_token(
            self._project.open_store(create=True),
            name,
            self._project.actor(reason),
            role=None if role is None else role_of(role),
            user=user,
            expires_s=expires_s,
            dry_run=dry_run,
        )

    def revoke_token(self, name: str, *, reason: str | None = None, dry_run: bool = False) -> None:
        """The token is worthless from now on."""
        from stoker.store.access import tokens

        tokens.revoke_token(self._project.store, name, self._project.actor(reason), dry_run=dry_run)

    # -------------------------------------------------------------------- asked by the web service

    def of_session(self, secret: str) -> "Identity | None":
        """Return whose session this is; None if it is over."""
        from stoker.store.access import sessions

        return sessions.of_session(self._project.store, secret)

    def of_token(self, secret: str) -> "Identity | None":
        """Return for whom the token acts; None if it is not good."""
        from stoker.store.access import sessions

        return sessions.of_token(self._project.store, secret)

    def of_user(self, name: str) -> "Identity | None":
        """Return the user, for whom somebody else vouches; None if there is none of that name."""
        from stoker.store.access import sessions

        return sessions.of_user(self._project.store, name)

    def sign_in(self, name: str, password: str) -> str | None:
        """Return the secret of a new session; None for a wrong name or password."""
        from stoker.store.access import sessions

        return sessions.sign_in(self._project.store, name, password)

    def sign_out(self, secret: str) -> None:
        """The session is over."""
        from stoker.store.access import sessions

        sessions.sign_out(self._project.store, secret)

    def sessions_of(self, name: str, secret: str | None) -> "list[SessionRow]":
        """Return where the user is signed in; `secret` is that of the session that asks."""
        from stoker.store.access import own_sessions

        return own_sessions.sessions_of(self._project.store, name, secret)

    def sign_out_elsewhere(self, name: str, secret: str) -> int:
        """All sessions of the user but this one are over; return how many that were."""
        from stoker.store.access import own_sessions

        return own_sessions.sign_out_elsewhere(self._project.store, name, secret)

    def name_of_link(self, secret: str) -> str | None:
        """Return whom a link would sign in; None if it is not good."""
        from stoker.store.access import sessions

        return sessions.name_of_link(self._project.store, secret)

    def use_link(self, secret: str) -> str | None:
        """Return the secret of a new session; None if the link is not good any more."""
        from stoker.store.access import sessions

        return sessions.use_link(self._project.store, secret)


def role_of(word: str) -> Role:
    """Return the role; UserError if there is none of that name."""
    try:
        return Role.of(word)
    except ValueError as error:
        raise UserError(str(error)) from None
