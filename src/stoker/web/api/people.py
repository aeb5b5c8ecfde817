"""Users and tokens, for admins: the verbs of `stoker user` and `stoker token`."""

from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import Field

from stoker.model.bounds import TIME_S
from stoker.project.answers import LinkAnswer, TokenAnswer, UserAnswer
from stoker.project.verbs.access import Access
from stoker.web.answers import site_of
from stoker.web.api.answers import answer
from stoker.web.api.queries import Body, Text
from stoker.web.api.routes import CallerNow, Routes
from stoker.web.caller import Caller
from stoker.web.needs import Need

ROUTES = Routes(tags=["Share"])

Word = Literal["viewer", "submitter", "operator", "admin"]
Password = Annotated[str, Field(min_length=10, max_length=1000)]


class NamedBody(Body):
    """A user or a token by name."""

    name: Text
    reason: Annotated[str, Field(max_length=10_000)] | None = None
    dry_run: bool = False


class NewUserBody(NamedBody):
    """A user to make."""

    role: Word = "viewer"
    password: Password | None = None


class ChangedUserBody(NamedBody):
    """A user to change; what is left out stays."""

    role: Word | None = None
    password: Password | None = None


class NewTokenBody(NamedBody):
    """A token to make."""

    role: Word | None = Field(default=None, description="a submitter's if left out")
    user: Text | None = Field(default=None, description="for whom it acts, with at most their role")
    expires_s: Annotated[float, Field(gt=0, le=TIME_S.most, strict=False)] | None = Field(
        default=None, description="worthless after this time"
    )


@ROUTES.post_for(Need.ADMIN, "/users/create", UserAnswer)
async def create_user(request: Request, body: NewUserBody, caller: CallerNow) -> Response:
    """There is a user of that name."""
    await site_of(request).call(
        _access(request, caller).create_user,
        body.name,
        role=body.role,
        password=body.password,
        reason=body.reason,
        dry_run=body.dry_run,
    )
    return answer(UserAnswer(name=body.name, role=body.role, dry_run=body.dry_run))


@ROUTES.post_for(Need.ADMIN, "/users/set", UserAnswer)
async def set_user(request: Request, body: ChangedUserBody, caller: CallerNow) -> Response:
    """The user has this role, or this password, which ends all their sessions."""
    site, access = site_of(request), _access(request, caller)
    await site.call(
        access.set_user,
        body.name,
        role=body.role,
        password=body.password,
        reason=body.reason,
        dry_run=body.dry_run,
    )
    row = await site.call(access.user, body.name)
    return answer(UserAnswer(name=row.name, role=body.role or row.role, dry_run=body.dry_run))


@ROUTES.post_for(Need.ADMIN, "/users/remove", UserAnswer)
async def remove_user(request: Request, body: NamedBody, caller: CallerNow) -> Response:
    """There is no such user any more; their tokens and sessions are worthless."""
    access = _access(request, caller)
    await site_of(request).call(
        access.remove_user, body.name, reason=body.reason, dry_run=body.dry_run
    )
    return answer(UserAnswer(name=body.name, role=None, dry_run=body.dry_run))


@ROUTES.post_for(Need.ADMIN, "/users/link", LinkAnswer)
async def link_user(request: Request, body: NamedBody, caller: CallerNow) -> Response:
    """A link by which the user signs in once, within ten minutes."""
    site, access = site_of(request), _access(request, caller)
    secret = await site.call(
        access.create_link, body.name, reason=body.reason, dry_run=body.dry_run
    )
    url = site.links.to("sign-in", link="" if body.dry_run else secret)
    return answer(LinkAnswer(name=body.name, url=url, dry_run=body.dry_run))


@ROUTES.post_for(Need.ADMIN, "/tokens/create", TokenAnswer)
async def create_token(request: Request, body: NewTokenBody, caller: CallerNow) -> Response:
    """There is a token of that name, which is shown this once."""
    secret = await site_of(request).call(
        _access(request, caller).create_token,
        body.name,
        role=body.role,
        user=body.user,
        expires_s=body.expires_s,
        reason=body.reason,
        dry_run=body.dry_run,
    )
    token = None if body.dry_run else secret
    return answer(
        TokenAnswer(name=body.name, token=token, dry_run=body.dry_run),
        headers={"Cache-Control": "no-store"},
    )


@ROUTES.post_for(Need.ADMIN, "/tokens/revoke", TokenAnswer)
async def revoke_token(request: Request, body: NamedBody, caller: CallerNow) -> Response:
    """The token is worthless from now on."""
    access = _access(request, caller)
    await site_of(request).call(
        access.revoke_token, body.name, reason=body.reason, dry_run=body.dry_run
    )
    return answer(TokenAnswer(name=body.name, token=None, dry_run=body.dry_run))


def _access(request: Request, caller: Caller) -> Access:
    return site_of(request).project.acting_as(caller.name).access
