"""Where the work is done and where it comes from: workers, pools, batch systems, sources, messages."""

from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import Unavailable
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_of, panel_page
from stoker.web.panel.view import load_line, overview_of
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST = 500  # rows of a table that is not paged: workers alive, slots in use


async def _machines(request: Request) -> Response:
    status = await panel_of(request).status.get()
    slots = (await panel_of(request).slots.get()).value
    held = [slot for slot in slots if slot.item is not None]
    workers = status.value.workers[:MOST]
    load: Mapping[str, Sequence[float]] = {}
    with suppress(Unavailable):  # the rest is shown as it was read before
        load = (await panel_of(request).load.get()).value
    return await panel_page(
        request,
        "machines.html",
        load={host: load_line(hours) for host, hours in load.items()},
        active="machines",
        overview=overview_of(status.value, (), {}),
        workers=workers,
        n_workers=len(status.value.workers),
        held=held[:MOST],
        n_held=len(held),
        batch=status.value.batch,
        sites=status.value.sites,
    )


async def _sources(request: Request) -> Response:
    status = await panel_of(request).status.get()
    return await panel_page(
        request,
        "sources.html",
        active="sources",
        sources=status.value.sources[:MOST],
        n_sources=len(status.value.sources),
        notify=status.value.notify,
    )


RESOURCES = [
    Resource(
        "/machines",
        {"GET": Operation(handle=_machines, need=Need.VIEWER, summary="Workers and pools")},
        name="machines",
    ),
    Resource(
        "/sources",
        {"GET": Operation(handle=_sources, need=Need.VIEWER, summary="Where items come from")},
        name="sources",
    ),
]
