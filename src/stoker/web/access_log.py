"""The log of requests: one JSON object a line, without anything that would open a door.

Queries are left out, and long words in paths are cut: a job's id is all that a stranger needs to see it.
"""

import asyncio
import json
import logging
import os
import re
import time
import weakref
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stoker.web.caller import Caller
from stoker.web.site import Site

FILE_BYTES, FILES = 10 << 20, 5
FLUSH_S = 0.1  # after which a line is in the file
_SECRET = re.compile(r"[\w-]{20,}")  # ids of jobs, links to sign in
_log = logging.getLogger(__name__)


class AccessLog:
    """Writes a line for each request once it is answered. A disk that refuses it holds nothing up."""

    def __init__(self, app: ASGIApp, *, site: Site) -> None:
        self._app = app
        self._handler = _handler(site)
        self._lines: list[str] = []  # that are written soon
        if self._handler is not None:
            weakref.finalize(self, _close, self._handler, self._lines)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write down what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, seen = time.monotonic(), {"status": 0, "bytes": 0}

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            elif message["type"] == "http.response.body":
                seen["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._write(scope, seen, time.monotonic() - began_s)

    def _write(self, scope: Scope, seen: dict[str, int], elapsed_s: float) -> None:
        if self._handler is None:
            return
        caller = scope.get("stoker.caller")
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "method": scope["method"],
            "path": shown_path(scope["path"]),
            "status": seen["status"],
            "size_bytes": seen["bytes"],
            "elapsed_ms": round(elapsed_s * 1000, 1),
            "address": caller.address if isinstance(caller, Caller) else None,
            "user": caller.user if isinstance(caller, Caller) else None,
        }
        self._lines.append(json.dumps(line))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        if self._handler is not None:
            _emit(self._handler, self._lines)


def _emit(handler: logging.Handler, lines: list[str]) -> None:
    """The lines are in the file, and no longer in the list."""
    if lines:
        handler.emit(logging.makeLogRecord({"msg": "\n".join(lines)}))
        lines.clear()


def _close(handler: logging.Handler, lines: list[str]) -> None:
    _emit(handler, lines)
    handler.close()


def shown_path(path: str) -> str:
    """Return the path with long words cut to their beginning."""
    return _SECRET.sub(lambda found: found[0][:6] + "…", path)[:500]


def _handler(site: Site) -> RotatingFileHandler | None:
    """Return what writes the file, which only those may read who may read the store; None if it cannot."""
    folder = site.file.parent / ".stoker" / "logs"
    is_shared = site.settings.store_access == "group"
    mode = 0o660 if is_shared else 0o600
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o770 if is_shared else 0o700)
        path = folder / "web.jsonl"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode))
        made = _Quiet(path, maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8")
    except OSError as error:
        _log.warning("requests are not logged", extra={"error": str(error)})
        return None
    made.setFormatter(logging.Formatter("%(message)s"))
    return made


class _Quiet(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """The disk is full: requests are answered all the same."""
