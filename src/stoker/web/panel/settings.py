"""The settings: what the file says, which versions the store has and from where, and what differs.

Never a secret: of addresses of messages the scheme, of the store its address without a password.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from stoker.errors import NotFound, SpecError, StokerError, Unavailable
from stoker.web.answers import site_of
from stoker.web.caller import caller_of
from stoker.web.needs import Need
from stoker.web.panel import words
from stoker.web.panel.frame import panel_page
from stoker.web.people.words import size_words
from stoker.web.problems import Problem
from stoker.web.routing import Operation, Resource

if TYPE_CHECKING:
    from stoker.model.retention import Retention
    from stoker.model.settings import Settings
    from stoker.model.sharing import Sharing
    from stoker.project import Project
    from stoker.project.verbs.applying import Applied
    from stoker.web.site import Site

LISTED = 200  # pipelines, and lines of each list
DIFF_LINES = 2_000
SHOWN_LINES = 200  # of each pipeline of the file that differs
_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
_NUMBER = {"type": "integer", "minimum": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the file, as it is now, would change in the store; `trouble`: it cannot be read."""

    changes: tuple[str, ...] = ()
    trouble: str = ""
    is_of_file: bool = False  # the trouble is the file's own


async def _show(request: Request) -> Response:
    site = site_of(request)
    project, settings = site.project, site.settings
    sharing = await site.call(project.sharing)
    versions = await site.call(project.history.versions.current)
    compared = await site.call(_compare, project)
    is_trusted = caller_of(request).may(Need.OPERATOR)
    differences: dict[str, list[str]] = {}
    if is_trusted and compared.changes:
        with suppress(SpecError):  # it was changed again meanwhile; the next look says so
            differences = await site.call(project.history.versions.differences)
    return await panel_page(
        request,
        "settings.html",
        differences=[
            (name, [(_kind(line), line) for line in lines[:SHOWN_LINES]], len(lines))
            for name, lines in differences.items()
        ],
        active="settings",
        file=str(site.file),
        sections=list(sections(site, settings, sharing)),
        pools=sorted(sharing.declared.items())[:LISTED],
        sharing=sharing,
        versions=versions[:LISTED],
        n_versions=len(versions),
        compared=compared,
        trouble=compared.trouble
        if is_trusted or not compared.is_of_file
        else "the file has mistakes; `stoker check` names them",
    )


async def _version(request: Request) -> Response:
    """The versions of one pipeline, and what one of them changed."""
    site, query = site_of(request), request.query_params
    pipeline, text = query.get("pipeline", ""), query.get("number", "")
    if text and not (text.isascii() and text.isdecimal() and 0 < len(text) <= 9):
        raise Problem(400, "`number` is the number of a version")
    versions = site.project.history.versions
    rows = await site.call(versions.history, pipeline)
    if not rows:
        raise Problem(404, f"the store has no pipeline `{pipeline[:100]}`")
    number = int(text) if text else rows[0].number
    is_trusted = caller_of(request).may(Need.OPERATOR)
    try:
        lines = await site.call(versions.difference, pipeline, number) if is_trusted else []
    except NotFound as error:
        raise Problem(404, str(error)) from None
    return await panel_page(
        request,
        "versions.html",
        active="settings",
        pipeline=pipeline,
        rows=rows,
        number=number,
        is_trusted=is_trusted,
        lines=[(_kind(line), line) for line in lines[:DIFF_LINES]],
        n_lines=len(lines),
    )


def _kind(line: str) -> str:
    return {"+": "added", "-": "removed", "@": "quiet"}.get(line[:1], "")


def _compare(project: "Project") -> Compared:
    """Return what differs; a file that cannot be used, or is of others, is no error of this page."""
    try:
        return Compared(changes=tuple(_said(project.history.versions.in_file())))
    except Unavailable:
        raise
    except StokerError as error:
        problems = error.problems[:10] if isinstance(error, SpecError) else ()
        said = [str(error), *(str(one) for one in problems)]
        return Compared(trouble="; ".join(said), is_of_file=True)


def _said(change: "Applied") -> Iterator[str]:
    for one in change.versions:
        if not one.is_new:
            continue
        parts = [f"step `{step}` is new" for step in one.tasks_created]
        parts += [f"step `{step}` is gone" for step in one.tasks_cancelled]
        parts += [
            f"step `{step}` changed" for step in one.bodies_changed if step not in one.tasks_created
        ]
        more = ": " + ", ".join(parts) if parts else ": other words, limits or resources"
        yield f"pipeline `{one.pipeline}` would get version {one.number}{more}"
    for pool in change.pools:
        yield f"pool `{pool.pool}` would have {words.plural(pool.after, 'slot')}, not {pool.before}"
    if change.shares:
        yield "`[shares]` would divide the slots in another way"
    for table in change.terms:
        yield f"`[{table}]` would change"
    if change.site is not None:
        yield f"this site would be called `{change.site.after}`"


Line = tuple[str, str]


def sections(
    site: "Site", settings: "Settings", sharing: "Sharing"
) -> Iterator[tuple[str, list[Line]]]:
    """Yield the tables of the file that are not pipelines or pools, each with its lines."""
    store = site.project.store
    access = "the group" if settings.store_access == "group" else "its owner alone"
    yield "project", [("name", settings.name), ("folder", settings.folder)]
    yield "store", [("url", store.url), ("may be read by", access)]
    own = settings.worker
    lines = [(name, _value(getattr(own, name))) for name in ("scratch", "tags", "cpus")]
    if own.memory_bytes is not None:
        lines.append(("memory", size_words(own.memory_bytes)))
    lines += [(f"hosts.{name}", "has settings of its own") for name in own.hosts]
    yield "worker", [line for line in lines if line[1]]
    web = settings.web
    names = ("url", "anonymous", "user_header", "trusted_proxies", "origins", "outbound")
    yield "web", [line for name in names if (line := (name, _value(getattr(web, name))))[1]]
    messages = [(one.name, ", ".join(one.shown)) for one in settings.messages.notify]
    yield "notify", messages
    yield "batch", [(one.name, one.system) for one in settings.batch]
    yield "sites", [(one.name, one.ssh or one.folder or "") for one in settings.sites]
    shares = sharing.shares
    if shares.by is not None:
        weights = [(f"weights.{name}", f"{n:g}") for name, n in sorted(shares.weights.items())]
        yield "shares", [("by", shares.by.value), *weights]
    if sharing.secrets:
        yield "secrets", [("names", ", ".join(sharing.secrets))]
    yield "retention", list(_ages(sharing.retention))


def _ages(retention: "Retention") -> Iterator[Line]:
    for what in ("items", "attempts", "logs"):
        for state, age_s in getattr(retention, what).items():
            yield f"{what}.{state}", words.span(age_s)
    if retention.journal is not None:
        yield "journal", words.span(retention.journal)


def _value(value: object) -> str:
    if value is None or value == ():
        return ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


RESOURCES = [
    Resource(
        "/settings",
        {"GET": Operation(handle=_show, need=Need.VIEWER, summary="What the file says")},
        name="settings",
    ),
    Resource(
        "/versions",
        {
            "GET": Operation(
                handle=_version,
                need=Need.VIEWER,
                summary="Versions of a pipeline",
                query={"pipeline": _NAME, "number": _NUMBER},
            )
        },
        name="versions",
    ),
]
