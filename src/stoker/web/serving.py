"""The process that serves the web while `stoker up` works.

Run as `python -m stoker.web.serving FILE DESCRIPTOR URL`: it answers on the socket that it inherits
until its standard input ends, which it does when its parent is gone; a line there means that the file
has changed. It writes `!` once it can answer, and `+` whenever items were registered. It may be killed
at any time: what a client was promised is in the store.
"""

import asyncio
import importlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import uvicorn

from stoker.errors import StokerError
from stoker.web.app import make_app
from stoker.web.connections import Connection
from stoker.web.metrics import Metrics
from stoker.web.ogc.callbacks import Courier
from stoker.web.service import READY, REGISTERED
from stoker.web.site import Site
from stoker.work import contain
from stoker.work.spawn import raise_open_files

END_S = 1  # that answers under way get once the service ends
KEEP_ALIVE_S = 75  # longer than proxies keep theirs, so that none writes into a closed connection
TIDY_S = 60.0
REST_S = 0.03  # between two words about new items
FILES = 8_192  # that the process may have open, if it is allowed so many


def main() -> int:
    """Serve until the input ends."""
    contain.close_to_others()  # it has the secrets that the service was given
    file, descriptor, url = sys.argv[1:]
    raise_open_files(FILES)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what clients do is no news
    site = Site(file, url, on_registered=_Bell().ring)
    _import_verbs()
    listener = socket.socket(fileno=int(descriptor))
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(site, listener))
    site.close()
    return 0


def _import_verbs() -> None:
    """The first request of each kind is as quick as the others."""
    for name in ("arrivals.register", "database.connect", "orders.verbs", "reports.jobs"):
        importlib.import_module(f"stoker.store.{name}")


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


async def _serve(site: Site, listener: socket.socket) -> None:
    app = make_app(site)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            backlog=2048,
            http=Connection,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=END_S,
        )
    )
    loop = asyncio.get_running_loop()

    def end() -> None:
        site.stopping.set()
        server.should_exit = True

    threading.Thread(target=_follow, args=(loop, site, end), daemon=True).start()
    at_work = [
        loop.create_task(one) for one in (Courier(site).work(), _tidy(site, app.state.metrics))
    ]
    await server.serve(sockets=[listener])
    site.stopping.set()
    await asyncio.wait(at_work, timeout=END_S)


async def _tidy(site: Site, metrics: Metrics) -> None:
    """Finish removals that were cut short, and forget what is too old, every minute.

    Attempts that end from now on are counted.
    """
    while not site.stopping.is_set():
        with suppress(StokerError, OSError):
            await site.call(metrics.start)
            await site.call(site.project.jobs.finish_removals)
        with suppress(TimeoutError):
            await asyncio.wait_for(site.stopping.wait(), TIDY_S)


class _Bell:
    """Reports new items to our parent: at once, and then not before `REST_S`, as each wakes its worker."""

    def __init__(self) -> None:
        self._is_resting = self._is_rung = False

    def ring(self) -> None:
        """There are new items. Called on the loop."""
        self._is_rung = True
        if not self._is_resting:
            self._strike()

    def _strike(self) -> None:
        self._is_resting = self._is_rung
        if self._is_rung:
            self._is_rung = False
            _say(REGISTERED)
            asyncio.get_running_loop().call_later(REST_S, self._strike)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """It serves, and our parent knows."""
        await super().startup(sockets=sockets)
        _say(READY)


def _follow(loop: asyncio.AbstractEventLoop, site: Site, end: Callable[[], None]) -> None:
    """Read what our parent writes, until it is gone."""
    while os.read(0, 4096):
        site.reload()
    with suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(end)


def _say(word: bytes) -> None:
    with suppress(OSError):
        os.write(1, word)


if __name__ == "__main__":
    sys.exit(main())
