"""Batch systems with their pilots, and messages: the verbs of `stoker batch` and `stoker notify`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query as Asked
from fastapi import Request, Response
from pydantic import Field

from stoker.project.answers import NotifyAnswer, TriedAnswer
from stoker.project.verbs.batch import Batch, BatchAnswer, PilotLog, TrialAnswer
from stoker.store.batch_rows import PilotRow
from stoker.web.answers import site_of
from stoker.web.api.answers import answer, look
from stoker.web.api.queries import Body, Query, Text, Words
from stoker.web.api.reading import NOT_MODIFIED, Rows
from stoker.web.api.routes import CallerNow, Routes
from stoker.web.caller import Caller
from stoker.web.needs import Need

ROUTES = Routes(tags=["Fleet"])
WAIT_S = 10.0  # that a request may wait for a trial; the service's end waits for it too


@dataclass(frozen=True, slots=True)
class PilotRows:
    """Pilots."""

    rows: list[PilotRow]


@dataclass(frozen=True, slots=True)
class NotifyRows:
    """Entries of `[notify]`."""

    rows: list[NotifyAnswer]


class PilotsQuery(Query):
    """Which pilots."""

    batch: Text | None = Field(default=None, description="of this batch system")
    all: bool = Field(default=False, description="all that ever were")


class PilotQuery(Query):
    """One pilot."""

    batch: Text = Field(description="its batch system")
    pilot: Text | None = Field(
        default=None, description="its id, or the beginning of it; the newest if left out"
    )


class BatchBody(Body):
    """A batch system by name."""

    batch: Text
    reason: Annotated[str, Field(max_length=10_000)] | None = Field(
        default=None, description="why; kept in the record beside your name"
    )
    dry_run: bool = Field(default=False, description="say what would be done, and do nothing")


class CancelBody(BatchBody):
    """Pilots that are to end; all of the batch system if none is named."""

    pilots: Words = Field(default=[], description="their ids")


class TryBody(BatchBody):
    """A trial, and for how long the answer may wait for it."""

    wait_s: Annotated[float, Field(ge=0, le=WAIT_S, strict=False)] = Field(
        default=0.0, description="`batch` shows the pilot while it waits longer"
    )


class MessageBody(Body):
    """The entry of `[notify]` that a test message goes to."""

    name: Text
    to: Text | None = Field(default=None, description="who stands for `{by}` or the parameter")
    dry_run: bool = Field(default=False, description="say what would be done, and do nothing")


@ROUTES.get_for(Need.VIEWER, "/batch", PilotRows, responses=NOT_MODIFIED)
async def pilots(request: Request, asked: Annotated[PilotsQuery, Asked()]) -> Response:
    """The pilots that wait or run, and the newest of those that are over."""
    project = site_of(request).project
    return await look(request, lambda: Rows(project.batch.list(asked.batch, everyone=asked.all)))


@ROUTES.get_for(Need.VIEWER, "/batch/logs", PilotLog, responses=NOT_MODIFIED)
async def pilot_log(request: Request, asked: Annotated[PilotQuery, Asked()]) -> Response:
    """The end of what a pilot wrote."""
    project = site_of(request).project
    return await look(request, lambda: project.batch.logs(asked.batch, asked.pilot))


@ROUTES.post_for(Need.OPERATOR, "/batch/hold", BatchAnswer)
async def hold(request: Request, body: BatchBody, caller: CallerNow) -> Response:
    """Nothing more is submitted to a batch system; its pilots go on."""
    return await _change(
        request,
        caller,
        lambda batch: batch.hold(body.batch, reason=body.reason, dry_run=body.dry_run),
    )


@ROUTES.post_for(Need.OPERATOR, "/batch/release", BatchAnswer)
async def release(request: Request, body: BatchBody, caller: CallerNow) -> Response:
    """A batch system gets pilots again, as if nothing had gone wrong there."""
    return await _change(
        request,
        caller,
        lambda batch: batch.release(body.batch, reason=body.reason, dry_run=body.dry_run),
    )


@ROUTES.post_for(Need.OPERATOR, "/batch/cancel", BatchAnswer)
async def cancel(request: Request, body: CancelBody, caller: CallerNow) -> Response:
    """All pilots of a batch system end, or those named; what they run is ready again."""
    return await _change(
        request,
        caller,
        lambda batch: batch.cancel(
            body.batch, *body.pilots, reason=body.reason, dry_run=body.dry_run
        ),
    )


@ROUTES.post_for(Need.OPERATOR, "/batch/try", TrialAnswer)
async def try_batch(request: Request, body: TryBody, caller: CallerNow) -> Response:
    """One short pilot is submitted that takes no work and reports what it found."""
    return await _change(
        request,
        caller,
        lambda batch: batch.try_(
            body.batch, wait_s=body.wait_s, reason=body.reason, dry_run=body.dry_run
        ),
    )


@ROUTES.get_for(Need.OPERATOR, "/notify", NotifyRows)
async def notify(request: Request, asked: Annotated[Query, Asked()], caller: CallerNow) -> Response:  # noqa: ARG001 - refuses every parameter
    """The entries of `[notify]`, and the state of each."""
    site = site_of(request)

    def entries() -> Rows:
        verbs = site.project.reread_for(caller.name).notify
        return Rows([NotifyAnswer.of(verbs.entry(name), one) for name, one in verbs.list().items()])

    return answer(await site.call(entries))


@ROUTES.post_for(Need.OPERATOR, "/notify/try", TriedAnswer)
async def try_message(request: Request, body: MessageBody, caller: CallerNow) -> Response:
    """A test message was delivered; 503 if it was not."""
    site = site_of(request)

    def tried() -> TriedAnswer:
        verbs = site.project.reread_for(caller.name).notify
        if body.dry_run:
            verbs.entry(body.name)
        else:
            verbs.try_(body.name, to=body.to)
        return TriedAnswer(name=body.name, dry_run=body.dry_run)

    return answer(await site.call(tried))


async def _change(request: Request, caller: Caller, verb: Callable[[Batch], object]) -> Response:
    """Return what the verb does to the batch systems of the file as it is now."""
    site = site_of(request)
    return answer(await site.call(lambda: verb(site.project.reread_for(caller.name).batch)))
