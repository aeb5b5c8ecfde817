"""Bodies that come too slowly: a client that stalls does not hold a connection for ever."""

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

IDLE_S = 30.0  # in which a piece of a body has to come
BEGIN_S = 60.0  # after which it counts how much comes
LEAST = 1024  # bytes a second of the whole body, from then on


class InTime:
    """Receives the body of a request piece by piece, each in time; 408 for one that does not come.

    All of them together come at `LEAST` bytes a second or more: a byte now and then is not enough.
    After the body it waits as long as anybody likes: what comes then is the client's end.
    """

    def __init__(self, receive: Receive, *, idle_s: float | None = None) -> None:
        self._receive = receive
        self._idle_s = IDLE_S if idle_s is None else idle_s
        self._is_whole = False
        self._began_s = time.monotonic()
        self._bytes = 0

    async def __call__(self) -> Message:
        """Return the next piece."""
        if self._is_whole:
            return await self._receive()
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(self._idle_s):  # no task of its own, as `wait_for` makes
                message = await self._receive()
        except TimeoutError:
            waited_s = time.monotonic() - began_s
            text = f"nothing more of the body came for {waited_s:.0f} s"
            raise HTTPException(408, text, {"Connection": "close"}) from None
        self._bytes += len(message.get("body", b""))
        if time.monotonic() - self._began_s > BEGIN_S + self._bytes / LEAST:
            text = f"the body came at less than {LEAST:,} bytes a second"
            raise HTTPException(408, text, {"Connection": "close"})
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message
