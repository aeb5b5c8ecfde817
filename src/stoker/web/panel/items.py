"""The list of items, and the page of one: its reason why, its steps, attempts and story."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import NotFound
from stoker.model.selection import Selection
from stoker.model.states import ItemState, TaskState
from stoker.store.rows import AttemptRow, ItemRow, Page, TaskRow
from stoker.store.story_rows import Story, Why
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel.attempt_bars import bars_of
from stoker.web.panel.excerpt import Excerpt, excerpt
from stoker.web.panel.frame import panel_page
from stoker.web.panel.repair import VERBS
from stoker.web.panel.selecting import QUERY, asked, command_of, parts_of, query_of
from stoker.web.panel.spreadsheet import csv_answer
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource
from stoker.web.site import Site

ROWS = 100  # of one page
COLUMNS = {
    "items": ("pipeline", "item", "state", "size_bytes", "registered_at", "by", "priority", "reason",
              "path", "params", "meta"),
    "tasks": ("pipeline", "item", "step", "state", "attempts", "expected_s", "priority",
              "not_before", "reason"),
}  # fmt: skip
_FORM = {"type": "string", "enum": ["html", "csv"]}
ATTEMPTS, HAPPENINGS = 50, 100  # the newest, that the page of an item shows
_TEXT = {"type": "string", "minLength": 1, "maxLength": 10_000}
_TASKS_OF = {"waiting": ("ready", "blocked")}
_VERBS_OF = {
    "ready": ("hold", "priority", "cancel"),
    "blocked": ("hold", "priority", "cancel"),
    "waiting": ("hold", "priority", "cancel"),
    "held": ("release", "priority", "cancel"),
    "failed": ("retry", "rerun", "priority", "cancel"),
    "running": ("cancel",),
    "done": ("rerun",),
    "skipped": ("rerun",),
    "cancelled": ("rerun",),
    "quarantined": ("retry",),
}
_STILL = ("running", "done", "skipped")  # tasks that nobody asks why of


async def _items(request: Request) -> Response:
    return await _list(request, "items", [state.word for state in ItemState])


async def _tasks(request: Request) -> Response:
    return await _list(request, "tasks", [state.word for state in TaskState])


async def _list(request: Request, kind: str, states: Sequence[str]) -> Response:
    """A page of what is selected, in the order in which it was registered."""
    site, chosen = site_of(request), asked(request)
    after, form = request.query_params.get("next"), request.query_params.get("f", "html")
    if form == "csv":
        return await site.call(_csv, site, kind, chosen)
    if form != "html":
        raise Problem(400, "`f` is `html` or `csv`; `/api/v1` has JSON")
    verb = site.project.page_items if kind == "items" else site.project.page_tasks
    page: Page[ItemRow] | Page[TaskRow] = await site.call(verb, chosen, after=after, limit=ROWS)
    return await panel_page(
        request,
        "list.html",
        active="items",
        kind=kind,
        states=states,
        rows=page.rows,
        next_query=None if page.next is None else query_of(chosen, next=page.next),
        is_first=after is None,
        chips=list(parts_of(chosen)),
        chosen=chosen,
        query=query_of(chosen),
        command=command_of(kind, chosen),
        verbs=list(bulk_verbs(kind, chosen)),
        pipelines=await site.call(lambda: sorted(site.offered())),
    )


def bulk_verbs(kind: str, chosen: Selection) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Yield what can be done with all that is selected: the verb, its word, the query for it.

    Verbs are about tasks: of waiting items, those that are ready or blocked.
    """
    if chosen.is_everything:
        return
    states = chosen.states or tuple(_VERBS_OF)
    if kind == "items" and chosen.states:
        tasks = tuple(dict.fromkeys(one for word in states for one in _TASKS_OF.get(word, (word,))))
        chosen = replace(chosen, states=tasks)
    for verb, word in VERBS.items():
        if any(verb in _VERBS_OF.get(state, ()) for state in states):
            yield (
                verb,
                f"{word.split()[0]}…" if verb != "priority" else "Priority…",
                query_of(chosen),
            )


def _csv(site: Site, kind: str, chosen: Selection) -> Response:
    """Return all that is selected as CSV. The first row is read before, so that an error is one."""
    project = site.project
    rows: Iterator[Any] = iter(
        project.each_item(chosen) if kind == "items" else project.each_task(chosen)
    )
    first = list(islice(rows, 1))
    return csv_answer(COLUMNS[kind], chain(first, rows), name=kind)


async def _item(request: Request) -> Response:
    site = site_of(request)
    key, pipeline = request.query_params.get("key", ""), request.query_params.get("pipeline")
    if not key:
        raise Problem(400, "the address lacks `key`, the item to show")
    try:
        story, why, words = await site.call(_read, site, key, pipeline)
    except NotFound as error:
        raise Problem(404, str(error)) from None
    attempts = story.attempts[-ATTEMPTS:]
    chosen = Selection(keys=(_exact(story.item.item),), pipeline=story.item.pipeline)
    states = {task.state for task in story.tasks}
    return await panel_page(
        request,
        "item.html",
        active="items",
        item=story.item,
        tasks=story.tasks,
        why=why,
        attempts=list(reversed(attempts)),
        bars=bars_of(attempts, datetime.now(UTC)),
        n_attempts=len(story.attempts),
        happenings=list(reversed(story.happenings[-HAPPENINGS:])),
        n_happenings=len(story.happenings),
        eta_s=story.eta_s,
        words=words,
        query=query_of(chosen),
        command=command_of("show", Selection(keys=chosen.keys), pipeline=chosen.pipeline),
        verbs=_verbs(states, story.item.state),
        may_cancel=caller_of(request).may(Need.OPERATOR)
        or (caller_of(request).may(Need.SUBMITTER) and story.item.by == caller_of(request).name),
    )


def _read(site: Site, key: str, pipeline: str | None) -> tuple[Story, Why | None, Excerpt | None]:
    """Return what is known of the item, why it does not go on, and the last words of a failure."""
    project = site.project
    story = project.show(key, pipeline=pipeline)
    why = None
    if any(task.state not in _STILL for task in story.tasks):
        why = project.why(story.item.item, pipeline=story.item.pipeline)
    failed = _last_failed(story)
    return story, why, None if failed is None else excerpt(project, failed)


def _last_failed(story: Story) -> AttemptRow | None:
    """Return the newest attempt of the item's failed tasks; None where none has failed."""
    failed = {task.step for task in story.tasks if task.state == "failed"}
    return next((one for one in reversed(story.attempts) if one.step in failed), None)


def _exact(key: str) -> str:
    """Return the key so that it selects itself alone, also where it looks like a glob."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in key)


def _verbs(states: set[str], item: str) -> list[str]:
    """Return the verbs that would change something of an item with tasks in these states."""
    found = []
    if "failed" in states or item == "quarantined":
        found.append("retry")
    if "held" in states:
        found.append("release")
    if states & {"ready", "blocked"}:
        found.append("hold")
    if states & {"ready", "blocked", "running", "held", "failed"}:
        found.append("cancel")
    if states & {"done", "failed", "skipped", "cancelled"} and "running" not in states:
        found.append("rerun")
    return found


RESOURCES = [
    Resource(
        "/items",
        {
            "GET": Operation(
                handle=_items,
                need=Need.VIEWER,
                summary="Items, page by page",
                query={**QUERY, "next": _TEXT, "f": _FORM},
            )
        },
        name="items",
    ),
    Resource(
        "/tasks",
        {
            "GET": Operation(
                handle=_tasks,
                need=Need.VIEWER,
                summary="Tasks, page by page",
                query={**QUERY, "next": _TEXT, "f": _FORM},
            )
        },
        name="tasks",
    ),
    Resource(
        "/item",
        {
            "GET": Operation(
                handle=_item,
                need=Need.VIEWER,
                summary="One item and its whole story",
                query={"key": _TEXT, "pipeline": _TEXT},
            )
        },
        name="item",
    ),
]
