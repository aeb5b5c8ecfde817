"""The web application without a server: requests from any address, quick enough for many attacks."""

import asyncio
import contextlib
import datetime as dt
import re
import threading

import httpx
import uvicorn

from integration.web.conftest import LIMIT_S, wait_until
from stoker.project import Project
from stoker.web.app import make_app
from stoker.web.site import Site

LAB = """
[project]
name = "lab"
{web}
[pipelines.open]
items = "records"
web.public = true
params.n = {{ type = "integer", default = 1, minimum = 1 }}
steps.s.run = "true"
[pipelines.closed]
items = "records"
params.n = {{ type = "integer", default = 1 }}
steps.s.run = "true"
"""
PASSWORD = "correct horse battery"


class _Transport(httpx.BaseTransport):
    """Hands requests to the application, as if they came from that address."""

    def __init__(self, app, loop, host):
        self._loop = loop
        self._inner = httpx.ASGITransport(app, client=(host, 50_000), raise_app_exceptions=False)

    def handle_request(self, request):
        return self._loop.run(self._answer(request))

    async def _answer(self, request):
        answer = await self._inner.handle_async_request(request)
        made = httpx.Response(
            answer.status_code, headers=answer.headers.raw, content=await answer.aread()
        )
        made.elapsed = dt.timedelta(0)
        return made


class Inside:
    """A project, its application, and clients of it at whatever address."""

    def __init__(self, folder, web="", toml=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "stoker.toml"
        self.file.write_text(LAB.format(web=web) if toml is None else toml)
        self.project = Project(self.file)
        self.project.apply()
        self.registered = 0
        self.site = Site(str(self.file), "http://127.0.0.1:8420/", on_registered=self._count)
        self.app = make_app(self.site)
        self.loop = asyncio.Runner()

    def _count(self):
        self.registered += 1

    def client(self, host="127.0.0.1", *, token=None, base="http://127.0.0.1:8420", **headers):
        """A client at that address; it follows no redirect, and keeps cookies."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        transport = _Transport(self.app, self.loop, host)
        return httpx.Client(base_url=base, transport=transport, headers=headers)

    def token(self, role, name=None):
        """A token with that role, which acts for itself."""
        return self.project.access.create_token(name or f"a-{role}", role=role)

    def user(self, name, role="viewer"):
        """A user who has a password."""
        self.project.access.create_user(name, role=role, password=PASSWORD)

    def signed_in(self, name, **more):
        """A browser in which that user has signed in."""
        browser = self.client(**more)
        answer = sign_in(browser, name, PASSWORD)
        assert answer.status_code == 303, answer.text
        return browser

    def close(self):
        self.loop.close()
        self.site.close()
        self.project.close()


async def send_half(lab, method, path, body, then, headers=()):
    """Send this part of a body, then what `then` returns; return the status of the answer."""
    messages = [{"type": "http.request", "body": body, "more_body": True}]
    seen = []

    async def receive():
        return messages.pop(0) if messages else await then()

    async def hear(message):
        seen.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "http_version": "1.1",
        "raw_path": path.encode(),
    }
    await lab.app(scope, receive, hear)
    return seen[0]["status"]


async def gone():
    """What the server hears of a client that has gone away."""
    return {"type": "http.disconnect"}


def form_token(browser, path="/sign-in"):
    """The token of the form on a page."""
    return re.search(r'name="form_token" value="([0-9a-f]+)"', browser.get(path).text)[1]


def sign_in(browser, name, password, **more):
    """Fill in and send the form."""
    fields = {"form_token": form_token(browser), "name": name, "password": password, **more}
    return browser.post("/sign-in", data=fields)


@contextlib.contextmanager
def inside(folder, web="", toml=None):
    """In the block the project is served; the store is closed then."""
    found = Inside(folder, web, toml)
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def served(lab):
    """In the block, the same application answers on a real socket."""
    config = uvicorn.Config(lab.app, port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    loops = []

    async def serve():
        loops.append(asyncio.get_running_loop())
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    lab.stop = lambda: loops[0].call_soon_threadsafe(lab.site.stopping.set)
    yield f"http://127.0.0.1:{port}"
    lab.stop()  # streams end by it, as in the service
    server.should_exit = True
    thread.join(LIMIT_S)
    assert not thread.is_alive()
