"""The page of a job, which its client may bookmark: how it is, and its results once it is done."""

from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from stoker.model.pipeline import Pipeline
from stoker.model.states import ItemState, TaskState
from stoker.store.reports.jobs import Job
from stoker.web import archives
from stoker.web.access.forms import read_form
from stoker.web.answers import site_of
from stoker.web.caller import caller_of, may_end_job
from stoker.web.files import path_answer
from stoker.web.foresight import progress_of
from stoker.web.needs import Need
from stoker.web.ogc.describing import media_of
from stoker.web.ogc.results import Found, found_in
from stoker.web.ogc.seen import job_named, may_submit
from stoker.web.ogc.statuses import message_of
from stoker.web.people.calls import file_inputs
from stoker.web.people.cards import card_of
from stoker.web.people.words import SHAPES, place_words
from stoker.web.problems import Problem
from stoker.web.rendering import page
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site
from stoker.web.uploads.naming import names_of_inputs

_TASKS = {
    TaskState.RUNNING: "running",
    TaskState.DONE: "done",
    TaskState.SKIPPED: "skipped",
    TaskState.FAILED: "failed",
    TaskState.HELD: "held",
    TaskState.CANCELLED: "cancelled",
}


async def _show(request: Request) -> Response:
    site, caller, job = site_of(request), caller_of(request), await job_named(request)
    offered = (await site.call(site.offered)).get(job.pipeline)
    pipeline = None if offered is None else offered.pipeline
    name, shape, word = SHAPES[job.state]
    outlook = await site.foresight.outlook(job)
    cards = [] if pipeline is None else await site.call(_cards, site, job, pipeline)
    return page(
        request,
        "job.html",
        job=job,
        title=pipeline.title if pipeline is not None and pipeline.title else job.pipeline,
        state=name,
        shape=shape,
        word="being cancelled" if job.is_stopping else word,
        message=message_of(job),
        steps=[(task.step, _TASKS.get(task.state, "waiting")) for task in job.tasks],
        place=place_words(outlook),
        percent=progress_of(job),
        left_s=outlook.ends_in_s,
        took_s=_took_s(job),
        cards=cards,
        inputs=[] if pipeline is None else await site.call(_inputs, site, job, pipeline),
        kept_until=_kept_until(job, pipeline),
        may_cancel=not job.is_over and not job.is_stopping and may_end_job(caller, job),
        may_repeat=offered is not None and may_submit(caller, offered),
        now=datetime.now(UTC),
    )


def _cards(site: Site, job: Job, pipeline: Pipeline) -> list[Any]:
    if job.state is not ItemState.DONE:
        return []
    return [card_of(one) for one in found_in(pipeline, job, site.project.jobs.ends(job))]


def _inputs(site: Site, job: Job, pipeline: Pipeline) -> list[tuple[str, str, list[Any]]]:
    """Return what the job was given: title, value and unit, or the files of it."""
    files = names_of_inputs(site, job, file_inputs(pipeline))
    made: list[tuple[str, str, list[Any]]] = []
    if "item" in files:
        made.append(("File", "", files["item"]))
    for param in pipeline.params:
        title, value = param.title or param.name, job.params.get(param.name)
        if param.name in file_inputs(pipeline):
            if param.name in files:
                made.append((title, "", files[param.name]))
        elif value is not None:
            made.append((title, _said(value, param.unit), []))
    return made


def _said(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_said(one, "") for one in value) or "none"
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()[:2000]


def _took_s(job: Job) -> float | None:
    if job.started_at is None or job.ended_at is None:
        return None
    return max((job.ended_at - job.started_at).total_seconds(), 0)


def _kept_until(job: Job, pipeline: Pipeline | None) -> datetime | None:
    keep_s = None if pipeline is None else pipeline.web.keep_s
    if keep_s is None or job.ended_at is None:
        return None
    return job.ended_at + timedelta(seconds=keep_s)


async def _cancel(request: Request) -> Response:
    """The job is given up; one that is over already stays as it is."""
    site, caller, job = site_of(request), caller_of(request), await job_named(request)
    await read_form(request)
    if not may_end_job(caller, job):
        raise Problem(403, "giving up somebody else's job needs the role `operator`")
    if not job.is_over:
        jobs = site.project.acting_as(caller.name).jobs
        await site.call(jobs.dismiss, job)
    return RedirectResponse(f"{site.links.path}jobs/{job.key}", status_code=303)


async def _file(request: Request) -> Response:
    """One of several files that a result is, counted from 1."""
    site, job = site_of(request), await job_named(request)
    offered = (await site.call(site.offered)).get(job.pipeline)
    name, text = request.path_params["output"], request.path_params["number"]
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else 0
    found: list[Found] = []
    if offered is not None and job.state is ItemState.DONE:
        ends = await site.call(site.project.jobs.ends, job)
        found = [one for one in found_in(offered.pipeline, job, ends) if one.name == name]
    if offered is None or not found or not 0 < number <= len(found[0].files):
        raise Problem(404, f"job `{job.key}` has no such file")
    path = found[0].files[number - 1].path
    if not await site.call(archives.is_one_file, [path]):
        entry = archives.Entry(archives.shown(path.rpartition("/")[2]), path=path)
        return archives.archive_answer([entry], f"{name}-{number}.zip")
    wanted = next(one for one in _results(offered.pipeline) if one.name == name)
    media = media_of(offered.pipeline, wanted, path)
    return await path_answer(site, path, name=path.rpartition("/")[2], media=media)


def _results(pipeline: Pipeline) -> Any:
    from stoker.model.offer import results_of

    return results_of(pipeline)


PAGES = {"/jobs/{job}": {"GET": Operation(handle=_show, need=Need.OWN, summary="A job")}}
RESOURCES = [
    Resource(
        "/jobs/{job}/cancel",
        {"POST": Operation(handle=_cancel, need=Need.OWN, summary="Give a job up, by a form")},
        name="cancel",
    ),
    Resource(
        "/jobs/{job}/results/{output}/{number}",
        {"GET": Operation(handle=_file, need=Need.OWN, summary="One file of several")},
        name="result-file",
    ),
]
