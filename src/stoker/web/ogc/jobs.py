"""The jobs of a client: their state, their results, and their end."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import NotFound
from stoker.project.jobs.verbs import check_is_job_id
from stoker.web.answers import (
    HTML,
    as_bytes,
    body_answer,
    document_answer,
    form_of,
    json_answer,
    site_of,
    with_alternates,
)
from stoker.web.caller import caller_of, may_end_job, may_see_job, no_such_job
from stoker.web.needs import Need
from stoker.web.ogc import listing, results, stories
from stoker.web.ogc.queries import FORM
from stoker.web.ogc.seen import job_named
from stoker.web.ogc.statuses import Statuses, status_of, status_of_removed
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource


async def _get(request: Request) -> Response:
    job = await job_named(request)
    site = site_of(request)
    outlook, links = await site.foresight.outlook(job), site.links

    def content() -> dict[str, Any]:
        found = status_of(job, links, outlook)
        found["links"] = [one for one in found["links"] if one["rel"] != "self"]
        return found

    title = f"Job {job.key}"
    if form_of(request) == HTML:
        return document_answer(request, content(), title=title)
    address = links.to("jobs", job.key)
    statuses: Statuses = request.app.state.statuses
    body = statuses.body(
        job,
        outlook,
        links,
        lambda: as_bytes(with_alternates(links, content(), title=title, address=address)),
    )
    return body_answer(request, body)


async def _dismiss(request: Request) -> Response:
    """Give a job up, or remove one that is over; a repeated request changes nothing more.

    What runs of it ends within seconds. A job that was given up stays readable as dismissed.
    """
    site, caller, key = site_of(request), caller_of(request), request.path_params["job"]
    try:
        removed = await site.call(site.project.jobs.removed, check_is_job_id(key))
    except NotFound:
        raise no_such_job(key) from None
    if removed is not None and may_see_job(caller, removed):
        return json_answer(status_of_removed(removed, site.links))
    job = await job_named(request)
    if not may_end_job(caller, job):
        raise Problem(403, f"job `{key}` is somebody else's; ending it needs the role `operator`")
    jobs = site.project.acting_as(caller.name).jobs
    await site.call(jobs.dismiss, await site.call(jobs.get, key))
    site.forget_job(key)
    return json_answer(
        {**status_of(job, site.links), "status": "dismissed", "message": "dismissed"}
    )


async def _results(request: Request) -> Response:
    return await results.answer(request, await job_named(request))


async def _archive(request: Request) -> Response:
    return await results.answer_all(request, await job_named(request))


async def _result(request: Request) -> Response:
    job = await job_named(request)
    return await results.answer_one(request, job, request.path_params["output"])


RESOURCES = [
    Resource(
        "/jobs",
        {
            "GET": Operation(
                handle=listing.answer, need=Need.VIEWER, summary="All jobs", query=listing.QUERY
            )
        },
        name="jobs",
    ),
    Resource(
        "/jobs/{job}",
        {
            "GET": Operation(handle=_get, need=Need.OWN, summary="The state of a job", query=FORM),
            "DELETE": Operation(
                handle=_dismiss, need=Need.OWN, summary="Give a job up, or remove one that is over"
            ),
        },
        name="job",
    ),
    Resource(
        "/jobs/{job}/results",
        {
            "GET": Operation(
                handle=_results, need=Need.OWN, summary="The results of a job", query=FORM
            )
        },
        name="results",
    ),
    Resource(
        "/jobs/{job}/results.zip",
        {"GET": Operation(handle=_archive, need=Need.OWN, summary="All results, in one archive")},
        name="archive",
    ),
    Resource(
        "/jobs/{job}/results/{output}",
        {"GET": Operation(handle=_result, need=Need.OWN, summary="One result of a job")},
        name="result",
    ),
    *(
        Resource(
            f"/jobs/{{job}}/{name}",
            {"GET": Operation(handle=handle, need=Need.OWN, summary=summary, query=FORM)},
            name=name,
        )
        for name, handle, summary in (
            ("inputs", stories.inputs, "The inputs of a job"),
            ("logs", stories.logs, "What the steps of a job wrote"),
            ("statistics", stories.statistics, "Times and resources of a job"),
            ("prov", stories.prov, "The provenance of a job's results"),
        )
    ),
]
