"""Small forms: names and values, without files, and only from pages of ours."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from stoker.web.access.forgery import FIELD, check_token
from stoker.web.bodies import read_body
from stoker.web.problems import Problem

_LIMIT_BYTES = 1 << 20
_FIELDS = 10_000


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once; Problem 403 unless it has its token."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        headers = {"Accept-Post": "application/x-www-form-urlencoded"}
        raise Problem(415, "send `application/x-www-form-urlencoded`", headers=headers)
    body = await read_body(request, limit_bytes=_LIMIT_BYTES)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_FIELDS,
        )
    except ValueError as error:
        raise Problem(400, f"the body is not a form: {str(error)[:200]}") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Problem(400, "a field stands twice in the form")
    check_token(request, found.pop(FIELD, ""))
    return found
