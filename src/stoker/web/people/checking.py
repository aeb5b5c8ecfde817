"""What is wrong in a form that somebody still fills in, by the rules that hold when it is sent."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.project.jobs.validation import Budget, GivenFile, InvalidRequest, check_request
from stoker.spec.params import BadValue
from stoker.web.answers import json_answer, site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.ogc.seen import may_submit, process_named
from stoker.web.people.calls import file_inputs
from stoker.web.people.fields import error_text, field_of, read_fields
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource
from stoker.web.uploads.multipart import read_form_with_files


async def _check(request: Request) -> Response:
    """The mistakes of all fields but files, which are looked into once they are sent."""
    site, offered = site_of(request), await process_named(request)
    pipeline = offered.pipeline
    if not may_submit(caller_of(request), offered):
        raise Problem(403, f"submitting to `{pipeline.name}` needs the role `submitter`")
    form = await read_form_with_files(
        site, request, limit_bytes=0, needs_token=True, keeps_going=True
    )
    given = read_fields(pipeline, form.fields, [])
    files = set(file_inputs(pipeline))
    errors = list(given.errors)
    known = {one.input for one in errors}
    try:
        check_request(
            pipeline,
            {name: value for name, value in given.values.items() if name not in files},
            find_file=_no_file,
            budget=Budget(environment={}),
        )
    except InvalidRequest as invalid:
        errors += [one for one in invalid.errors if one.input not in known]
    made = [
        {"field": field_of(one), "text": text[:1].upper() + text[1:]}
        for one in errors
        if field_of(one) not in files and (text := error_text(one))
    ]
    return json_answer({"errors": made}, headers={"Cache-Control": "no-store"})


def _no_file(_input: str, _given: object) -> GivenFile:
    raise BadValue("is not looked into", rule="file", limit=None)


RESOURCES = [
    Resource(
        "/processes/{process}/check",
        {
            "POST": Operation(
                handle=_check, need=Need.OWN, summary="The mistakes of a form that is filled in"
            )
        },
        name="check",
    ),
]
