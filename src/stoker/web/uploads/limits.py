"""How much a client may upload: by the pipelines that it may submit to, and by how often it asks."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from stoker.model.pipeline import ItemKind, ParamType, Pipeline
from stoker.web.caller import Caller, caller_of, no_such_process
from stoker.web.needs import Need
from stoker.web.ogc.seen import may_submit, visible
from stoker.web.problems import Problem

AT_ONCE = 6  # uploads of one client
PER_MINUTE = 120  # that one client may begin
_CLIENTS = 10_000  # whose beginnings are remembered


def takes_files(pipeline: Pipeline) -> bool:
    """Whether a request to the pipeline can name files."""
    has_paths = any(ParamType.PATH in (one.type, one.items) for one in pipeline.params)
    return has_paths or pipeline.items is not ItemKind.RECORDS


async def limit_of_uploads(request: Request, named: str | None) -> int | None:
    """Return the largest upload that the caller may send, for the named pipeline or for any.

    None: there is no limit. Problem 403 where it may not submit to any pipeline that takes files.
    """
    caller = caller_of(request)
    seen = await visible(request)
    if named is not None and named not in seen:
        raise no_such_process(named)
    found = [
        one.pipeline.web.max_upload_bytes
        for name, one in seen.items()
        if named in (None, name) and takes_files(one.pipeline) and may_submit(caller, one)
    ]
    if not found:
        # Somebody with a role finds out more than a stranger, whom a token may help.
        status = 403 if caller.may(Need.VIEWER) else 401
        headers = {"WWW-Authenticate": 'Bearer realm="stoker"'} if status == 401 else {}
        text = "you may not submit to any pipeline that takes files"
        if named is not None:
            text = f"you may not submit files to `{named}`, or it takes none"
        raise Problem(status, text, headers=headers)
    return None if None in found else max(limit for limit in found if limit is not None)


class Doorkeeper:
    """Counts the uploads of each client in this process: those under way, and those of a minute."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._begun: dict[str, deque[float]] = {}

    @contextmanager
    def admit(self, caller: Caller, *, is_new: bool = True) -> Iterator[None]:
        """In the block an upload of the caller is under way; Problem 429 if it may not begin now.

        One that is not new goes on, and is not counted as one that begins.
        """
        client, now_s = caller.client, time.monotonic()
        begun = self._begun.setdefault(client, deque(maxlen=PER_MINUTE))
        while begun and begun[0] < now_s - 60:
            begun.popleft()
        if self._under_way[client] >= AT_ONCE:
            raise _wait(1, f"{AT_ONCE} uploads of yours are under way; wait for one of them")
        if is_new and len(begun) >= PER_MINUTE:
            after_s = int(begun[0] + 60 - now_s) + 1
            raise _wait(after_s, f"{PER_MINUTE} uploads of yours began within a minute")
        if is_new:
            begun.append(now_s)
        self._under_way[client] += 1
        try:
            yield
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]
            if len(self._begun) > _CLIENTS:
                self._begun = {
                    one: when for one, when in self._begun.items() if when and when[-1] > now_s - 60
                }


DOORKEEPER = Doorkeeper()


def _wait(after_s: int, text: str) -> Problem:
    return Problem(429, text, headers={"Retry-After": str(after_s), "Connection": "close"})
