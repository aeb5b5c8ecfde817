"""The changing verbs: `POST` of a selection, and the counts of what was done."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request, Response
from pydantic import Field

from stoker.project.answers import ChangeAnswer, PoolAnswer
from stoker.web.answers import site_of
from stoker.web.api.answers import answer
from stoker.web.api.queries import Body, ChangeBody, PriorityBody, RerunBody, Text
from stoker.web.api.routes import CallerNow, Routes
from stoker.web.caller import Caller
from stoker.web.needs import Need
from stoker.web.problems import Problem

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.project import Project

ROUTES = Routes(tags=["Repair"])


class PoolBody(Body):
    """The slots that a pool has from now on: their number, or their names."""

    pool: Text
    slots: Annotated[int, Field(ge=0, le=10_000)] | Annotated[list[Text], Field(max_length=10_000)]
    reason: Annotated[str, Field(max_length=10_000)] | None = None
    dry_run: bool = False


@ROUTES.post_for(Need.OPERATOR, "/retry", ChangeAnswer)
async def retry(request: Request, body: ChangeBody, caller: CallerNow) -> Response:
    """Failed tasks become ready, with a fresh allowance."""
    return await _change(request, "retry", body, caller)


@ROUTES.post_for(Need.OPERATOR, "/rerun", ChangeAnswer)
async def rerun(request: Request, body: RerunBody, caller: CallerNow) -> Response:
    """Tasks become ready again, and all that follow from them blocked."""
    return await _change(
        request, "rerun", body, caller, outdated=body.outdated, missing=body.missing
    )


@ROUTES.post_for(Need.OPERATOR, "/hold", ChangeAnswer)
async def hold(request: Request, body: ChangeBody, caller: CallerNow) -> Response:
    """Tasks are not started until they are released."""
    return await _change(request, "hold", body, caller)


@ROUTES.post_for(Need.OPERATOR, "/release", ChangeAnswer)
async def release(request: Request, body: ChangeBody, caller: CallerNow) -> Response:
    """Held tasks go on."""
    return await _change(request, "release", body, caller)


@ROUTES.post_for(Need.OPERATOR, "/priority", ChangeAnswer)
async def priority(request: Request, body: PriorityBody, caller: CallerNow) -> Response:
    """The items of the selected tasks come earlier or later from now on."""
    return await _change(request, "set_priority", body, caller, priority=body.priority)


@ROUTES.post_for(Need.SUBMITTER, "/cancel", ChangeAnswer)
async def cancel(request: Request, body: ChangeBody, caller: CallerNow) -> Response:
    """Tasks are given up; running ones are stopped. A submitter cancels what is their own."""
    return await _change(request, "cancel", body, caller)


@ROUTES.post_for(Need.ADMIN, "/pools/set", PoolAnswer)
async def set_pool(request: Request, body: PoolBody, caller: CallerNow) -> Response:
    """A pool has more or fewer slots from now on, until the file says something else of it."""
    site = site_of(request)
    project = site.project.acting_as(caller.name)
    change = await site.call(
        project.set_pool, body.pool, body.slots, reason=body.reason, dry_run=body.dry_run
    )
    return answer(PoolAnswer(dry_run=body.dry_run, change=change))


async def _change(
    request: Request, verb: str, body: ChangeBody, caller: Caller, **more: Any
) -> Response:
    site = site_of(request)
    project: Project = site.project.acting_as(caller.name)
    chosen = own_part(body.selection.selection(), caller)
    done = await site.call(
        getattr(project, verb),
        selection=chosen,
        reason=body.reason,
        dry_run=body.dry_run,
        **more,
    )
    if not body.dry_run:
        site.on_registered()
    return answer(ChangeAnswer.of(done, dry_run=body.dry_run))


def own_part(chosen: "Selection", caller: Caller) -> "Selection":
    """Return the selection as far as the caller may change it: a submitter only what is their own."""
    if caller.may(Need.OPERATOR):
        return chosen
    if chosen.by not in (None, caller.name):
        raise Problem(403, "what others have submitted needs the role `operator`")
    return replace(chosen, by=caller.name)
