"""Callbacks: a client's address gets what became of its job, signed as Standard Webhooks has it.

Every process of the service looks for reports that are due; the store decides which one sends each.
The key of a job's signatures is derived from the store's secret and the job's id, and given to the
client that submitted the job, once.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from stoker.errors import NotFound, StokerError
from stoker.store.orders import callbacks
from stoker.store.reports.jobs import Job
from stoker.web import outbound
from stoker.web.ogc import results
from stoker.web.ogc.statuses import status_of, status_word
from stoker.web.problems import Problem, problem_of

if TYPE_CHECKING:
    from stoker.store.orders.callbacks import Due
    from stoker.web.site import Site

TICK_S = 1.0
AT_ONCE = 10  # reports that are being sent at a time
GONE = 410  # the receiver wants no more
_ENDS = {"successful": "success", "failed": "failed", "dismissed": "failed"}
_log = logging.getLogger(__name__)


def key_of(secret: bytes, job: str) -> bytes:
    """Return the key with which the reports about a job are signed."""
    return hmac.new(secret, job.encode(), hashlib.sha256).digest()


def shown_key(key: bytes) -> str:
    """Return a key as libraries for Standard Webhooks take it."""
    return "whsec_" + base64.b64encode(key).decode()


def signed(key: bytes, name: str, at_s: int, content: bytes) -> dict[str, str]:
    """Return the headers of a signed report; `name` is the same however often it is sent."""
    text = f"{name}.{at_s}.".encode() + content
    made = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{made}"}


class Courier:
    """Delivers the reports of a site while its loop runs."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._secret: bytes | None = None

    async def work(self) -> None:
        """Look for reports every second, and deliver them, until the service ends."""
        while not self._site.stopping.is_set():
            try:
                await self._look()
            except (StokerError, OSError) as error:
                _log.debug("callbacks have to wait", extra={"error": str(error)})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._site.stopping.wait(), TICK_S)

    async def _look(self) -> None:
        """Deliver all that is due now; what could not be delivered is due again later."""
        store, after = self._site.project.store, ""
        while some := await self._site.call(callbacks.due, store, after=after):
            after = some[-1].key
            async with asyncio.TaskGroup() as group:
                for one in some:
                    group.create_task(self._deliver(one))

    async def _deliver(self, one: "Due") -> None:
        store, call = self._site.project.store, self._site.call
        async with self._limit:
            try:
                job = await call(self._site.project.jobs.get, one.key)
            except NotFound:
                await call(callbacks.record, store, one, one.reported, is_last=True)
                return
            event, reported = _next_event(job, one)
            if event is None:
                return
            if event not in one.urls:
                await call(callbacks.record, store, one, reported, is_last=reported == 2)
                return
            if not await call(callbacks.claim, store, one):
                return
            trouble = await self._send(job, event, one.urls[event])
            if trouble is None:
                await call(callbacks.record, store, one, reported, is_last=reported == 2)
            elif not await call(callbacks.put_off, store, one, trouble):
                _log.warning(
                    "a callback was given up",
                    extra={"event": "callback_given_up", "job": job.key, "error": trouble},
                )

    async def _send(self, job: Job, event: str, url: str) -> str | None:
        """Return why the report was not delivered; None if it was, or nobody wants it."""
        content = json.dumps(await self._content(job, event), separators=(",", ":")).encode()
        if self._secret is None:
            self._secret = await self._site.call(callbacks.secret, self._site.project.store)
        name = f"{job.key}.{event}"
        headers = signed(key_of(self._secret, job.key), name, int(time.time()), content)
        headers |= {"Content-Type": "application/json", "User-Agent": "stoker"}
        try:
            found = await outbound.post(
                url, content, headers, outbound=self._site.settings.web.outbound
            )
        except (OSError, httpx.HTTPError, StokerError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:500]
        if 200 <= found.status < 300 or found.status == GONE:
            return None
        return f"the receiver answered {found.status}"

    async def _content(self, job: Job, event: str) -> Any:
        """Return the results of a job that succeeded, the exception of one that did not, or its status."""
        if event == "inProgress":
            return status_of(job, self._site.links)
        try:
            results.raise_unless_done(job)
            return await results.document_of(self._site, job)
        except (Problem, StokerError) as error:
            return problem_of(error).body()


def _next_event(job: Job, one: "Due") -> tuple[str | None, int]:
    """Return the event to report next, if there is one, and how far the client knows it then."""
    word = status_word(job)
    if word in _ENDS and not job.is_stopping:
        return _ENDS[word], 2
    if word == "running" and one.reported == 0:
        return "inProgress", 1
    return None, one.reported
