"""Results: tables of values, outputs against their records, outputs of other systems, and the report."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Query as Asked
from fastapi import Request, Response
from pydantic import Field

from stoker.errors import UserError
from stoker.project.answers import AdoptAnswer, ValueAnswer
from stoker.project.verbs.verifying import OutputProblem, Verification
from stoker.web.answers import site_of
from stoker.web.api.answers import answer
from stoker.web.api.queries import Body, ChangeBody, Query, SelectionBody, SelectionQuery, Text
from stoker.web.api.routes import CallerNow, Routes
from stoker.web.api.streamed import rows_answer
from stoker.web.needs import Need
from stoker.web.panel.report import report_of_project

ROUTES = Routes(tags=["Results"])


@dataclass(frozen=True, slots=True)
class ValueRows:
    """Rows of a table."""

    rows: list[ValueAnswer]


@dataclass(frozen=True, slots=True)
class Compared:
    """Outputs that are not as recorded, of how many, and how many of them are missing."""

    rows: list[OutputProblem]
    outputs: int
    missing: int


class ValuesQuery(SelectionQuery):
    """A selection of one pipeline, and the columns of the table."""

    columns: Annotated[list[Text], Field(max_length=1_000)] = Field(
        default=[],
        description="`key`, `params.x`, `meta.x`, `values.STEP.x`, `outputs.STEP.x`; by default the "
        "key, all parameters and all values",
    )


class VerifyBody(Body):
    """Whose outputs are compared. An empty selection is everything: it has to be written."""

    selection: SelectionBody
    checksum: bool = Field(default=False, description="compare contents, not only sizes")
    dry_run: bool = Field(default=False, description="the store does not remember what is missing")


class AdoptBody(ChangeBody):
    """As for other verbs; the selection names a pipeline."""

    without_outputs: bool = Field(
        default=False, description="also tasks of which no output exists: they were done elsewhere"
    )


@ROUTES.get_for(Need.VIEWER, "/values", ValueRows)
async def values(request: Request, asked: Annotated[ValuesQuery, Asked()]) -> Response:
    """Parameters and values of items as a table, ordered by key, of one state of the store."""
    site = site_of(request)
    pipeline, chosen = _pipeline(asked.pipeline), asked.selection()
    verb = site.project.values.each
    return await rows_answer(
        request,
        lambda: (
            ValueAnswer(columns=row)
            for row in verb(pipeline, columns=asked.columns, selection=chosen)
        ),
    )


@ROUTES.post_for(Need.OPERATOR, "/verify", Compared)
async def verify(request: Request, body: VerifyBody) -> Response:
    """Outputs that are missing, or not as their records say. The store remembers which are missing."""
    project = site_of(request).project
    found: list[Verification] = []

    def compared() -> Verification:
        found.append(
            project.verify(
                selection=body.selection.selection(), checksum=body.checksum, dry_run=body.dry_run
            )
        )
        return found[0]

    return await rows_answer(
        request, compared, lambda: {"outputs": found[0].outputs, "missing": found[0].missing}
    )


@ROUTES.post_for(Need.OPERATOR, "/adopt", AdoptAnswer)
async def adopt(request: Request, body: AdoptBody, caller: CallerNow) -> Response:
    """Tasks whose outputs all exist already are done."""
    site = site_of(request)
    chosen = body.selection.selection()
    pipeline = _pipeline(chosen.pipeline)
    if body.without_outputs and replace(chosen, pipeline=None).is_everything:
        raise UserError(
            "`without_outputs` needs more of a selection than the pipeline, as it marks tasks done "
            "that left nothing; `keys` may be `*`"
        )

    def adopted() -> AdoptAnswer:
        done = site.project.reread_for(caller.name).adopt(
            pipeline,
            selection=chosen,
            without_outputs=body.without_outputs,
            reason=body.reason,
            dry_run=body.dry_run,
        )
        return AdoptAnswer.of(done, dry_run=body.dry_run)

    done = await site.call(adopted)
    if not body.dry_run:
        site.on_registered()
    return answer(done)


@ROUTES.get_for(
    Need.VIEWER,
    "/report",
    None,
    responses={
        200: {
            "description": "One page that needs nothing else, of at most 2 MB",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    },
)
async def report(request: Request, asked: Annotated[Query, Asked()]) -> Response:  # noqa: ARG001 - refuses every parameter
    """The state as one self-contained page, to be kept or mailed."""
    site = site_of(request)
    content = await site.call(report_of_project, site.project)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": 'attachment; filename="report.html"',
    }
    return Response(content, headers=headers, media_type="text/html")


def _pipeline(name: str | None) -> str:
    if name is None:
        raise UserError("say of which pipeline, by `pipeline`")
    return name
