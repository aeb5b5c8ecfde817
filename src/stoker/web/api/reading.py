"""The reading verbs, each with the JSON of its command."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query as Asked
from fastapi import Request, Response
from pydantic import Field

from stoker.project.plans.planning import Plan
from stoker.store.access.rows import TokenRow, UserRow
from stoker.store.rows import AttemptRow, ItemRow, MakerRow, TaskRow
from stoker.store.status_rows import SlotRow, Status, WorkerRow
from stoker.store.story_rows import FailureRow, Story, Why
from stoker.web.answers import site_of
from stoker.web.api.answers import look, read
from stoker.web.api.queries import ItemQuery, ListQuery, Query, SelectionQuery, Text, WhyQuery
from stoker.web.api.routes import Routes
from stoker.web.needs import Need

ROUTES = Routes(tags=["Look"])
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Nothing has changed since the answer with this ETag"}
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A whole list, as `{"rows": […]}`."""

    rows: list[Any]


class PipelineQuery(Query):
    """One pipeline, or all."""

    pipeline: Text | None = Field(default=None, description="of this pipeline")


class PathQuery(Query):
    """A file."""

    path: Text = Field(description="the absolute path of the file")


class PoolQuery(Query):
    """One pool, or all."""

    pool: Text | None = Field(default=None, description="of this pool")


class WorkersQuery(Query):
    """Which workers."""

    all: bool = Field(default=False, description="those that have ended or died, too")


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some items in order. `next` asks for those behind them; null after the last ones."""

    rows: list[ItemRow]
    next: str | None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Some tasks in order. `next` asks for those behind them; null after the last ones."""

    rows: list[TaskRow]
    next: str | None


@dataclass(frozen=True, slots=True)
class AttemptPage:
    """Some attempts in order. `next` asks for those behind them; null after the last ones."""

    rows: list[AttemptRow]
    next: str | None


@dataclass(frozen=True, slots=True)
class FailureRows:
    """Failures by cause, most frequent first."""

    rows: list[FailureRow]


@dataclass(frozen=True, slots=True)
class SlotRows:
    """The slots of pools."""

    rows: list[SlotRow]


@dataclass(frozen=True, slots=True)
class WorkerRows:
    """Workers."""

    rows: list[WorkerRow]


@dataclass(frozen=True, slots=True)
class UserRows:
    """Users."""

    rows: list[UserRow]


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Tokens, without their secrets."""

    rows: list[TokenRow]


@ROUTES.get_for(Need.VIEWER, "/status", Status, responses=NOT_MODIFIED)
async def status(request: Request, asked: Annotated[PipelineQuery, Asked()]) -> Response:
    """Items and tasks by state, pools, workers and sources."""
    project = site_of(request).project
    return await look(request, lambda: project.status(pipeline=asked.pipeline))


@ROUTES.get_for(Need.VIEWER, "/items", ItemPage, responses=NOT_MODIFIED)
async def items(request: Request, asked: Annotated[ListQuery, Asked()]) -> Response:
    """A page of items."""
    project, chosen = site_of(request).project, asked.selection()
    return await read(
        request, lambda: project.page_items(chosen, after=asked.next, limit=asked.limit)
    )


@ROUTES.get_for(Need.VIEWER, "/tasks", TaskPage, responses=NOT_MODIFIED)
async def tasks(request: Request, asked: Annotated[ListQuery, Asked()]) -> Response:
    """A page of tasks."""
    project, chosen = site_of(request).project, asked.selection()
    return await read(
        request, lambda: project.page_tasks(chosen, after=asked.next, limit=asked.limit)
    )


@ROUTES.get_for(Need.VIEWER, "/attempts", AttemptPage, responses=NOT_MODIFIED)
async def attempts(request: Request, asked: Annotated[ListQuery, Asked()]) -> Response:
    """A page of attempts, oldest first."""
    project, chosen = site_of(request).project, asked.selection()
    return await read(
        request, lambda: project.page_attempts(chosen, after=asked.next, limit=asked.limit)
    )


@ROUTES.get_for(Need.VIEWER, "/show", Story, responses=NOT_MODIFIED)
async def show(request: Request, asked: Annotated[ItemQuery, Asked()]) -> Response:
    """The whole story of an item in order."""
    project = site_of(request).project
    return await look(request, lambda: project.show(asked.key, pipeline=asked.pipeline))


@ROUTES.get_for(Need.VIEWER, "/why", Why, responses=NOT_MODIFIED)
async def why(request: Request, asked: Annotated[WhyQuery, Asked()]) -> Response:
    """The one reason why an item's task is not running."""
    project = site_of(request).project
    return await look(request, lambda: project.why(asked.key, asked.step, pipeline=asked.pipeline))


@ROUTES.get_for(Need.VIEWER, "/which", MakerRow, responses=NOT_MODIFIED)
async def which(request: Request, asked: Annotated[PathQuery, Asked()]) -> Response:
    """The attempt that made a file."""
    project = site_of(request).project
    return await read(request, lambda: project.which(asked.path))


@ROUTES.get_for(Need.VIEWER, "/failures", FailureRows, responses=NOT_MODIFIED)
async def failures(request: Request, asked: Annotated[SelectionQuery, Asked()]) -> Response:
    """Failed tasks by step and cause, most frequent first."""
    project, chosen = site_of(request).project, asked.selection()
    return await read(request, lambda: Rows(project.failures(selection=chosen)))


@ROUTES.get_for(Need.VIEWER, "/plan", Plan, responses=NOT_MODIFIED)
async def plan(request: Request, asked: Annotated[PipelineQuery, Asked()]) -> Response:
    """What would happen with all that is left, in which order and how long."""
    project = site_of(request).project
    return await look(request, lambda: project.plan(asked.pipeline))


@ROUTES.get_for(Need.VIEWER, "/pools", SlotRows, responses=NOT_MODIFIED)
async def pools(request: Request, asked: Annotated[PoolQuery, Asked()]) -> Response:
    """The slots of pools, and who holds them."""
    project = site_of(request).project
    return await look(request, lambda: Rows(project.slots(pool=asked.pool)))


@ROUTES.get_for(Need.VIEWER, "/workers", WorkerRows, responses=NOT_MODIFIED)
async def workers(request: Request, asked: Annotated[WorkersQuery, Asked()]) -> Response:
    """Workers that are alive, or all that ever were."""
    project = site_of(request).project
    return await look(request, lambda: Rows(project.workers(everyone=asked.all)))


@ROUTES.get_for(Need.ADMIN, "/users", UserRows, responses=NOT_MODIFIED)
async def users(request: Request, asked: Annotated[Query, Asked()]) -> Response:  # noqa: ARG001 - refuses every parameter
    """The users who may sign in."""
    access = site_of(request).project.access
    return await look(request, lambda: Rows(access.users()))


@ROUTES.get_for(Need.ADMIN, "/tokens", TokenRows, responses=NOT_MODIFIED)
async def tokens(request: Request, asked: Annotated[Query, Asked()]) -> Response:  # noqa: ARG001 - refuses every parameter
    """The tokens of programs, without their secrets."""
    access = site_of(request).project.access
    return await look(request, lambda: Rows(access.tokens()))
