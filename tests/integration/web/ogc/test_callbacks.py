"""Callbacks: signed, repeated until they arrive, and never to where a client may not reach."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook

from integration.web.conftest import wait_until
from stoker.errors import Refused, StokerError, UserError
from stoker.web import outbound


class Receiver:
    """A client's server: keeps what it gets, and answers with the next status of a list."""

    def __init__(self, port, got):
        self.url = f"http://127.0.0.1:{port}"
        self.got = got


@contextmanager
def receiver(*statuses):
    got, left = [], list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, dict(self.headers), content))
            self.send_response(left.pop(0) if left else 204)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Receiver(server.server_port, got)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a80_job_creation_callback(lab):
    with receiver() as client:
        body = {
            "inputs": {"text": "called back", "pause": 2},
            "subscriber": {
                "successUri": f"{client.url}/success",
                "inProgressUri": f"{client.url}/running",
                "failedUri": f"{client.url}/failed",
            },
        }
        found = lab.execute("echo", body)
        assert found.status_code == 201
        wait_until(lambda: len(client.got) == 2, dump=lambda: (client.got, lab.log))
        (one, _, running), (two, headers, content) = client.got
        assert (one, json.loads(running)["status"]) == ("/running", "running")
        assert (two, json.loads(content)) == ("/success", {"text": "called back", "seen": 1.0})
        signed = {name.lower(): value for name, value in headers.items()}
        Webhook(found.headers["webhook-secret"]).verify(content, signed)
        assert signed["webhook-id"] == f"{found.json()['jobID']}.success"


def test_a_callback_of_a_failed_job_has_the_exception(lab):
    with receiver() as client:
        subscriber = {"failedUri": f"{client.url}/failed", "successUrl": f"{client.url}/success"}
        lab.execute("echo", {"inputs": {"fails": True}, "subscriber": subscriber})
        wait_until(lambda: client.got)
        path, _, content = client.got[0]
        assert path == "/failed"
        assert "it was asked to fail" in json.loads(content)["detail"]


@pytest.mark.slow
def test_a_callback_that_is_refused_is_sent_again_and_no_redirect_is_followed(lab):
    with receiver(302) as client:
        lab.execute("echo", {"subscriber": {"successUri": f"{client.url}/success"}})
        wait_until(lambda: len(client.got) == 2, dump=lambda: client.got)
        (_, first, content), (_, second, same) = client.got
        assert first["webhook-id"] == second["webhook-id"]
        assert content == same


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2/", "http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/",
        "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/",
        "http://0.0.0.0/", "http://224.0.0.1/", "http://[fe80::1]/", "http://[fec0::1]/",
        "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/", "http://[64:ff9b:1::7f00:1]/",
        "http://\uff11\uff10.0.0.1/", "http://a..b/", "http://" + "a" * 300 + "/",
        "file:///etc/passwd", "ftp://example.org/", "http://user:secret@example.org/",
        "http://example.org:0/", "http://example.org:99999/", "http:///x", "//example.org", "", 5,
        None, "http://exa mple.org/", "http://example.org/\n", "x" * 3000,
    ],
)  # fmt: skip
def test_an_address_that_no_client_may_reach_is_refused_at_once(lab, url):
    found = lab.execute("echo", {"subscriber": {"successUri": url}})
    assert found.status_code == 400
    assert [one["input"] for one in found.json()["errors"]] == ["subscriber.successUri"]


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "2130706433", "127.1", "017700000001"])
def test_a_name_that_leads_to_a_private_address_is_not_called(host):
    import asyncio

    with pytest.raises((Refused, OSError)):
        asyncio.run(outbound.post(f"http://{host}/", b"{}", {}, outbound=()))


def test_every_address_of_a_name_must_be_public(monkeypatch):
    """Some name servers answer with a public address and a private one."""
    import asyncio

    async def answers(*_args, **_more):
        return [(2, 1, 6, "", (one, 80)) for one in ("93.184.216.34", "10.0.0.1")]

    async def post():
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers, raising=False)
        await outbound.post("http://rebind.example/", b"{}", {}, outbound=())

    with pytest.raises(Refused):
        asyncio.run(post())


def test_a_name_in_any_script_is_called_by_its_ascii_form(monkeypatch):
    """Its report was put off until it was given up: no header has such letters."""
    import asyncio

    async def answers(_host, port, **_more):
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    async def post(port):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers, raising=False)
        url = f"http://B\xfccher.lab:{port}/x"
        return await outbound.post(url, b"{}", {}, outbound=["b\xfccher.*"])

    with receiver() as client:
        port = client.url.rpartition(":")[2]
        assert asyncio.run(post(port)).status == 204
    ((_, headers, _),) = client.got
    assert headers["Host"] == f"xn--bcher-kva.lab:{port}"


def test_names_that_the_operator_allows_may_be_private():
    assert outbound.check_url("http://10.0.0.1/x", ["10.0.0.1"]) == "http://10.0.0.1/x"
    assert outbound.check_url("http://LIMS.lab/x", ["*.lab"]) == "http://LIMS.lab/x"
    with pytest.raises(StokerError):
        outbound.check_url("http://10.0.0.2/x", ["10.0.0.1"])
    with pytest.raises(UserError):
        outbound.check_url("gopher://lims.lab/x", ["*.lab"])
