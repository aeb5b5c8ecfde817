"""Submitting items: one, or many in one request, each accepted or with all its errors."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Path, Request, Response
from pydantic import Field

from stoker.model.bounds import PRIORITY
from stoker.project.jobs.acceptance import Acceptance, Outcome, Wanted
from stoker.project.jobs.validation import InputError
from stoker.project.jobs.verbs import MOST_JOBS
from stoker.web.answers import site_of
from stoker.web.api.answers import answer
from stoker.web.api.queries import Body
from stoker.web.api.routes import CallerNow, Routes, error_answers
from stoker.web.caller import no_such_process
from stoker.web.needs import Need
from stoker.web.ogc.seen import may_see, may_submit
from stoker.web.problems import PROBLEM, Problem
from stoker.web.site import Site
from stoker.web.uploads.fetching import Fetching
from stoker.web.uploads.naming import finder

ROUTES = Routes(tags=["Submit"])


class NewItem(Body):
    """One item: the values of its parameters, and `item` for its file."""

    inputs: dict[str, Any] = Field(default={}, description="parameters by name, and `item`")
    priority: Annotated[int, Field(ge=PRIORITY.least, le=PRIORITY.most)] | None = Field(
        default=None, description="higher first; needs the role `operator`"
    )


class NewItems(Body):
    """Items to submit."""

    items: Annotated[list[NewItem], Field(min_length=1, max_length=MOST_JOBS)]
    atomic: bool = Field(default=False, description="accept all of them, or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedItem:
    """What became of an item: its key and the address of its state, or its errors."""

    item: str | None
    location: str | None
    errors: tuple[InputError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """How many items were accepted and refused, and what became of each, in the order of the request."""

    accepted: int
    refused: int
    items: tuple[SubmittedItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A problem (RFC 9457) with what is wrong with each item."""

    type: str
    title: str
    status: int
    detail: str
    accepted: int
    refused: int
    items: tuple[SubmittedItem, ...]


@ROUTES.post_for(
    Need.OWN,
    "/pipelines/{pipeline}/items",
    None,
    status_code=201,
    responses={
        201: {"model": Submitted, "description": "At least one item is accepted, and durable"},
        422: {
            "model": Refusal,
            "description": "Not one item is accepted; each has its errors",
        },
        **error_answers(429),
    },
)
async def submit(
    request: Request,
    pipeline: Annotated[str, Path(description="its name")],
    body: NewItems,
    caller: CallerNow,
) -> Response:
    """Register items: each is accepted, or has all its errors; with `atomic` all or none."""
    site = site_of(request)
    offered = (await site.call(site.offered)).get(pipeline)
    if offered is None or not may_see(caller, offered):
        raise no_such_process(pipeline)
    if not may_submit(caller, offered):
        raise Problem(403, f"submitting to `{pipeline}` needs the role `submitter`")
    if any(one.priority is not None for one in body.items) and not caller.may(Need.OPERATOR):
        raise Problem(403, "a priority of one's own needs the role `operator`")
    acceptance = Acceptance(
        site.project.acting_as(caller.name),
        offered.pipeline,
        client=caller.limited_by(offered.pipeline.web),
        find_file=finder(site, caller, offered.pipeline),
    )
    async with Fetching(site, caller, offered.pipeline) as fetching:
        wanted = []
        for one in body.items:
            inputs, wrong = await fetching.inputs(one.inputs)
            wanted.append(Wanted(inputs=inputs, priority=one.priority, errors=wrong))
        outcomes = await site.call(acceptance.many, wanted, atomic=body.atomic)
        if any(one.key is not None for one in outcomes):
            fetching.keep()
    return _answer(site, outcomes)


def _answer(site: Site, outcomes: list[Outcome]) -> Response:
    items = tuple(
        SubmittedItem(
            item=one.key,
            location=None if one.key is None else site.links.to("jobs", one.key),
            errors=one.errors,
        )
        for one in outcomes
    )
    accepted = sum(one.item is not None for one in items)
    refused = len(items) - accepted
    if accepted:
        site.on_registered()
        headers = {"Location": items[0].location or ""} if len(items) == 1 else {}
        made = Submitted(accepted=accepted, refused=refused, items=items)
        return answer(made, status=201, headers=headers)
    wrong = sum(bool(one.errors) for one in items)
    refusal = Refusal(
        type="about:blank",
        title="Unprocessable Content",
        status=422,
        detail=f"{wrong:,} of {refused:,} items cannot be accepted, and none is",
        accepted=0,
        refused=refused,
        items=items,
    )
    response = answer(refusal, status=422)
    response.headers["content-type"] = PROBLEM
    return response
