"""Query parameters of the standard, each as a JSON Schema, and their values."""

from starlette.requests import Request

from stoker.web.problems import InputError, invalid

MOST = 10_000

FORM = {"f": {"type": "string", "enum": ["json", "html"], "description": "the form of the answer"}}
LIMIT = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST,
        "description": "how many entries at most",
    }
}


def limit_of(request: Request, *, otherwise: int) -> int:
    """Return `limit`; Problem 400 where it is not a whole number from 1 to 10,000."""
    text = request.query_params.get("limit")
    if text is None:
        return otherwise
    if text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= MOST:
        return int(text)
    detail = f"`limit` is `{text[:40]}`; it is a whole number from 1 to {MOST:,}"
    raise invalid([InputError(input="limit", rule="range", value=text[:40], detail=detail)])
