"""Whether the service can do its work: for load balancers, systemd, and people."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import StokerError, Unavailable
from stoker.store.unit import Store
from stoker.web.answers import json_answer, site_of
from stoker.web.needs import Need
from stoker.web.problems import RETRY_AFTER_S
from stoker.web.routing import Operation, Resource


async def _healthz(request: Request) -> Response:
    site = site_of(request)
    try:
        await site.call(lambda: _look(site.project.store))
    except (StokerError, OSError):
        body = {"status": "unavailable", "store": "does not answer"}
        return json_answer(body, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
    return json_answer({"status": "ok"})


def _look(store: Store) -> None:
    """Raise Unavailable if the store does not answer."""
    try:
        with store.without_waiting(), store.reading():
            pass
    except StokerError as error:
        raise Unavailable(str(error)) from error


RESOURCES = [
    Resource(
        "/healthz",
        {"GET": Operation(handle=_healthz, need=Need.NOTHING, summary="Whether the store answers")},
        name="healthz",
    )
]
