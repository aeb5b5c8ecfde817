"""Bodies of requests: read up to a limit, and strict JSON."""

import json
import math
from typing import Any

from starlette.requests import Request

from stoker.model.strict_json import check_levels
from stoker.web.problems import Problem

JSON_LIMIT_BYTES = 16 << 20


async def read_json_object(
    request: Request, *, limit_bytes: int = JSON_LIMIT_BYTES
) -> dict[str, Any]:
    """Return the JSON object that the request brings.

    Problem 413 for one that is too large, 415 for another kind of body, 400 for anything else.
    """
    kind = request.headers.get("content-type", "application/json")
    media = kind.partition(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        headers = {"Accept-Post": "application/json"}
        raise Problem(415, f"the body is `{media[:60]}`; send `application/json`", headers=headers)
    body = await read_body(request, limit_bytes=limit_bytes)
    try:
        found = strict_json(body)
        check_levels(found)
    except ValueError as error:
        raise Problem(400, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise Problem(400, "the body has to be a JSON object")
    return found


def strict_json(body: bytes) -> Any:
    """Return what the JSON says; ValueError where two readers of it could disagree.

    That is an object with two members of one name, a number that no float has, or nesting without end.
    """
    try:
        return json.loads(
            body, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_coding(request: Request) -> None:
    """Raise Problem 415 for a body that is compressed: nothing here would unpack it."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        headers = {"Accept-Encoding": "identity", "Connection": "close"}
        text = f"the body is sent as `{coding[:60]}`; send it without a `Content-Encoding`"
        raise Problem(415, text, headers=headers)


async def read_body(request: Request, *, limit_bytes: int) -> bytes:
    """Return the whole body; Problem 413 as soon as it is known to exceed the limit."""
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and int(stated[:18]) > limit_bytes:
        raise _too_large(limit_bytes)
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(found)


def _too_large(limit_bytes: int) -> Problem:
    return Problem(
        413,
        f"the body is larger than {limit_bytes >> 20:,} MiB; upload files, and name them",
        headers={"Connection": "close"},
    )


def _refuse(word: str) -> None:
    raise ValueError(f"`{word}` is not a number in JSON")


def _finite(digits: str) -> float:
    found = float(digits)
    if math.isinf(found):
        raise ValueError(f"`{digits[:20]}` is too large for a number")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has two members of the same name")
    return found
