"""The processes and jobs that a caller may see, by the names in the path of a request."""

from collections.abc import Mapping

from starlette.requests import Request

from stoker.errors import NotFound
from stoker.project.jobs.verbs import check_is_job_id
from stoker.store.reports.jobs import Job
from stoker.store.reports.offered import Offered
from stoker.web.answers import site_of
from stoker.web.caller import Caller, caller_of, may_see_job, no_such_job, no_such_process
from stoker.web.needs import Need


async def visible(request: Request) -> Mapping[str, Offered]:
    """Return the pipelines that the caller may see: all with a role, else the public ones."""
    caller = caller_of(request)
    found = await site_of(request).pipelines()
    return {name: one for name, one in found.items() if may_see(caller, one)}


def may_see(caller: Caller, offered: Offered) -> bool:
    """Whether the pipeline is shown to the caller."""
    return offered.pipeline.web.public or caller.may(Need.VIEWER)


def may_submit(caller: Caller, offered: Offered) -> bool:
    """Whether the caller may execute the pipeline."""
    return offered.pipeline.web.public or caller.may(Need.SUBMITTER)


async def process_named(request: Request) -> Offered:
    """Return the pipeline that the path names; Problem 404 where the caller sees none."""
    name = request.path_params["process"]
    found = (await visible(request)).get(name)
    if found is None:
        raise no_such_process(name)
    return found


async def job_named(request: Request) -> Job:
    """Return the job that the path names; Problem 404 where the caller sees none."""
    key = request.path_params["job"]
    try:
        job = await site_of(request).job(check_is_job_id(key))
    except NotFound:
        raise no_such_job(key) from None
    if not may_see_job(caller_of(request), job):
        raise no_such_job(key)
    return job
