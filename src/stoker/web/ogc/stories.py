"""What else there is of a job: its inputs, what its steps printed, what they used, and where from."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.model.encoding import rfc3339
from stoker.store.reports.jobs import Job
from stoker.store.rows import AttemptRow
from stoker.web.answers import document_answer, json_answer, site_of
from stoker.web.negotiation import form_of
from stoker.web.ogc.seen import job_named

LOG_BYTES = 64 << 10  # the end of each stream


async def inputs(request: Request) -> Response:
    """Return the inputs as they were accepted, with defaults filled in."""
    job = await job_named(request)
    request_kept = job.meta.get("request", {})
    content = {"processID": job.pipeline, "inputs": dict(job.params), **request_kept, "links": []}
    return document_answer(request, content, title="Inputs")


async def logs(request: Request) -> Response:
    """Return the end of what each step wrote to standard output and standard error."""
    job = await job_named(request)
    site = site_of(request)
    ends = await site.call(site.project.jobs.ends, job)
    made = [
        {
            "step": end.step,
            "attempt": end.number,
            "state": end.state,
            **await site.call(site.project.jobs.streams, end, most_bytes=LOG_BYTES),
        }
        for end in _in_order(job, ends)
    ]
    return document_answer(request, {"logs": made, "links": []}, title="What the steps wrote")


async def statistics(request: Request) -> Response:
    """Return times and resources of each step."""
    job = await job_named(request)
    ends = await site_of(request).call(site_of(request).project.jobs.ends, job)
    made = [
        {
            "step": end.step,
            "state": end.state,
            "attempts": end.number,
            "started": rfc3339(end.started_at) if end.started_at else None,
            "finished": rfc3339(end.ended_at) if end.ended_at else None,
            "elapsed_s": end.elapsed_s,
            "user_s": end.user_s,
            "system_s": end.system_s,
            "max_rss_bytes": end.max_rss_bytes,
            "outputs": sum(1 for _ in end.outputs),
            "output_bytes": sum(one.size_bytes for one in end.outputs),
        }
        for end in _in_order(job, ends)
    ]
    return document_answer(request, {"steps": made, "links": []}, title="Times and resources")


async def prov(request: Request) -> Response:
    """Return the provenance of the results as PROV-JSON: attempts, what they used and made."""
    form_of(request, ("application/json",))
    job = await job_named(request)
    ends = await site_of(request).call(site_of(request).project.jobs.ends, job)
    links = site_of(request).links
    made: dict[str, Any] = {
        "prefix": {"job": links.to("jobs", job.key) + "/", "stoker": links.base},
        "entity": {
            "job:inputs": {"stoker:process": job.pipeline, "stoker:values": dict(job.params)}
        },
        "activity": {},
        "agent": {"stoker:client": {"prov:type": "prov:Agent"}},
        "used": {},
        "wasGeneratedBy": {},
        "wasAssociatedWith": {},
    }
    for end in _in_order(job, ends):
        activity = f"job:{end.step}"
        made["activity"][activity] = {
            "prov:startTime": rfc3339(end.started_at) if end.started_at else None,
            "prov:endTime": rfc3339(end.ended_at) if end.ended_at else None,
            "stoker:state": end.state,
            "stoker:version": end.pipeline_version,
        }
        made["used"][f"_:used-{end.step}"] = {
            "prov:activity": activity,
            "prov:entity": "job:inputs",
        }
        made["wasAssociatedWith"][f"_:by-{end.step}"] = {
            "prov:activity": activity,
            "prov:agent": "stoker:client",
        }
        for number, output in enumerate(end.outputs):
            entity = f"job:{end.step}/{output.name}/{number}"
            made["entity"][entity] = {
                "stoker:size_bytes": output.size_bytes,
                "stoker:checksum": output.checksum,
            }
            made["wasGeneratedBy"][f"_:made-{end.step}-{output.name}-{number}"] = {
                "prov:entity": entity,
                "prov:activity": activity,
            }
    return json_answer(made)


def _in_order(job: Job, ends: Sequence[AttemptRow]) -> list[AttemptRow]:
    """Return the attempts in the order of the pipeline's steps."""
    places = {task.step: place for place, task in enumerate(job.tasks)}
    return sorted((end for end in ends if end.step in places), key=lambda end: places[end.step])
