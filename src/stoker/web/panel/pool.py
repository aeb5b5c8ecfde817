"""One pool: who holds its slots, and how many there are to give out, changed in place."""

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import Bug, StokerError, UserError
from stoker.model.bounds import POOL_SLOTS
from stoker.web.access.forms import read_form
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.commands import command_line
from stoker.web.panel.frame import panel_of, panel_page
from stoker.web.problems import Problem, problem_of
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stoker.store.holdings.pools import PoolChange

MOST = 500  # slots that are listed
_REASON = 1_000  # characters
_NAME = {"type": "string", "minLength": 1, "maxLength": 200}


async def _show(request: Request) -> Response:
    return await _page(request, request.query_params.get("pool", ""))


async def _page(
    request: Request,
    name: str,
    *,
    done: str = "",
    command: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    site, project = site_of(request), site_of(request).project
    sharing = await site.call(project.sharing)
    declared, current = sharing.declared.get(name), sharing.pool(name)
    if declared is None or current is None:
        raise Problem(404, f"there is no pool `{name[:100]}`")
    slots = await site.call(project.slots, pool=name)
    counted = (await panel_of(request).status.get()).value.pools.get(name)
    return await panel_page(
        request,
        "pool.html",
        active="machines",
        name=name,
        declared=declared,
        current=current,
        is_by_hand=name in sharing.by_hand,
        is_numbered=declared.slots == tuple(str(n) for n in range(len(declared.slots))),
        counted=counted,
        slots=slots[:MOST],
        n_slots=len(slots),
        done=done,
        command=command or f"stoker pool list {name}",
        problem=problem,
        most=POOL_SLOTS.most,
        longest_reason=_REASON,
        status=status,
    )


async def _act(request: Request) -> Response:
    """The pool has other slots from now on, in the caller's name."""
    form = await read_form(request)
    site, name = site_of(request), form.get("pool", "")
    reason = form.get("reason", "").strip()[:_REASON] or None
    project = site.project.acting_as(caller_of(request).name)
    try:
        slots = _slots(form.get("slots", ""))
        change: PoolChange | None = await site.call(project.set_pool, name, slots, reason=reason)
    except StokerError as error:
        if isinstance(error, Bug):
            raise
        problem = problem_of(error)
        if problem.status == 404:
            raise
        return await _page(request, name, problem=str(error), status=problem.status)
    panel_of(request).expire()
    site.on_registered()
    words = [str(slots)] if isinstance(slots, int) else slots
    return await _page(
        request,
        name,
        done=_said(change),
        command=command_line("pool set", name, *words, reason=reason),
    )


def _slots(text: str) -> "int | Sequence[str]":
    """Return the number of slots, or their names."""
    words = text.split()
    if not words:
        raise UserError("say how many slots the pool is to have, or name them")
    if len(words) == 1 and words[0].isascii() and words[0].isdecimal():
        if len(words[0]) > 9:
            raise UserError(f"a pool has 0 to {POOL_SLOTS.most:,} slots")
        return int(words[0])
    return words


def _said(change: "PoolChange | None") -> str:
    if change is None:
        return "Nothing changes: the pool has these slots"
    held = change.retired_but_held
    more = f"; {held:,} that are held end with their attempts" if held else ""
    return f"The pool has {change.after:,} now; it had {change.before:,}{more}"


RESOURCES = [
    Resource(
        "/pool",
        {
            "GET": Operation(
                handle=_show, need=Need.VIEWER, summary="One pool", query={"pool": _NAME}
            ),
            "POST": Operation(
                handle=_act,
                need=Need.ADMIN,
                summary="Give a pool more or fewer slots",
                query={"pool": _NAME},
            ),
        },
        name="pool",
    )
]
