"""Groups: those that wait too, one with its members, and completing one as it is."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query as Asked
from fastapi import Request, Response
from pydantic import Field

from stoker.model.bounds import PAGE_ROWS
from stoker.store.groups.rows import GroupClosed, GroupRow, GroupStory
from stoker.web.answers import site_of
from stoker.web.api.answers import answer, look
from stoker.web.api.queries import Body, ItemQuery, Query, Text
from stoker.web.api.reading import NOT_MODIFIED
from stoker.web.api.routes import CallerNow, Routes
from stoker.web.needs import Need

ROUTES = Routes(tags=["Groups"])


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Some groups in order. `next` asks for those behind them; null after the last ones."""

    rows: list[GroupRow]
    next: str | None


class GroupQuery(Query):
    """Which groups, and which page of them."""

    key: Text | None = Field(default=None, description="its key, or that of its item")
    pipeline: Text | None = Field(default=None, description="of this pipeline")
    waiting: bool = Field(default=False, description="only those that are not complete")
    limit: Annotated[int, Field(ge=PAGE_ROWS.least, le=PAGE_ROWS.most)] = Field(
        default=100, description="how many rows"
    )
    next: Text | None = Field(default=None, description="the `next` of the page before")


class CloseBody(Body):
    """The group that is to be complete as it is."""

    key: Text
    pipeline: Text | None = Field(default=None, description="its pipeline, if several have the key")
    reason: Annotated[str, Field(max_length=10_000)] | None = Field(
        default=None, description="why; kept in the record beside your name"
    )
    dry_run: bool = Field(default=False, description="say what would be done, and do nothing")


@ROUTES.get_for(Need.VIEWER, "/groups", GroupPage, responses=NOT_MODIFIED)
async def groups(request: Request, asked: Annotated[GroupQuery, Asked()]) -> Response:
    """A page of groups, also those that are not complete yet."""
    verbs = site_of(request).project.groups
    return await look(
        request,
        lambda: verbs.page(
            asked.key,
            pipeline=asked.pipeline,
            is_waiting=asked.waiting,
            after=asked.next,
            limit=asked.limit,
        ),
    )


@ROUTES.get_for(Need.VIEWER, "/groups/show", GroupStory, responses=NOT_MODIFIED)
async def group(request: Request, asked: Annotated[ItemQuery, Asked()]) -> Response:
    """A group with its members, and what it waits for."""
    verbs = site_of(request).project.groups
    return await look(request, lambda: verbs.show(asked.key, pipeline=asked.pipeline))


@ROUTES.post_for(Need.OPERATOR, "/groups/close", GroupClosed)
async def close(request: Request, body: CloseBody, caller: CallerNow) -> Response:
    """A group is complete as it is, and its item registered, whatever else was expected of it."""
    site = site_of(request)

    def closed() -> GroupClosed:
        verbs = site.project.reread_for(caller.name).groups
        return verbs.close(
            body.key, pipeline=body.pipeline, reason=body.reason, dry_run=body.dry_run
        )

    done = await site.call(closed)
    if not body.dry_run:
        site.on_registered()
    return answer(done)
