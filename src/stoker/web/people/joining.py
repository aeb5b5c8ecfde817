"""Addresses that answer programs with JSON and people with a page, by what they accept."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import HTML, JSON, form_of
from stoker.web.routing import Handler, Operation, Resource


def with_pages(
    resources: Sequence[Resource], pages: Mapping[str, Mapping[str, Operation]]
) -> list[Resource]:
    """Return the resources; those with pages answer with them where a client prefers HTML.

    `pages` has the operations by path. One for `GET` is the page; all others are added.
    """
    unknown = set(pages) - {one.path for one in resources}
    if unknown:
        raise ValueError(f"there is no resource for the pages {sorted(unknown)}")
    return [_joined(one, pages.get(one.path, {})) for one in resources]


def _joined(resource: Resource, pages: Mapping[str, Operation]) -> Resource:
    methods = dict(resource.methods)
    for name, page in pages.items():
        if name == "GET":
            program = methods["GET"]
            methods["GET"] = replace(program, handle=_either(program.handle, page.handle))
        else:
            methods[name] = page
    return replace(resource, methods=methods)


def _either(program: Handler, page: Handler) -> Handler:
    async def handle(request: Request) -> Response:
        if form_of(request, (JSON, HTML)) == HTML:
            return await page(request)
        return await program(request)

    return handle
