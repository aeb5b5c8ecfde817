"""The bytes of an upload on their way from a connection to the disk, in pieces, off the loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import anyio
from starlette.requests import ClientDisconnect, Request

from stoker.project.jobs.uploads import Arriving, TooLarge, Upload, Uploads
from stoker.web.problems import Problem
from stoker.web.site import Site
from stoker.web.uploads.pieces import Pieces

STALLED_S = 60.0  # without a byte: the client is given up
DRAIN_S, DRAIN_BYTES = 10.0, 256 << 20  # read and dropped, so that the client sees the refusal


async def steady(
    request: Request,
    *,
    stalled_s: float | None = None,
    kept: str = "nothing of the upload is kept",
) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Problem 408 for a client that stalls, 400 for one that went away.

    `kept` says what becomes of what has come.
    """
    stalled_s = STALLED_S if stalled_s is None else stalled_s
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(stalled_s):
                chunk = await anext(stream, None)
        except TimeoutError:
            headers = {"Connection": "close"}
            text = f"nothing came for {stalled_s:g} s; {kept}"
            raise Problem(408, text, headers=headers) from None
        except ClientDisconnect:
            raise Problem(400, f"the upload broke off; {kept}") from None
        if chunk is None:
            return
        if chunk:
            yield chunk


async def drain(stream: AsyncIterator[bytes]) -> None:
    """Read on for a moment: many clients read no answer before they have sent everything."""
    left = DRAIN_BYTES
    with suppress(Problem, TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for chunk in stream:
                left -= len(chunk)
                if left < 0:
                    return


class Incoming:
    """A file that arrives, as a context: unless it was finished, nothing of it is left.

    While one piece is written and hashed, the next one arrives. What is wrong with a piece is raised
    with the next, or at the end.
    """

    def __init__(
        self, site: Site, *, limit_bytes: int | None = None, expected_bytes: int = 0
    ) -> None:
        self._site = site
        self._limit_bytes = limit_bytes
        self._expected_bytes = expected_bytes
        self._arriving: Arriving | None = None
        self._pieces = Pieces(site, self._write)

    async def __aenter__(self) -> Self:
        """There is a place for it."""
        self._arriving = await self._site.call(
            lambda: Uploads(self._site.project).begin(
                limit_bytes=self._limit_bytes, expected_bytes=self._expected_bytes
            )
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """What was not finished is gone, also when the request is cancelled."""
        if self._arriving is not None:
            with anyio.CancelScope(shield=True):
                await self._pieces.drop()
                await self._site.call(self._arriving.discard)

    async def write(self, chunk: bytes) -> None:
        """The chunk is on its way to the disk."""
        await self._pieces.add(chunk)

    async def finish(self, *, name: str, media: str | None = None) -> Upload:
        """The upload is complete and durable."""
        await self._pieces.end()
        return await self._site.call(self._place.finish, name=name, media=media)

    def _write(self, piece: bytes) -> None:
        self._place.write(piece)

    @property
    def _place(self) -> Arriving:
        if self._arriving is None:
            raise RuntimeError("it is written to inside its context only")
        return self._arriving


async def receive_body(
    site: Site, request: Request, *, name: str, media: str | None, limit_bytes: int | None
) -> Upload:
    """Return the upload that the body of the request is, complete and durable."""
    stream = steady(request)
    try:
        incoming = Incoming(
            site, limit_bytes=limit_bytes, expected_bytes=stated_length(request) or 0
        )
        async with incoming:
            async for chunk in stream:
                await incoming.write(chunk)
            return await incoming.finish(name=name, media=media)
    except TooLarge:
        await drain(stream)
        raise


def stated_length(request: Request) -> int | None:
    """Return the length that the client states; None where it states none."""
    text = request.headers.get("content-length", "")
    return int(text[:18]) if text.isascii() and text.isdecimal() else None
