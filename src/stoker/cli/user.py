"""`stoker user` and `stoker token`: who may use the project over HTTP."""

import sys
from typing import TYPE_CHECKING

import click

from stoker.cli.render import data, human_time, json_line, say, table
from stoker.cli.scope import (
    DURATION,
    Scope,
    command,
    dry_run_option,
    group,
    is_interactive,
    json_option,
    reason_option,
)
from stoker.errors import UserError
from stoker.model.access import ROLES

if TYPE_CHECKING:
    from stoker.project import Project

_PASSWORD_LINE = 2_000  # characters that are read

_role = click.option("--role", type=click.Choice(ROLES), help="What they may do.")
_name = click.argument("name", metavar="NAME")


@group()
def user() -> None:
    """Manage the users who may sign in to the web service.

    A viewer reads. A submitter also submits items, and cancels their own. An operator also uses every
    verb on everything. An admin also manages users, tokens and pools.
    """


@command(name="create")
@_name
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="viewer",
    show_default=True,
    help="What they may do.",
)
@dry_run_option
@reason_option
@json_option
def create_user(
    scope: Scope, name: str, role: str, dry_run: bool, reason: str | None, as_json: bool
) -> None:
    """Make a user, who has no password yet.

    `stoker user link NAME` prints a link by which they sign in once; `stoker user set NAME` gives them
    a password.
    """
    with scope.project() as project:
        project.access.create_user(name, role=role, reason=reason, dry_run=dry_run)
    _tell_user(name, role, "made", dry_run=dry_run, as_json=as_json)
    if not as_json and not dry_run:
        say(
            f"`stoker user link {name}` signs them in; `stoker user set {name}` asks for a password"
        )


@command(name="list")
@json_option
def list_users(scope: Scope, as_json: bool) -> None:
    """List users."""
    with scope.reading() as project:
        rows = project.access.users()
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not rows:
        say("there are no users; `stoker user create NAME --role admin` makes the first")
        return
    table(
        ["user", "role", "password", "created", "signed in"],
        [
            [
                row.name,
                row.role,
                "yes" if row.has_password else "no",
                human_time(row.created_at),
                human_time(row.signed_in_at),
            ]
            for row in rows
        ],
    )


@command(name="set")
@_name
@_role
@dry_run_option
@reason_option
@json_option
def set_user(
    scope: Scope, name: str, role: str | None, dry_run: bool, reason: str | None, as_json: bool
) -> None:
    """Change a user's role or password.

    Asks for a password on a terminal; an empty one changes nothing. Elsewhere the first line of
    standard input is the password, unless `--role` is given. A new password ends all their sessions.
    """
    with scope.reading() as project:
        password = _ask_password(project, name, with_role=role is not None)
        if role is None and password is None:
            say("nothing changes")
            return
        project.access.set_user(name, role=role, password=password, reason=reason, dry_run=dry_run)
        row = project.access.user(name)
    _tell_user(name, role or row.role, "changed", dry_run=dry_run, as_json=as_json)


@command(name="remove")
@_name
@dry_run_option
@reason_option
@json_option
def remove_user(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Remove a user with their tokens and sessions; their items stay."""
    with scope.reading() as project:
        project.access.remove_user(name, reason=reason, dry_run=dry_run)
    if as_json:
        from stoker.project.answers import UserAnswer

        json_line(UserAnswer(name=name, role=None, dry_run=dry_run))
        return
    data(f"user `{name}` {'would be' if dry_run else 'is'} removed")


@command(name="link")
@_name
@dry_run_option
@reason_option
@json_option
def link(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Print a link by which a user signs in once, within ten minutes."""
    with scope.project() as project:
        secret = project.access.create_link(name, reason=reason, dry_run=dry_run)
        address = project.settings.web.url
    url = sign_in_url(address or "http://127.0.0.1:8420/", "…" if dry_run else secret)
    if as_json:
        from stoker.project.answers import LinkAnswer

        json_line(LinkAnswer(name=name, url=url, dry_run=dry_run))
        return
    data(url)
    if address is None:
        say("if `stoker up` prints another address, put it in place of all before `sign-in`")


def sign_in_url(address: str, secret: str) -> str:
    """Return the address at which a link signs its user in."""
    return f"{address.rstrip('/')}/sign-in?link={secret}"


@group()
def token() -> None:
    """Manage the tokens by which programs use the web service.

    A program sends its token as `Authorization: Bearer stk_…`.
    """


@command(name="create")
@_name
@_role
@click.option("--user", metavar="USER", help="Act for this user, with at most their role.")
@click.option("--expires", type=DURATION, metavar="T", help="Worthless after this time, as `90d`.")
@dry_run_option
@reason_option
@json_option
def create_token(
    scope: Scope,
    name: str,
    role: str | None,
    user: str | None,
    expires: float | None,
    dry_run: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Make a token and print it, once: nobody can see it again.

    By default it is a submitter's, and acts under its own name.
    """
    with scope.project() as project:
        secret = project.access.create_token(
            name, role=role, user=user, expires_s=expires, reason=reason, dry_run=dry_run
        )
    if as_json:
        from stoker.project.answers import TokenAnswer

        json_line(TokenAnswer(name=name, token=None if dry_run else secret, dry_run=dry_run))
    elif dry_run:
        data(f"token `{name}` would be made")
    else:
        data(secret)
        say(f"this is the token `{name}`; keep it, as it is not shown again")


@command(name="list")
@json_option
def list_tokens(scope: Scope, as_json: bool) -> None:
    """List tokens, without their secrets."""
    with scope.reading() as project:
        rows = project.access.tokens()
    if as_json:
        for row in rows:
            json_line(row)
        return
    if not rows:
        say("there are no tokens; `stoker token create NAME` makes one")
        return
    table(
        ["token", "user", "role", "created", "expires", "used"],
        [
            [
                row.name,
                row.user or "-",
                row.role,
                human_time(row.created_at),
                human_time(row.expires_at),
                human_time(row.used_at),
            ]
            for row in rows
        ],
    )


@command(name="revoke")
@_name
@dry_run_option
@reason_option
@json_option
def revoke_token(scope: Scope, name: str, dry_run: bool, reason: str | None, as_json: bool) -> None:
    """Make a token worthless, at once."""
    with scope.reading() as project:
        project.access.revoke_token(name, reason=reason, dry_run=dry_run)
    if as_json:
        from stoker.project.answers import TokenAnswer

        json_line(TokenAnswer(name=name, token=None, dry_run=dry_run))
        return
    data(f"token `{name}` {'would be' if dry_run else 'is'} revoked")


def _tell_user(name: str, role: str, what: str, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        from stoker.project.answers import UserAnswer

        json_line(UserAnswer(name=name, role=role, dry_run=dry_run))
        return
    data(f"user `{name}`, {role}, {'would be' if dry_run else 'is'} {what}")


def _ask_password(project: "Project", name: str, *, with_role: bool) -> str | None:
    """Return the new password; None to leave it as it is."""
    if is_interactive():
        project.access.user(name)
        password: str = click.prompt(
            "New password (empty: as it was)", default="", hide_input=True, show_default=False,
            err=True,
        )  # fmt: skip
        if password and click.prompt("Again", hide_input=True, default="", err=True) != password:
            raise UserError("the passwords differ; nothing was changed")
        return password or None
    if with_role:
        return None
    line = sys.stdin.readline(_PASSWORD_LINE).rstrip("\r\n")
    if not line:
        raise UserError("there is no password on standard input, and no `--role`")
    return line


for each in (create_user, list_users, set_user, remove_user, link):
    user.add_command(each)
for each in (create_token, list_tokens, revoke_token):
    token.add_command(each)
