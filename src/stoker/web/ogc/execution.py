"""Executing a process: checked, registered, and answered at once or once it is over."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.model.item import NewItem
from stoker.model.pipeline import Pipeline
from stoker.project.jobs.job_files import JobFiles
from stoker.project.jobs.validation import (
    Budget,
    InvalidRequest,
    check_request,
    validator_environment,
)
from stoker.project.jobs.verbs import NewJob, item_of, new_job_id
from stoker.store.arrivals.submit import OtherBody, OtherVersion, Submission
from stoker.store.orders import callbacks
from stoker.store.reports.jobs import Job
from stoker.store.reports.offered import Offered
from stoker.web.answers import JSON, json_answer, site_of
from stoker.web.bodies import read_json_object
from stoker.web.caller import Caller, caller_of
from stoker.web.negotiation import Preference, preference_of
from stoker.web.ogc import results
from stoker.web.ogc.callbacks import key_of, shown_key
from stoker.web.ogc.requests import Execution, read_execution
from stoker.web.ogc.seen import may_submit, process_named
from stoker.web.ogc.statuses import status_of
from stoker.web.problems import Problem
from stoker.web.site import Site
from stoker.web.uploads.fetching import Fetching
from stoker.web.uploads.naming import finder

KEY_LIMIT = 255  # characters of an `Idempotency-Key`
LOOK_S = 1.0  # between looks at a job that is waited for, where nothing happens


async def execute(request: Request) -> Response:
    """Register an item of the pipeline; answer with its results, or with the status of its job."""
    site, caller = site_of(request), caller_of(request)
    body = await read_json_object(request)
    offered, execution, job = await _register(request, caller, body)
    key, preference = job.key, preference_of(request)
    wait_s = _wait_s(offered, preference)
    if wait_s is not None:
        job = await _wait(request, job, wait_s)
    monitor = f'<{site.links.to("jobs", key)}>; rel="monitor"; type="{JSON}"'
    headers = {"Link": monitor, **_applied(preference, wait_s)}
    if execution.subscriber:
        secret = await site.call(callbacks.secret, site.project.store)
        headers["Webhook-Secret"] = shown_key(key_of(secret, key))
    if job.is_over and wait_s is not None:
        return await _answer_now(request, job, execution, headers)
    headers["Location"] = site.links.to("jobs", key)
    return json_answer(status_of(job, site.links), status=201, headers=headers)


async def _register(
    request: Request, caller: Caller, body: dict[str, Any]
) -> tuple[Offered, Execution, Job]:
    """Return the process, the request, and the job that it has become.

    Checked once more if the pipeline changes between check and registration.
    """
    site, once = site_of(request), _once(request, body)
    while True:
        offered = await process_named(request)
        pipeline = offered.pipeline
        if not may_submit(caller, offered):
            raise Problem(403, f"executing `{pipeline.name}` needs the role `submitter`")
        execution = read_execution(pipeline, body, outbound=site.settings.web.outbound)
        if pipeline.takes_files:
            item = await _checked_with_files(site, caller, pipeline, execution)
        else:  # nothing is read, and nobody is asked
            item = _checked(site, caller, pipeline, execution)
        submission = Submission(
            item=item,
            user=caller.name,
            client=caller.limited_by(pipeline.web),
            version=offered.version,
            once=once,
            subscriber=execution.subscriber or None,
        )
        job = None
        try:
            job = await site.registrar.submit(pipeline.name, submission)
        except OtherVersion:
            site.forget_pipelines()
            continue
        except OtherBody:
            text = "this `Idempotency-Key` was used for another request within 24 hours"
            raise Problem(422, text) from None
        finally:
            if item.path is not None and (job is None or job.key != item.key):
                await site.call(_files(site).remove, item.key)
        return offered, execution, job


async def _checked_with_files(
    site: Site, caller: Caller, pipeline: Pipeline, execution: Execution
) -> NewItem:
    """The same as `_checked`, with what the request refers to elsewhere."""
    async with Fetching(site, caller, pipeline) as fetching:
        inputs, errors = await fetching.inputs(execution.inputs)
        fetched = replace(execution, inputs=inputs, errors=(*execution.errors, *errors))
        item = await site.call(_checked, site, caller, pipeline, fetched)
        fetching.keep()
    return item


def _checked(site: Site, caller: Caller, pipeline: Pipeline, execution: Execution) -> NewItem:
    """Return the item to register, its files placed; InvalidRequest has every mistake of the request."""
    errors, key = execution.errors, new_job_id()
    environment = validator_environment(site.settings.all_secrets) if pipeline.takes_files else {}
    budget = Budget(environment=environment)
    try:
        checked = check_request(
            pipeline,
            execution.inputs,
            key=key,
            budget=budget,
            find_file=finder(site, caller, pipeline),
        )
    except InvalidRequest as invalid:
        known = {one.input for one in errors}
        errors += tuple(one for one in invalid.errors if one.input not in known)
        raise InvalidRequest(errors) from None
    if errors:
        raise InvalidRequest(errors)
    params, path = checked.params, None
    if pipeline.takes_files:
        placed = _files(site).place(key, checked)
        params, path = placed.params, placed.path
    job = NewJob(key=key, params=params, path=path, meta=execution.as_meta(pipeline))
    return item_of(job, pipeline)


def _files(site: Site) -> JobFiles:
    return JobFiles(site.settings, site.project.store)


def _once(request: Request, body: dict[str, Any]) -> tuple[bytes, bytes] | None:
    """Return digests of the client's `Idempotency-Key` and of its request; None without a key."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not given.strip() or len(given) > KEY_LIMIT:
        raise Problem(400, f"`Idempotency-Key` has 1 to {KEY_LIMIT} characters")
    whole = json.dumps([request.path_params["process"], body], sort_keys=True)
    return _digest(given), _digest(whole)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _wait_s(offered: Offered, preference: Preference) -> float | None:
    """Return how long to wait for the results; None where the answer is the job's status at once."""
    most_s = offered.pipeline.web.wait_s
    if most_s is None or (preference.is_async and preference.wait_s is None):
        return None
    return most_s if preference.wait_s is None else min(preference.wait_s, most_s)


def _applied(preference: Preference, wait_s: float | None) -> dict[str, str]:
    """Return `Preference-Applied` with what the answer follows of the client's preferences."""
    applied = []
    if preference.is_async and wait_s is None:
        applied.append("respond-async")
    if preference.wait_s is not None and wait_s is not None:
        applied.append(f"wait={wait_s:g}")
    return {"Preference-Applied": ", ".join(applied)} if applied else {}


async def _wait(request: Request, job: Job, wait_s: float) -> Job:
    """Return the job once it is over, after `wait_s`, or when the service ends."""
    site = site_of(request)
    until_s = site.now_s() + wait_s
    seen = site.pulse.number
    while not job.is_over and not site.stopping.is_set():
        left_s = until_s - site.now_s()
        if left_s <= 0:
            break
        seen = await site.pulse.changed(seen, within_s=min(left_s, LOOK_S))
        job = await site.call(site.project.jobs.get, job.key)
    return job


async def _answer_now(
    request: Request, job: Job, execution: Execution, headers: dict[str, str]
) -> Response:
    results.raise_unless_done(job)
    answer = await results.answer_sync(request, job, execution.response or "raw")
    links = [headers.pop("Link"), *answer.headers.getlist("link")]
    answer.headers["Link"] = ", ".join(links)
    for name, value in headers.items():
        answer.headers[name] = value
    return answer
