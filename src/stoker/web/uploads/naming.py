"""The files that inputs of a request name: uploads, results and inputs of jobs, and examples.

What is elsewhere is fetched before (`fetching`), and is an upload then.

An input is the id of an upload, or an address below ours (a relative one too): `uploads/ID`,
`jobs/ID/results/NAME`, `jobs/ID/inputs/NAME`, `processes/NAME/example/INPUT`. Never a path of the
server.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import unquote

from stoker.errors import NotFound, UserError
from stoker.model.pipeline import ParamType, Pipeline
from stoker.model.states import ItemState
from stoker.project.jobs.job_files import JobFiles
from stoker.project.jobs.uploads import Uploads
from stoker.project.jobs.validation import FindFile, GivenFile
from stoker.project.jobs.verbs import check_is_job_id
from stoker.spec.locations import absolute
from stoker.spec.params import BadValue
from stoker.spec.web import ITEM
from stoker.store.reports.jobs import Job
from stoker.web.caller import Caller, may_see_job
from stoker.web.ogc.results import found_in
from stoker.web.site import Site

_UPLOAD = re.compile(r"[0-9a-f]{32}")
_INDEX = re.compile(r"(\w+)\[(\d+)\]")


def finder(site: Site, caller: Caller, pipeline: Pipeline) -> FindFile:
    """Return what finds the files that a request of this caller to the pipeline names."""

    def find(_input: str, given: object) -> GivenFile:
        return _sized(_Finder(site, caller).find(given), pipeline)

    return find


def _sized(file: GivenFile, pipeline: Pipeline) -> GivenFile:
    limit_bytes = pipeline.web.max_upload_bytes
    if limit_bytes is not None and file.size_bytes > limit_bytes:
        message = f"has {file.size_bytes:,} bytes and may have {limit_bytes:,}"
        raise BadValue(message, rule="max_upload", limit=limit_bytes)
    return file


class _Finder:
    """Finds one file. BadValue where there is none, or it is not the caller's to see."""

    def __init__(self, site: Site, caller: Caller) -> None:
        self._site = site
        self._caller = caller

    def find(self, given: object) -> GivenFile:
        if isinstance(given, dict) and {*given} <= {
            "href",
            "type",
        }:  # as OGC API - Processes has it
            given = given.get("href")
        if not isinstance(given, str):
            raise _refused(
                "must be a string: the id of an upload, or the address of an earlier result"
            )
        text = given.removeprefix(self._site.links.base)
        match [unquote(part) for part in text.split("/")]:
            case [upload] if _UPLOAD.fullmatch(upload):
                return self._upload(upload)
            case ["uploads", upload]:
                return self._upload(upload)
            case ["jobs", job, "results", result]:
                return self._result(job, result)
            case ["jobs", job, "inputs", place]:
                return input_file(self._site, self._job(job), place)
            case ["processes", process, "example", place]:
                return self._example(process, place)
            case _:
                raise _refused(
                    "names a file: give the id of an upload, or the address of an earlier result; "
                    "paths of the server are not possible"
                )

    def _upload(self, upload: str) -> GivenFile:
        uploads = Uploads(self._site.project)
        try:
            found = uploads.get(upload)
        except NotFound as error:
            raise _refused(f"names an upload that is not there: {error}") from None
        uploads.touch(upload)
        path = uploads.path_of(upload)
        return GivenFile(path=path, name=found.name, size_bytes=found.size_bytes, media=found.media)

    def _job(self, key: str) -> Job:
        try:
            job = self._site.project.jobs.get(check_is_job_id(key))
        except (NotFound, UserError):
            job = None
        if job is None or not may_see_job(self._caller, job):
            raise _refused(f"names a job that is not there: `{key[:60]}`")
        return job

    def _result(self, key: str, name: str) -> GivenFile:
        job = self._job(key)
        if job.state is not ItemState.DONE:
            raise _refused(f"names a result of `{key}`, which has none (yet)")
        offered = self._site.offered().get(job.pipeline)
        ends = self._site.project.jobs.ends(job)
        found = () if offered is None else found_in(offered.pipeline, job, ends)
        for one in found:
            if one.name == name and one.files:
                return _at(one.files[0].path, media=one.media)
        raise _refused(f"names a result that `{key}` does not have: `{name[:60]}`")

    def _example(self, process: str, place: str) -> GivenFile:
        offered = self._site.offered().get(process)
        if offered is not None:
            found = example_file(offered.pipeline, place)
            if found is not None:
                return found
        raise _refused(f"names an example that is not there: `{place[:60]}` of `{process[:60]}`")


def example_file(pipeline: Pipeline, place: str) -> GivenFile | None:
    """Return the file of the pipeline's example for this input; None if it has none."""
    kinds = {one.name: one.type for one in pipeline.params}
    found = pipeline.web.example.get(place)
    if not isinstance(found, str) or kinds.get(place, ParamType.PATH) is not ParamType.PATH:
        return None
    return _at(absolute(found, pipeline.folder))


def input_file(site: Site, job: Job, place: str) -> GivenFile:
    """Return the file that the job has for an input, such as `matrix`, `item`, or `tables[2]`."""
    found: object = job.path if place == ITEM else job.params.get(place)
    listed = _INDEX.fullmatch(place)
    if listed is not None:
        values, index = job.params.get(listed[1]), int(listed[2][:9])
        found = values[index] if isinstance(values, list) and index < len(values) else None
    # Only what was placed for this job: another value may be any text that a client wrote.
    folder = os.path.join(JobFiles(site.project.settings, site.project.store).folder, job.key)
    if not isinstance(found, str) or not found.startswith(f"{folder}{os.sep}"):
        raise _refused(f"names a file that `{job.key}` does not have: `{place[:60]}`")
    return _at(found)


def _at(path: str, *, media: str | None = None) -> GivenFile:
    try:
        size_bytes = os.stat(path).st_size
        is_file = os.path.isfile(path)
    except OSError as error:
        raise _refused(f"names a file that cannot be read: {error.strerror}") from None
    if not is_file:
        raise _refused("names a folder, or something else that is not a file")
    return GivenFile(path=path, name=os.path.basename(path), size_bytes=size_bytes, media=media)


def _refused(message: str) -> BadValue:
    return BadValue(message, rule="type", limit="upload")


def names_of_inputs(site: Site, job: Job, names: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the references and names of the files that the job was given, by input."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        value = job.path if name == ITEM else job.params.get(name)
        places = [name]
        if isinstance(value, list):
            places = [f"{name}[{index}]" for index in range(len(value))]
        for place in places:
            with suppress(BadValue):  # the pipeline's own file, or one that is not there any more
                file = input_file(site, job, place)
                found.setdefault(name, []).append((f"jobs/{job.key}/inputs/{place}", file.name))
    return found
