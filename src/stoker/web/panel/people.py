"""Users and tokens, for admins: listed, made, changed, removed; a secret is shown once, in the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import Bug, StokerError, UserError
from stoker.model.access import ROLES
from stoker.web.access.forms import read_form
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.commands import command_line
from stoker.web.panel.frame import panel_page
from stoker.web.problems import Problem, problem_of
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from stoker.project.verbs.access import Access

MOST = 500  # rows of each table
_REASON = 1_000  # characters
_DAY_S = 86_400.0
EXPIRIES = {
    "": "never",
    "1": "in a day",
    "30": "in 30 days",
    "90": "in 90 days",
    "365": "in a year",
}
_NAME = {"type": "string", "minLength": 1, "maxLength": 200}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done: in words, as a command, and the secret that nobody can see again."""

    said: str
    command: str
    secret: str | None = None
    is_link: bool = False


async def _show(request: Request) -> Response:
    return await _page(request)


async def _page(
    request: Request,
    *,
    outcome: Outcome | None = None,
    problem: str = "",
    status: int = 200,
    fields: Mapping[str, str] | None = None,
) -> Response:
    """All users and tokens, the form for the one that the address names, and what was just done."""
    site = site_of(request)
    access = site.project.access
    users, tokens = await site.call(access.users), await site.call(access.tokens)
    named = request.query_params.get("user", "")
    chosen = next((one for one in users if one.name == named), None)
    if named and chosen is None and not problem and outcome is None:
        raise Problem(404, f"there is no user `{named[:100]}`")
    token = request.query_params.get("token", "")
    revoked = next((one for one in tokens if one.name == token), None)
    if token and revoked is None and not problem and outcome is None:
        raise Problem(404, f"there is no token `{token[:100]}`")
    return await panel_page(
        request,
        "people.html",
        active="people",
        users=users[:MOST],
        n_users=len(users),
        tokens=tokens[:MOST],
        n_tokens=len(tokens),
        names=[one.name for one in users],
        chosen=chosen,
        revoked=revoked,
        roles=ROLES,
        expiries=EXPIRIES,
        outcome=outcome,
        problem=problem,
        fields=fields or {},
        longest_reason=_REASON,
        me=caller_of(request).name,
        status=status,
    )


async def _act(request: Request) -> Response:
    """Do it in the caller's name, and show the lists as they are then."""
    form = await read_form(request)
    site = site_of(request)
    access = site.project.acting_as(caller_of(request).name).access
    try:
        outcome = await site.call(_done, access, form, site.links.to("sign-in"))
    except StokerError as error:
        if isinstance(error, Bug):
            raise
        problem = problem_of(error)
        return await _page(request, problem=str(error), status=problem.status, fields=form)
    return await _page(request, outcome=outcome)


def _done(access: "Access", form: Mapping[str, str], sign_in: str) -> Outcome:
    """Do what the form asks for. Call in a thread: a password takes 50 ms."""
    verb, name = form.get("act", ""), form.get("name", "").strip()
    reason = form.get("reason", "").strip()[:_REASON] or None
    doing = _VERBS.get(verb)
    if doing is None:
        raise UserError(f"`{verb[:20]}` is not something that this page does")
    if not name:
        raise UserError("the name is missing")
    return doing(access, form, name, reason, sign_in)


def _create_user(
    access: "Access", form: Mapping[str, str], name: str, reason: str | None, _sign_in: str
) -> Outcome:
    role, password = form.get("role", "viewer"), form.get("password", "")
    access.create_user(name, role=role, password=password or None, reason=reason)
    more = "" if password else "; a sign-in link lets them in the first time"
    return Outcome(
        said=f"`{name}` can sign in as {role}{more}",
        command=command_line("user create", name, role=role, reason=reason),
    )


def _set_user(
    access: "Access", form: Mapping[str, str], name: str, reason: str | None, _sign_in: str
) -> Outcome:
    role, password = form.get("role") or None, form.get("password") or None
    access.set_user(name, role=role, password=password, reason=reason)
    said = [f"is {role} now"] if role else []
    said += ["has a new password, and was signed out everywhere"] if password else []
    return Outcome(
        said=f"`{name}` {' and '.join(said)}",
        command=command_line("user set", name, role=role, reason=reason),
    )


def _remove_user(
    access: "Access", _form: Mapping[str, str], name: str, reason: str | None, _sign_in: str
) -> Outcome:
    access.remove_user(name, reason=reason)
    return Outcome(
        said=f"`{name}` is removed, with all sessions and tokens; their items stay",
        command=command_line("user remove", name, reason=reason),
    )


def _link_user(
    access: "Access", _form: Mapping[str, str], name: str, reason: str | None, sign_in: str
) -> Outcome:
    secret = access.create_link(name, reason=reason)
    return Outcome(
        said=f"`{name}` signs in once by this link, within ten minutes; it is shown this once",
        command=command_line("user link", name, reason=reason),
        secret=f"{sign_in}?link={secret}",
        is_link=True,
    )


def _create_token(
    access: "Access", form: Mapping[str, str], name: str, reason: str | None, _sign_in: str
) -> Outcome:
    days = form.get("expires", "")
    if days not in EXPIRIES:
        raise UserError(f"`{days[:20]}` is not a time that this page offers")
    role, user = form.get("role") or None, form.get("user") or None
    secret = access.create_token(
        name,
        role=role,
        user=user,
        expires_s=float(days) * _DAY_S if days else None,
        reason=reason,
    )
    expires = f"{days}d" if days else None
    return Outcome(
        said=f"Token `{name}` is made; it is shown this once, so copy it now",
        command=command_line(
            "token create", name, role=role, user=user, expires=expires, reason=reason
        ),
        secret=secret,
    )


def _revoke_token(
    access: "Access", _form: Mapping[str, str], name: str, reason: str | None, _sign_in: str
) -> Outcome:
    access.revoke_token(name, reason=reason)
    return Outcome(
        said=f"Token `{name}` is revoked: programs that use it are refused from now on",
        command=command_line("token revoke", name, reason=reason),
    )


_VERBS = {
    "create_user": _create_user,
    "set_user": _set_user,
    "remove_user": _remove_user,
    "link_user": _link_user,
    "create_token": _create_token,
    "revoke_token": _revoke_token,
}

RESOURCES = [
    Resource(
        "/people",
        {
            "GET": Operation(
                handle=_show,
                need=Need.ADMIN,
                summary="Users and tokens",
                query={"user": _NAME, "token": _NAME},
            ),
            "POST": Operation(
                handle=_act,
                need=Need.ADMIN,
                summary="Make, change or remove a user or a token",
                query={"user": _NAME, "token": _NAME},
            ),
        },
        name="people",
    )
]
