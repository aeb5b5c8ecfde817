"""The form of a pipeline, and what becomes of one that is sent."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stoker.errors import LimitReached, Unavailable
from stoker.project.jobs.acceptance import Acceptance, Wanted
from stoker.project.jobs.uploads import Upload
from stoker.project.jobs.validation import (
    Budget,
    InputError,
    InvalidRequest,
    check_request,
    validator_environment,
)
from stoker.spec.web import ITEM
from stoker.store.reports.offered import Offered
from stoker.web.answers import site_of
from stoker.web.caller import Caller, caller_of, require
from stoker.web.needs import Need
from stoker.web.ogc.seen import job_named, may_submit, process_named
from stoker.web.people.calls import calls_of, file_inputs
from stoker.web.people.fields import Given, error_text, field_of, read_fields, sections_of
from stoker.web.people.words import size_words
from stoker.web.problems import Problem, problem_of
from stoker.web.rendering import page
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site
from stoker.web.uploads.limits import DOORKEEPER
from stoker.web.uploads.multipart import Form, read_form_with_files
from stoker.web.uploads.naming import finder, names_of_inputs


async def _show(request: Request) -> Response:
    return await _page(request, await process_named(request), Given())


async def _show_example(request: Request) -> Response:
    """The form, filled in with the example."""
    offered = await process_named(request)
    pipeline = offered.pipeline
    if not pipeline.web.example:
        raise Problem(404, f"`{pipeline.name}` has no example")
    given = Given(values=dict(pipeline.web.example))
    for name in file_inputs(pipeline):
        if isinstance(given.values.get(name), str):
            reference = f"processes/{pipeline.name}/example/{name}"
            given.names[reference] = given.values[name].rpartition("/")[2]
            given.values[name] = reference
    return await _page(request, offered, given)


async def _show_again(request: Request) -> Response:
    """The form, filled in as it was for a job."""
    site, job = site_of(request), await job_named(request)
    offered = (await site.call(site.offered)).get(job.pipeline)
    if offered is None or not may_submit(caller_of(request), offered):
        raise Problem(404, f"you cannot submit to `{job.pipeline}` (any more)")
    files = await site.call(names_of_inputs, site, job, file_inputs(offered.pipeline))
    plain = {one.name for one in offered.pipeline.params} - {*file_inputs(offered.pipeline)}
    given = Given(values={name: job.params[name] for name in plain & {*job.params}})
    for name, found in files.items():
        given.names |= dict(found)
        references = [reference for reference, _ in found]
        is_list = isinstance(job.params.get(name), list)
        given.values[name] = references if is_list else references[0]
    return await _page(request, offered, given)


async def _submit(request: Request) -> Response:
    """The form's request is accepted, and the browser goes on to the page of its job.

    Or else the form comes back with all mistakes, and with what was filled in and uploaded.
    """
    site, caller = site_of(request), caller_of(request)
    offered = await process_named(request)
    if not may_submit(caller, offered):
        require(request, Need.SUBMITTER)
    pipeline = offered.pipeline
    with DOORKEEPER.admit(caller):
        form = await read_form_with_files(
            site,
            request,
            limit_bytes=pipeline.web.max_upload_bytes,
            needs_token=True,
            keeps_going=True,
        )
    given = read_fields(pipeline, form.fields, _named(form.files))
    given.errors += _too_large(form, offered)
    try:
        key = await site.call(_accept, site, caller, offered, given)
    except (LimitReached, Unavailable) as error:
        problem = problem_of(error)
        answer = await _page(request, offered, given, problem=problem.detail, status=problem.status)
        answer.headers.update(problem.headers)
        return answer
    if key is None:
        return await _page(request, offered, given, status=422)
    site.on_registered()
    return RedirectResponse(f"{site.links.path}jobs/{key}", status_code=303)


def _named(files: Sequence[tuple[str, Upload]]) -> list[tuple[str, str, str]]:
    return [(name, upload.id, upload.name) for name, upload in files]


def _too_large(form: Form, offered: Offered) -> list[InputError]:
    limit = offered.pipeline.web.max_upload_bytes
    said = "" if limit is None else f" and may have {size_words(limit)}"
    return [
        InputError(
            input=name.removeprefix("in."),
            rule="max_upload",
            limit=limit,
            detail=f"the file is too large{said}",
        )
        for name in form.too_large
    ]


def _accept(site: Site, caller: Caller, offered: Offered, given: Given) -> str | None:
    """Return the key of the job; None, with all mistakes noted, if it cannot be accepted."""
    project, pipeline = site.project.acting_as(caller.name), offered.pipeline
    find_file = finder(site, caller, pipeline)
    try:
        if not given.errors:
            acceptance = Acceptance(
                project,
                pipeline,
                client=caller.limited_by(pipeline.web),
                find_file=find_file,
            )
            return acceptance.one(Wanted(inputs=given.values))
        budget = Budget(environment=validator_environment(project.settings.all_secrets))
        check_request(pipeline, given.values, find_file=find_file, budget=budget)
    except InvalidRequest as invalid:
        known = {one.input for one in given.errors}
        given.errors += [one for one in invalid.errors if one.input not in known]
    return None


async def _page(
    request: Request, offered: Offered, given: Given, *, problem: str = "", status: int = 200
) -> Response:
    site, caller, pipeline = site_of(request), caller_of(request), offered.pipeline
    is_public = pipeline.web.public
    return page(
        request,
        "form.html",
        status=status,
        pipeline=pipeline,
        number=offered.number,
        sections=sections_of(pipeline, given),
        mistakes=_mistakes(offered, given),
        problem=problem,
        usual=await site.foresight.usual(pipeline.name),
        may_submit=may_submit(caller, offered),
        calls=calls_of(pipeline, given, site.links, is_public=is_public),
        description=site.links.to("processes", pipeline.name, f="json"),
    )


def _mistakes(offered: Offered, given: Given) -> list[dict[str, str]]:
    """Return all mistakes in the order of the fields, each with the field to go to and its title."""
    titles = {ITEM: "File"} | {one.name: one.title or one.name for one in offered.pipeline.params}
    order = list(titles)
    found = [(field_of(one), error_text(one)) for one in given.errors]
    found.sort(key=lambda one: order.index(one[0]) if one[0] in titles else -1)
    return [{"field": name, "title": titles.get(name, name), "text": text} for name, text in found]


PAGES = {
    "/processes/{process}": {
        "GET": Operation(handle=_show, need=Need.OWN, summary="The form of a process"),
        "POST": Operation(handle=_submit, need=Need.OWN, summary="Send the form of a process"),
    }
}
RESOURCES = [
    Resource(
        "/processes/{process}/example",
        {"GET": Operation(handle=_show_example, need=Need.OWN, summary="The form with an example")},
        name="example",
    ),
    Resource(
        "/jobs/{job}/again",
        {"GET": Operation(handle=_show_again, need=Need.OWN, summary="The form of a job again")},
        name="again",
    ),
]
