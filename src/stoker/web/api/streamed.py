"""Long lists that are sent while they are read, so that their length needs no memory."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from stoker.model.encoding import as_text
from stoker.web.answers import site_of

_AT_ONCE = 200  # rows that are sent together
_HEADERS = {"Cache-Control": "no-store"}


async def rows_answer(
    request: Request,
    rows: Callable[[], Iterable[Any]],
    end: Callable[[], Mapping[str, Any]] = dict,
) -> Response:
    """Return `{"rows": […]}` with the members that `end` returns once all rows have been read.

    What is wrong with the request shows before the first row, and is an error answer. An error later
    on breaks the answer off, so that it is not valid JSON.
    """
    ready = await site_of(request).call(_begun, rows)
    return StreamingResponse(_pieces(ready, end), media_type="application/json", headers=_HEADERS)


def _begun(rows: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """Return all rows; the first has been read."""
    left = iter(rows())
    return itertools.chain(list(itertools.islice(left, 1)), left)


def _pieces(rows: Iterator[Any], end: Callable[[], Mapping[str, Any]]) -> Iterator[str]:
    yield '{"rows":['
    before = ""
    while some := list(itertools.islice(rows, _AT_ONCE)):
        yield before + ",".join(map(as_text, some))
        before = ","
    more = "".join(f",{as_text(name)}:{as_text(value)}" for name, value in end().items())
    yield f"]{more}}}"
