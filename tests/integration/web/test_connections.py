"""Clients that send too much or too slowly, read too slowly, or are too many: on real sockets."""

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.exceptions import HTTPException

from integration.web.conftest import wait_until
from stoker.project.log_reading import LogPiece
from stoker.web import connections
from stoker.web.access import patience
from stoker.web.access.patience import InTime
from stoker.web.api import logs

PIECE = b"x" * (1 << 16)


async def app(scope, receive, send):
    """Answer with the size of the body; `/endless` with whatever the client reads.

    `/headers` answers with how many headers there are.
    """
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.create_task(receive())
    while scope["path"] == "/endless" and not gone.done():
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await asyncio.sleep(0)
    gone.cancel()
    size = len(scope["headers"]) if scope["path"] == "/headers" else size
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module")
def server():
    """The server, with limits that a test can wait for."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listener:
        for name, value in {"HEAD_S": 1.0, "UNREAD_S": 0.5, "MOST": 20}.items():
            patch.setattr(connections, name, value)
        config = uvicorn.Config(app, log_config=None, lifespan="off", http=connections.Connection)
        found = uvicorn.Server(config)
        thread = threading.Thread(target=found.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_until(lambda: found.started)
        found.address = listener.getsockname()
        yield found
        found.force_exit = found.should_exit = True
        thread.join(30)


@pytest.fixture
def connect(server):
    with ExitStack() as stack:

        def made():
            one = socket.create_connection(server.address, timeout=30)
            stack.callback(one.close)
            return one

        yield made
    wait_until(lambda: not server.server_state.connections)


def answer(one):
    """Return status and body of an answer after which the connection closes."""
    text = b""
    try:
        while piece := one.recv(65_536):
            text += piece
    except ConnectionResetError:
        pass
    head, _, body = text.partition(b"\r\n\r\n")
    return (int(head.split()[1]) if head else 0), body


GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"X: " + b"y" * 100_000,
        GET + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        GET + b"X: y\r\n" * 30_000,
        b"GET /" + b"y" * 100_000,
    ],
    ids=["header", "whole", "headers", "path"],
)
def test_a_head_that_is_too_large_is_431(connect, sent):
    one = connect()
    one.sendall(sent)
    status, body = answer(one)
    assert status == 431
    assert "64 KiB" in json.loads(body)["detail"]


def test_a_head_that_is_large_and_a_body_behind_it_pass(connect):
    one = connect()
    body = b"z" * 300_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 60_000
    for _ in range(2):
        one.sendall(head + b"\r\nContent-Length: 300000\r\n\r\n" + body)
        found = b""
        while not found.endswith(b"300000\r\n0\r\n\r\n"):
            found += one.recv(65_536)
    one.sendall(GET + b"Connection: close\r\n\r\n" + GET)
    assert answer(one)[0] == 200


@pytest.mark.parametrize(
    "first", [b"", b"GET", GET, b"\r\n"], ids=["none", "word", "half", "blank"]
)
def test_a_head_that_comes_too_slowly_is_408(connect, first):
    """Also where a little comes now and then, and behind a request that was answered."""
    one = connect()
    one.sendall(GET + b"\r\n")
    while not one.recv(65_536).endswith(b"0\r\n\r\n"):
        pass
    other = connect()
    began_s = time.monotonic()
    for n in range(6):
        other.sendall(first if n == 0 else b"")
        one.sendall(first or b"G" if n == 0 else b"")
        time.sleep(0.05)
    assert answer(other)[0] == 408
    assert answer(one)[0] == 408
    assert time.monotonic() - began_s < 10


def test_a_connection_that_waits_for_its_next_request_is_kept(connect):
    one = connect()
    for _ in range(2):
        one.sendall(GET + b"\r\n")
        while not one.recv(65_536).endswith(b"0\r\n\r\n"):
            pass
        time.sleep(1.2)  # longer than a head may take
    one.sendall(GET + b"Connection: close\r\n\r\n")
    assert answer(one)[0] == 200


def test_a_client_that_does_not_read_loses_its_connection(connect, server):
    one = connect()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: server.server_state.connections)
    wait_until(lambda: not server.server_state.connections)


def test_what_is_not_http_is_400(connect):
    one = connect()
    one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    status, body = answer(one)
    assert status == 400
    assert json.loads(body)["status"] == 400


POST = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close"
CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "pieces"])
@pytest.mark.parametrize(
    "body",
    [b"\r\nContent-Length: 50\r\n\r\n" + GET.ljust(50), CHUNKED + b"32\r\n" + GET.ljust(50) + b"\r\n0\r\n\r\n"],
    ids=["length", "chunks"],
)  # fmt: skip
def test_a_body_behind_a_wish_for_another_protocol_is_no_request(connect, body, in_pieces):
    """A parser that changes protocols takes it for the next one, in the name of a trusted proxy."""
    one = connect()
    head = POST + b", Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
    for piece in [head, *body.splitlines(keepends=True)] if in_pieces else [head + body]:
        one.sendall(piece)
        time.sleep(0.01 * in_pieces)  # so that most arrive alone; right in any case
    assert answer(one) == (200, b"2\r\n50\r\n0\r\n\r\n")


def test_what_follows_a_wish_for_another_protocol_is_answered(connect):
    one = connect()
    wish = GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    one.sendall(wish * 2 + GET + b"Connection: close\r\n\r\n")
    text = b""
    while piece := one.recv(65_536):
        text += piece
    assert text.count(b"HTTP/1.1 200") == 3


def test_headers_behind_a_body_are_dropped(connect):
    """They would be the proxy's to set, and there is no end to them."""
    one = connect()
    head = POST.replace(b"/ ", b"/headers ") + CHUNKED
    one.sendall(head + b"1\r\nx\r\n0\r\n" + b"X-Remote-User: admin\r\n" * 20_000 + b"\r\n")
    assert answer(one) == (200, b"1\r\n3\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        POST + CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        POST + CHUNKED + b"fffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
        POST + CHUNKED + b"2\r\n{}XX0\r\n\r\n",
        POST + CHUNKED + b"2\n{}\n0\n\n",
        POST + b"\r\nContent-Length: 2" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
        POST + b"\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        POST + b"\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        POST + b"\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n",
        POST + b"\r\nContent-Length : 2\r\n\r\n{}",
        GET + b"Host: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
    ids=["0x", "overflow", "end", "lf", "te+cl", "cl+cl", "te", "fold", "blank", "hosts", "none"],
)
def test_a_request_that_can_be_read_in_two_ways_is_400(connect, sent):
    one = connect()
    one.sendall(sent)
    status, body = answer(one)
    assert status == 400
    assert json.loads(body)["status"] == 400


def test_of_too_many_connections_the_last_are_refused(connect, server):
    many = [connect() for _ in range(20)]
    wait_until(lambda: len(server.server_state.connections) == 20)
    assert answer(connect())[0] == 503
    many[0].sendall(GET + b"Connection: close\r\n\r\n")
    assert answer(many[0])[0] == 200
    wait_until(lambda: len(server.server_state.connections) < 20)
    one = connect()
    one.sendall(GET + b"Connection: close\r\n\r\n")
    assert answer(one)[0] == 200


def test_a_body_that_comes_byte_by_byte_is_408(monkeypatch):
    monkeypatch.setattr(patience, "BEGIN_S", 0.05)

    async def drip():
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def read():
        receive = InTime(drip)
        while (await receive())["more_body"]:
            pass

    with pytest.raises(HTTPException, match="bytes a second") as caught:
        asyncio.run(read())
    assert caught.value.status_code == 408


def test_a_silent_stream_is_kept_open_and_ends_with_the_service(monkeypatch):
    """Proxies close what is silent for a minute."""
    assert logs.QUIET_S < 60
    monkeypatch.setattr(logs, "LOOK_S", 0.01)
    monkeypatch.setattr(logs, "QUIET_S", 0.03)
    silent = LogPiece(content=b"", start=0, size_bytes=0, is_over=False)

    async def read(_at):
        return silent

    async def listen():
        site = SimpleNamespace(stopping=asyncio.Event())
        heard = []
        async for event in logs._events(site, SimpleNamespace(read=read), silent):
            heard.append(event)
            if len(heard) == 3:
                site.stopping.set()
        return heard

    heard = asyncio.run(asyncio.wait_for(listen(), 30))
    assert heard == [": following\n\n", ": still there\n\n", ": still there\n\n"]
