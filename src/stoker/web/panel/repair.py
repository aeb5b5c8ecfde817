"""Repairs from the pages: a verb and a selection, counted by the server before anything is done.

What is done is what a person has seen counted: tasks that came to match since are not touched. If
some of those that were seen cannot be changed any more, the page asks again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from stoker.model.bounds import PRIORITY
from stoker.model.changes import CHANGES
from stoker.model.selection import Selection
from stoker.web.access.forms import read_form
from stoker.web.answers import site_of
from stoker.web.api.changing import own_part
from stoker.web.caller import caller_of, require
from stoker.web.needs import Need
from stoker.web.panel.frame import panel_of, panel_page
from stoker.web.panel.selecting import QUERY, asked, command_of, parts_of, query_of, selection_of
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from array import array

    from stoker.store.ends.redo import Changed

VERBS = {
    "retry": "Retry",
    "release": "Release",
    "hold": "Hold",
    "cancel": "Cancel",
    "rerun": "Rerun",
    "priority": "Set the priority of",
}
_DOING = {"priority": "set_priority"}  # where the project's verb has another name
SURE = 1_000  # tasks from which on the number has to be typed
_REASON = 1_000  # characters
_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
_NAME = {"type": "string", "enum": list(VERBS)}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: a verb, what it is about, and the priority that one verb needs."""

    verb: str
    selection: Selection
    priority: str = ""

    @property
    def folded(self) -> str:
        """All of it but the verb as one text."""
        return urlencode([*parts_of(self.selection), ("priority", self.priority)])

    @property
    def number(self) -> int:
        """The priority; Problem 400 for a text that is none."""
        text = self.priority.strip().replace("\N{MINUS SIGN}", "-")
        if not _WHOLE.fullmatch(text):
            raise Problem(400, f"a priority is a whole number, not `{self.priority[:20]}`")
        return int(text)

    def of(self, tasks: "array[int]") -> "Wish":
        """Return the same of these tasks alone."""
        return replace(self, selection=replace(self.selection, tasks=tuple(tasks)))

    def command(self, reason: str = "") -> str:
        """Return the same on the command line."""
        more = {"to": str(self.number)} if self.verb == "priority" else {}
        return command_of(self.verb, self.selection, **more, reason=reason)


async def _ask(request: Request) -> Response:
    query = request.query_params
    wish = Wish(_verb(query.get("verb", "")), asked(request), query.get("priority", ""))
    if wish.verb == "priority" and not wish.priority:
        _check(request, wish)
        return await panel_page(
            request,
            "priority.html",
            chips=list(parts_of(wish.selection)),
            least=PRIORITY.least,
            most=PRIORITY.most,
        )
    return await _asking(request, wish)


async def _asking(request: Request, wish: Wish, *, reason: str = "", problem: str = "") -> Response:
    """The page that says what would be done, and asks for the reason."""
    verb, chosen = wish.verb, wish.selection
    _check(request, wish)
    done = await _do(request, wish, reason=None, dry_run=True)
    frozen = panel_of(request).frozen.keep(
        caller_of(request).name, verb, wish.folded, done.tasks, done.total
    )
    return await panel_page(
        request,
        "repair.html",
        verb=verb,
        title=VERBS[verb],
        n=done.total,
        changed=_said(done.changed),
        left=done.left,
        examples=done.examples,
        chips=list(parts_of(chosen)),
        folded=urlencode(list(parts_of(chosen))),
        frozen=frozen,
        priority=wish.priority,
        command=wish.command(),
        must_type=done.total > SURE,
        reason=reason,
        problem=problem,
        longest_reason=_REASON,
        status=409 if problem else 200,
    )


async def _act(request: Request) -> Response:
    """Do it; ask again where the count has changed, or was not typed."""
    form = await read_form(request)
    wish = Wish(
        _verb(form.get("verb", "")),
        _unfolded(form.get("selection", "")),
        form.get("priority", ""),
    )
    verb, chosen, reason = wish.verb, wish.selection, form.get("reason", "").strip()[:_REASON]
    _check(request, wish)
    seen, token = form.get("n", ""), form.get("frozen", "")
    freezer = panel_of(request).frozen
    shown = freezer.find(token, caller_of(request).name, verb, wish.folded)
    if shown is None or seen != str(shown.n):
        said = "this page is too old, or was sent already; nothing was done. Look again"
        return await _asking(request, wish, reason=reason, problem=said)
    if shown.n > SURE and form.get("typed", "").replace(",", "").strip() != seen:
        said = f"type the number of tasks, {seen}, to show that you mean all of them"
        return await _asking(request, wish, reason=reason, problem=said)
    exact = wish.of(shown.tasks)
    now = (await _do(request, exact, reason=None, dry_run=True)).total
    if now != shown.n:
        said = (
            f"only {now:,} of the {shown.n:,} tasks that you saw can still be changed; "
            "nothing was done"
            if now < shown.n
            else f"it was {shown.n:,} tasks when you looked, and is {now:,} now; nothing was done"
        )
        return await _asking(request, wish, reason=reason, problem=said)
    freezer.drop(token)
    done = await _do(request, exact, reason=reason or None, dry_run=False)
    site = site_of(request)
    panel_of(request).expire()
    site.on_registered()
    return await panel_page(
        request,
        "repaired.html",
        verb=verb,
        title=VERBS[verb],
        n=done.total,
        changed=_said(done.changed),
        left=done.left,
        examples=done.examples,
        reason=reason,
        command=wish.command(reason),
        query=query_of(chosen),
        chips=list(parts_of(chosen)),
        item=_item_of(chosen),
    )


async def _do(request: Request, wish: Wish, *, reason: str | None, dry_run: bool) -> "Changed":
    """Do it, or count what would be done, in the name of the caller."""
    site, caller = site_of(request), caller_of(request)
    project = site.project.acting_as(caller.name)
    mine = own_part(wish.selection, caller)
    more = {"priority": wish.number} if wish.verb == "priority" else {}
    done: Changed = await site.call(
        getattr(project, _DOING.get(wish.verb, wish.verb)),
        selection=mine,
        reason=reason,
        dry_run=dry_run,
        **more,
    )
    return done


def _check(request: Request, wish: Wish) -> None:
    """Raise Problem for a caller who may not do this, and for a selection of everything."""
    require(request, Need.SUBMITTER if wish.verb == "cancel" else Need.OPERATOR)
    if wish.selection.is_everything:
        raise Problem(400, "nothing is selected; choose a pipeline, a step, a state or keys")


def _said(changed: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return the changes by what people call them."""
    return [(CHANGES.get(name, name.replace("_", " ")), n) for name, n in changed.items()]


def _verb(name: str) -> str:
    if name not in VERBS:
        raise Problem(400, f"`{name[:20]}` is not a verb of this page; {', '.join(VERBS)} are")
    return name


def _unfolded(text: str) -> Selection:
    """Return the selection that a form has as one field."""
    return selection_of(parse_qsl(text, keep_blank_values=True, max_num_fields=10_000))


def _item_of(chosen: Selection) -> tuple[str | None, str] | None:
    """Return the pipeline and key of the only item that is meant; None where several may be."""
    if len(chosen.keys) != 1:
        return None
    return chosen.pipeline, re.sub(r"\[([*?[])\]", r"\1", chosen.keys[0])


RESOURCES = [
    Resource(
        "/repair",
        {
            "GET": Operation(
                handle=_ask,
                need=Need.SUBMITTER,
                summary="What a verb would do with a selection",
                query={"verb": _NAME, "priority": {"type": "integer"}, **QUERY},
            ),
            "POST": Operation(handle=_act, need=Need.SUBMITTER, summary="Do it"),
        },
        name="repair",
    )
]
