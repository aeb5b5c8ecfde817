"""The addresses of uploads: to send a file, to ask what has arrived, to take it away again."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from stoker.project.jobs.resumable import Resumable
from stoker.project.jobs.uploads import Upload, Uploads
from stoker.project.jobs.validation import GivenFile
from stoker.spec.params import BadValue
from stoker.web.access.forgery import HEADER
from stoker.web.answers import json_answer, site_of
from stoker.web.caller import caller_of
from stoker.web.files import path_answer
from stoker.web.needs import Need
from stoker.web.ogc.seen import job_named, process_named
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource
from stoker.web.uploads import resumable
from stoker.web.uploads.limits import DOORKEEPER, limit_of_uploads
from stoker.web.uploads.multipart import plain_media, read_form_with_files
from stoker.web.uploads.naming import example_file, input_file
from stoker.web.uploads.receiving import receive_body

_MEDIA = "application/octet-stream"


async def _put(request: Request) -> Response:
    """The body is a file, under the name that the path ends with: `curl -T FILE …/uploads/`."""
    site = site_of(request)
    limit_bytes = await limit_of_uploads(request, request.query_params.get("pipeline"))
    name = request.path_params.get("upload") or request.query_params.get("name") or "file"
    media = plain_media(request.headers.get("content-type", ""))
    if media is not None and media.startswith("multipart/"):
        raise Problem(415, "a form with files is sent by `POST`; the body of `PUT` is the file")
    with DOORKEEPER.admit(caller_of(request)):
        upload = await receive_body(site, request, name=name, media=media, limit_bytes=limit_bytes)
    address = site.links.to("uploads", upload.id)
    return json_answer(_said(upload, address), status=201, headers={"Location": address})


async def _post(request: Request) -> Response:
    """Each file of the form is an upload; for a client that speaks tus, an empty one is made."""
    if resumable.SENT in request.headers:
        return await resumable.spoken(resumable.create)(request)
    site, caller = site_of(request), caller_of(request)
    limit_bytes = await limit_of_uploads(request, request.query_params.get("pipeline"))
    with DOORKEEPER.admit(caller):
        form = await read_form_with_files(
            site,
            request,
            limit_bytes=limit_bytes,
            needs_token=caller.is_ambient and HEADER not in request.headers,
        )
    if not form.files:
        raise Problem(400, "the form has no file")
    pairs = [(one, site.links.to("uploads", one.id)) for _, one in form.files]
    headers = {"Location": pairs[0][1]} if len(pairs) == 1 else {}
    made = [_said(one, address) for one, address in pairs]
    return json_answer({"uploads": made}, status=201, headers=headers)


async def _get(request: Request) -> Response:
    """An upload, or as much of it as is there; a client of tus goes on with it."""
    site, upload = site_of(request), request.path_params["upload"]
    if request.method == "HEAD" and resumable.SENT in request.headers:
        await resumable.end_turn(upload)
    partial = await site.call(Resumable(site.project).get, upload)
    address = site.links.to("uploads", upload)
    if partial.offset < partial.size_bytes:
        said = {**partial.as_json(), "href": address}
    else:
        said = _said(await site.call(Uploads(site.project).get, upload), address)
    return json_answer(said, headers=resumable.state_of(partial))


async def _append(request: Request) -> Response:
    return await resumable.append(request)


async def _delete(request: Request) -> Response:
    site, upload = site_of(request), request.path_params["upload"]
    await resumable.end_turn(upload)
    await site.call(Resumable(site.project).remove, upload)
    return Response(status_code=204)


async def _overridden(request: Request) -> Response:
    """What the header says, for clients that can only send `POST`."""
    method = request.headers.get("x-http-method-override", "").upper()
    if method == "PATCH":
        return await _append(request)
    if method == "DELETE":
        return await _delete(request)
    raise Problem(405, "`POST` needs `X-HTTP-Method-Override` here: `PATCH` or `DELETE`")


async def _example(request: Request) -> Response:
    """The file that the pipeline's example has for an input."""
    offered, place = await process_named(request), request.path_params["input"]
    return await _file(request, lambda: example_file(offered.pipeline, place))


async def _input(request: Request) -> Response:
    """The file that a job was given for an input."""
    job, place, site = await job_named(request), request.path_params["input"], site_of(request)
    return await _file(request, lambda: input_file(site, job, place))


async def _file(request: Request, find: Callable[[], GivenFile | None]) -> Response:
    site = site_of(request)
    try:
        found = await site.call(find)
    except BadValue as error:
        raise Problem(404, f"this {error}") from None
    if found is None:
        raise Problem(404, "there is no such file")
    return await path_answer(site, found.path, name=found.name, media=_MEDIA)


def _said(upload: Upload, address: str) -> dict[str, object]:
    return {**upload.as_json(), "href": address}


_PIPELINE = {"pipeline": {"type": "string", "description": "its limit holds; default: any"}}
_NAME = {"name": {"type": "string", "description": "what the file is called"}}

RESOURCES = [
    Resource(
        "/uploads",
        {
            "PUT": Operation(
                handle=_put,
                need=Need.OWN,
                summary="Upload a file, which the body is",
                query={**_PIPELINE, **_NAME},
            ),
            "POST": Operation(
                handle=_post, need=Need.OWN, summary="Upload the files of a form", query=_PIPELINE
            ),
        },
        name="uploads",
        options=resumable.OFFERED,
    ),
    Resource(
        "/uploads/{upload}",
        {
            "GET": Operation(
                handle=resumable.spoken(_get), need=Need.OWN, summary="An upload, or its beginning"
            ),
            "PATCH": Operation(
                handle=resumable.spoken(_append),
                need=Need.OWN,
                summary="Append to an upload of which a part is there",
            ),
            "POST": Operation(
                handle=resumable.spoken(_overridden),
                need=Need.OWN,
                summary="`PATCH` or `DELETE`, as a header says",
            ),
            "PUT": Operation(
                handle=_put,
                need=Need.OWN,
                summary="Upload a file of this name; the answer has its id",
                query=_PIPELINE,
            ),
            "DELETE": Operation(
                handle=resumable.spoken(_delete), need=Need.OWN, summary="Take an upload away"
            ),
        },
        name="upload",
        options=resumable.OFFERED,
    ),
    Resource(
        "/processes/{process}/example/{input}",
        {"GET": Operation(handle=_example, need=Need.OWN, summary="A file of the example")},
        name="example-file",
    ),
    Resource(
        "/jobs/{job}/inputs/{input}",
        {"GET": Operation(handle=_input, need=Need.OWN, summary="A file that a job was given")},
        name="input-file",
    ),
]
