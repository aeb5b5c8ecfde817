"""Results of jobs: as they are, as a document, in parts, in an archive; by value and by reference."""

import base64
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stoker.model.offer import results_of
from stoker.model.pipeline import Pipeline
from stoker.model.states import ItemState, TaskState
from stoker.model.strict_json import check_levels
from stoker.spec.problems import suggest
from stoker.store.reports.jobs import Job
from stoker.store.rows import AttemptRow, OutputRow
from stoker.web import archives
from stoker.web.answers import HTML, JSON, VARY, document_answer, json_answer, site_of
from stoker.web.files import FileThere, file_answer, open_file, pieces_of
from stoker.web.links import link
from stoker.web.negotiation import accepts, form_of
from stoker.web.ogc.describing import media_of
from stoker.web.ogc.statuses import message_of
from stoker.web.problems import RESULT_NOT_READY, Problem
from stoker.web.site import Site

VALUE_LIMIT_BYTES = 8 << 20  # of a file in a document; a larger one is a link
_FRAMED = "multipart/related"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One result of a job: a value, or the files of an output."""

    name: str
    title: str
    media: str
    is_value: bool
    value: Any = None
    files: Sequence[OutputRow] = ()


async def answer(request: Request, job: Job) -> Response:
    """Return the results as the job's request asked for them; else as the client accepts them."""
    raise_unless_done(job)
    wanted, found = await _wanted(site_of(request), job)
    if not found:
        raise Problem(404, "this job was asked for no results", type=RESULT_NOT_READY)
    response = job.meta.get("request", {}).get("response")
    if response is None:
        is_json = not accepts(request, _FRAMED)
        response = "document" if is_json or "f" in request.query_params else "raw"
    if response == "document" and form_of(request) == HTML:
        content = {**await _document(site_of(request), job, found, wanted), "links": []}
        return document_answer(request, content, title="Results")
    return await make_answer(request, job, found, wanted, response)


async def answer_sync(request: Request, job: Job, response: str) -> Response:
    """Return the results of a request that has waited for them; 204 where it wanted none."""
    raise_unless_done(job)
    wanted, found = await _wanted(site_of(request), job)
    if not found:
        return Response(status_code=204, headers={"Vary": VARY})
    return await make_answer(request, job, found, wanted, response)


async def answer_one(request: Request, job: Job, name: str) -> Response:
    """Return one result as it is, with its own media type."""
    raise_unless_done(job)
    everything = {one.name: one for one in await _all(site_of(request), job)}
    if name not in everything:
        hint = suggest(name, everything) or "it has none"
        raise Problem(404, f"job `{job.key}` has no result `{name[:60]}`; {hint}")
    return await _raw(request, everything[name])


def raise_unless_done(job: Job) -> None:
    """Raise the Problem that the results of a job without any are."""
    if job.state is ItemState.DONE:
        return
    if job.state is ItemState.FAILED:
        raise Problem(500, message_of(job))
    if job.state is ItemState.CANCELLED or job.is_stopping:
        raise Problem(410, "the job was dismissed, and has no results")
    raise Problem(404, f"the job is not over yet: {message_of(job)}", type=RESULT_NOT_READY)


async def make_answer(
    request: Request, job: Job, found: Sequence[Found], wanted: Mapping[str, str], response: str
) -> Response:
    """Return these results, raw or as a document, each by value or by reference."""
    site = site_of(request)
    if response == "document":
        return json_answer(await _document(site_of(request), job, found, wanted))
    if all(wanted[one.name] == "reference" for one in found):
        pairs = [(one, _address(site, job, one)) for one in found]
        links = ", ".join(f'<{at}>; rel="item"; type="{one.media}"' for one, at in pairs)
        return Response(status_code=204, headers={"Link": links, "Vary": VARY})
    if len(found) == 1:
        return await _raw(request, found[0])
    boundary = secrets.token_hex(16)
    parts = [await _part(site, job, one, wanted[one.name]) for one in found]
    return StreamingResponse(
        _frame(boundary, parts),
        headers={"Vary": VARY},
        media_type=f'{_FRAMED}; boundary="{boundary}"',
    )


async def document_of(site: Site, job: Job) -> dict[str, Any]:
    """Return the results that the job's request asked for, as a document."""
    wanted, found = await _wanted(site, job)
    return await _document(site, job, found, wanted)


async def _wanted(site: Site, job: Job) -> tuple[Mapping[str, str], list[Found]]:
    """Return the transmission modes of the results that the request named, and those results."""
    everything = await _all(site, job)
    asked = job.meta.get("request", {}).get("outputs")
    modes = asked if asked is not None else dict.fromkeys((one.name for one in everything), "value")
    return modes, [one for one in everything if one.name in modes]


async def _all(site: Site, job: Job) -> list[Found]:
    offered = (await site.call(site.offered)).get(job.pipeline)
    if offered is None:
        return []
    ends = await site.call(site.project.jobs.ends, job)
    return found_in(offered.pipeline, job, ends)


def found_in(pipeline: Pipeline, job: Job, ends: Sequence[AttemptRow]) -> list[Found]:
    """Return the results that the attempts of a job have made; one that was not made is left out."""
    done = {task.step for task in job.tasks if task.state is TaskState.DONE}
    by_step = {end.step: end for end in ends if end.step in done}
    found = []
    for result in results_of(pipeline):
        end = by_step.get(result.step)
        if end is None:
            continue
        if result.is_value:
            if result.field in end.values:
                value = end.values[result.field]
                found.append(
                    Found(
                        name=result.name, title=result.name, media=JSON, is_value=True, value=value
                    )
                )
            continue
        files = [one for one in end.outputs if one.name == result.field]
        if files:
            media = media_of(pipeline, result, files[0].path)
            title = pipeline.step(result.step).output(result.field).title or result.name
            found.append(
                Found(name=result.name, title=title, media=media, is_value=False, files=files)
            )
    return found


def _address(site: Site, job: Job, one: Found) -> str:
    return site.links.to("jobs", job.key, "results", one.name)


async def _raw(request: Request, one: Found) -> Response:
    """Return it as it is; a folder, or several files, as an archive."""
    if one.is_value:
        return json_answer(one.value)
    if not await _is_one_file(site_of(request), one):
        return archives.archive_answer(entries_of([one]), f"{one.name}.zip")
    return await file_answer(site_of(request), one.files, one.name, one.media)


async def _is_one_file(site: Site, one: Found) -> bool:
    return await site.call(archives.is_one_file, [file.path for file in one.files])


async def answer_all(request: Request, job: Job) -> Response:
    """Return all results as one archive: files under their names, those of several in a folder."""
    raise_unless_done(job)
    found = await _all(site_of(request), job)
    values = {one.name: one.value for one in found if one.is_value}
    entries = entries_of([one for one in found if not one.is_value])
    if values:
        entries.append(archives.Entry("values.json", text=json.dumps(values, indent=2)))
    return archives.archive_answer(entries, f"{job.pipeline}-{job.key[:8]}.zip")


def entries_of(found: Sequence[Found]) -> list[archives.Entry]:
    """Return the files of these results as an archive has them; no two have the same name."""
    taken: set[str] = set()
    made = []
    for one in found:
        for file in one.files:
            base = archives.shown(os.path.basename(file.path)) or one.name
            name = f"{one.name}/{base}" if len(one.files) > 1 else base
            if name in taken:
                name = f"{one.name}/{base}"
            number = 1
            while name in taken:
                number += 1
                name = f"{one.name}/{number}-{base}"
            taken.add(name)
            made.append(archives.Entry(name, path=file.path))
    return made


async def _document(
    site: Site, job: Job, found: Sequence[Found], wanted: Mapping[str, str]
) -> dict[str, Any]:
    made = {}
    for one in found:
        is_large = sum(file.size_bytes for file in one.files) > VALUE_LIMIT_BYTES
        is_many = not one.is_value and not await _is_one_file(site, one)
        if wanted[one.name] == "reference" or is_large or is_many:
            address, media = _address(site, job, one), archives.MEDIA if is_many else one.media
            made[one.name] = link("item", address, type_=media, title=one.title)
        elif one.is_value:
            made[one.name] = {"value": one.value} if isinstance(one.value, dict) else one.value
        else:
            there = await site.call(open_file, one.files[0])
            made[one.name] = _as_value(await site.call(there.read_all), one.media)
    return made


def _as_value(content: bytes, media: str) -> Any:
    """Return a file's content in a document: text as it is, JSON and bytes with their type."""
    plain = media.partition(";")[0]
    if plain == JSON or plain.endswith("+json"):
        try:
            found = json.loads(content)
            check_levels(found)
        except (ValueError, RecursionError):
            return _as_base64(content, media)
        return {"value": found, "mediaType": media}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _as_base64(content, media)
    return text if plain == "text/plain" else {"value": text, "mediaType": media}


def _as_base64(content: bytes, media: str) -> dict[str, Any]:
    text = base64.b64encode(content).decode()
    return {"value": text, "encoding": "base64", "mediaType": media}


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a framed answer: its header, and its content as text or a file."""

    header: bytes
    content: bytes
    file: FileThere | None = None


async def _part(site: Site, job: Job, one: Found, mode: str) -> _Part:
    is_many = not one.is_value and not await _is_one_file(site, one)
    media = archives.MEDIA if is_many else one.media
    lines = [f"Content-ID: <{one.name}>", f"Content-Type: {media}"]
    if mode == "reference" or is_many:
        lines.append(f"Content-Location: {_address(site, job, one)}")
        return _Part(_header(lines), b"")
    if one.is_value:
        return _Part(_header(lines), json.dumps(one.value).encode())
    return _Part(_header(lines), b"", await site.call(open_file, one.files[0]))


def _header(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii") + b"\r\n"


async def _frame(boundary: str, parts: Sequence[_Part]) -> AsyncIterator[bytes]:
    """Yield the parts between their boundaries (RFC 2387)."""
    try:
        for part in parts:
            yield f"--{boundary}\r\n".encode() + part.header + part.content
            if part.file is not None:
                async for piece in pieces_of(part.file):
                    yield piece
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()
    finally:
        for part in parts:
            if part.file is not None:
                part.file.close()
