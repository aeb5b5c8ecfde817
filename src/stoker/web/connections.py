"""Connections: how large and how slow the head of a request may be, how slowly a client may read.

uvicorn's own protocol has no limit to either. A client that opens connections and says nothing on
them, or a little now and then, loses them; of more than `MOST` those that come last are refused.

Where a request ends is decided here alone. A client that asks for another protocol gets an answer in this
one, to the whole request: a body that was taken for the next request could say anything in the name of
the proxy that it came through. Headers behind a body are dropped, and a request names one host.
"""

import asyncio
import json
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stoker.web.problems import PROBLEM, Problem

MOST = 5_000  # connections at once
HEAD_BYTES = 64 << 10  # of the request line and all headers
HEAD_S = 20.0  # in which they have to come
UNREAD_S = 120.0  # in which a client has to read some of an answer


class Connection(HttpToolsProtocol):
    """One connection of a client, whose head, slowness and number are limited."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._is_in_head = True
        self._has_begun = False  # something of the next head has come
        self._head_bytes = 0
        self._upgrades = False  # the head asks for another protocol, and is parsed once more
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is counted, and refused if there are too many; its first request is waited for."""
        super().connection_made(transport)
        if len(self.connections) > MOST:
            headers = {"Retry-After": "5"}
            self._refuse(Problem(503, "there are too many connections", headers=headers))
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing of it is waited for any more."""
        self._end_timers(self._head_timer, self._unread_timer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse it, unless the head becomes too large with it."""
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            self._has_begun = True
        self._unset_keepalive_if_required()
        self._parse(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        if self._head_bytes > HEAD_BYTES:
            self._refuse_head()
        elif self._has_begun:
            self._wait_for_head()

    def _parse(self, data: bytes) -> None:
        """Parse it as HTTP/1.1, whatever protocol a client would like to change to."""
        while data and not self.transport.is_closing():
            rest = b""
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
                if self._upgrades:  # the parser would take the body for another protocol
                    self._upgrades = False
                    rest = self._head_without_upgrade() + rest
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError as error:
                self._refuse(Problem(400, f"this is not a request of HTTP: {str(error)[:200]}"))
            data = rest

    def _head_without_upgrade(self) -> bytes:
        """Return the head of the request as it would be if it asked for nothing else."""
        version = self.parser.get_http_version().encode("ascii")
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """A head begins, maybe behind the body of the request before."""
        self._has_begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head; behind a body it is dropped."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; it is answered unless it is too large, or leaves its host open."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._upgrades = True
            return
        self._end_timers(self._head_timer)
        self._head_timer = None
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES:
            self._refuse_head()
            return
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts < 1 and self.parser.get_http_version() == "1.1"):
            self._refuse(Problem(400, f"a request names one host; this one names {hosts}"))
            return
        self._is_in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body; of a request that was refused it is dropped.

        While the application keeps up with its client, it gets each piece as it came, without a copy.
        """
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if not cycle.body:
            cycle.body = b""  # with which `body` is `body` itself
        elif isinstance(cycle.body, bytes):
            cycle.body = bytearray(cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """What comes next is another head."""
        if self._upgrades:
            return
        self._is_in_head, self._has_begun, self._head_bytes = True, False, 0
        if not self.transport.is_closing():
            super().on_message_complete()

    def pause_writing(self) -> None:
        """The client reads too slowly: it is waited for, and not for ever."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read."""
        self._end_timers(self._unread_timer)
        self._unread_timer = None
        super().resume_writing()

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _give_up(self) -> None:
        """The head has not come in time."""
        self._head_timer = None
        self._refuse(Problem(408, f"the head of the request did not come within {HEAD_S:g} s"))

    def _refuse_head(self) -> None:
        self._refuse(
            Problem(431, f"the request line and headers have more than {HEAD_BYTES >> 10} KiB")
        )

    def _refuse(self, problem: Problem) -> None:
        """The connection closes; with the problem as its answer, unless another one is being sent.

        What is wrong in a body that the application waits for is the answer to its request.
        """
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle  # None before the first request
        is_of_body = not self._is_in_head and not self.pipeline
        if cycle is None or cycle.response_complete or (is_of_body and not cycle.response_started):
            body = json.dumps(problem.body()).encode("ascii")
            headers = {
                **problem.headers,
                "Content-Type": PROBLEM,
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(
                STATUS_LINE[problem.status] + head.encode("latin-1") + b"\r\n" + body
            )
            if cycle is not None:
                cycle.disconnected = True  # nothing that the application says comes after that
        self.transport.close()

    @staticmethod
    def _end_timers(*timers: asyncio.TimerHandle | None) -> None:
        for timer in timers:
            if timer is not None:
                timer.cancel()
