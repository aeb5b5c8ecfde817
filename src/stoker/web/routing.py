"""Routes as a table: path, methods, the query that each takes, and the access that it needs.

A resource answers HEAD wherever it answers GET, OPTIONS, and 405 with `Allow`. An unknown query
parameter is an error. The access that a method needs is asked for here, before its handler sees the
request. The table is walked by tests, and by whatever describes the service.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stoker.spec.problems import suggest
from stoker.web.caller import require
from stoker.web.needs import Need
from stoker.web.problems import InputError, Problem, invalid

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of a resource. `query` has its parameters by name, each as a JSON Schema."""

    handle: Handler
    need: Need
    summary: str
    query: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resource:
    """One path and its methods, by upper-case name; `options` are headers of the answer to OPTIONS."""

    path: str
    methods: Mapping[str, Operation]
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def allowed(self) -> list[str]:
        """Return all methods that it answers."""
        return sorted({*self.methods, "OPTIONS", *(["HEAD"] if "GET" in self.methods else [])})

    def route(self) -> Route:
        """Return it as a route of Starlette."""
        return Route(self.path, _Endpoint(self), name=self.name or None)


class _Endpoint:
    """Answers one resource. A class, so that Starlette leaves all methods to it."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        request = Request(scope, receive, send)  # type: ignore[arg-type]  # as ASGI has them
        response = await self._answer(request)
        await response(scope, receive, send)  # type: ignore[arg-type]  # as above

    async def _answer(self, request: Request) -> Response:
        allow = {"Allow": ", ".join(self._resource.allowed())}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={**allow, **self._resource.options})
        method = "GET" if request.method == "HEAD" else request.method
        operation = self._resource.methods.get(method)
        if operation is None:
            raise Problem(
                405,
                f"`{request.method[:20]}` is not possible here; {allow['Allow']} are",
                headers=allow,
            )
        require(request, operation.need)
        check_query(request, operation.query)
        return await operation.handle(request)


def check_query(request: Request, known: Mapping[str, Mapping[str, object]]) -> None:
    """Raise Problem 400 for query parameters that do not exist here, all of them at once.

    One that is given twice is an error too, unless it is an array.
    """
    errors = []
    names = [name for name, _ in request.query_params.multi_items()]
    for name in dict.fromkeys(names):
        if name not in known:
            hint = suggest(name, known) or "it takes none"
            detail = f"there is no query parameter `{name[:60]}` here; {hint}"
            errors.append(InputError(input=name, rule="unknown", detail=detail))
        elif names.count(name) > 1 and known[name].get("type") != "array":
            detail = f"the query parameter `{name}` is given {names.count(name)} times"
            errors.append(InputError(input=name, rule="once", detail=detail))
    if errors:
        raise invalid(errors)
