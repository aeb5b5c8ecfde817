"""Routes of the API: each names the access that it needs, and all documents of errors."""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.params import Depends as DependsParam
from fastapi.routing import APIRoute

from stoker.web.bodies import strict_json
from stoker.web.caller import Caller, require
from stoker.web.needs import Need
from stoker.web.problems import PROBLEM

Function = Callable[..., Any]

_WORDS = {
    400: "The request is wrong; the exit code of the command line would be 2",
    401: "It needs a token, or a user who has signed in",
    403: "The caller may not do this",
    404: "There is no such thing, or it is not the caller's to see",
    405: "The method is not possible here",
    406: "The answer is not available in this form",
    408: "The body came too slowly",
    409: "The thing is not as the request assumes",
    413: "The body is too large",
    415: "The body has another media type than `application/json`",
    416: "The range is behind the end",
    422: "Not one item can be accepted; each has its errors",
    429: "The client has submitted too much just now",
    500: "A bug in Stoker, or in its project's file",
    503: "The store does not answer; try again",
}
_ALWAYS = (400, 401, 403, 404, 500, 503)
_WITH_BODY = (408, 409, 413, 415)


def error_answers(*more: int) -> dict[int | str, dict[str, Any]]:
    """Return how the errors of a route are documented."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    content = {PROBLEM: schema, "application/json": schema}
    return {status: {"description": _WORDS[status], "content": content} for status in more}


class _Request(Request):
    """A request whose body is read as strictly as at every other door."""

    async def json(self) -> Any:
        """Return what its body says; JSONDecodeError where that is not clear."""
        body = await self.body()
        try:
            return strict_json(body)
        except json.JSONDecodeError:
            raise
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from None


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return strict


class Routes(APIRouter):
    """A router whose routes name the access that they need, in the table that tests walk."""

    def __init__(self, **more: Any) -> None:
        super().__init__(route_class=_Route, **more)

    def get_for(
        self, need: Need, path: str, answer: Any, **more: Any
    ) -> Callable[[Function], Function]:
        """Add a route that reads. `answer` is the type of its JSON; None for one that says so itself."""
        return self._add("GET", need, path, answer, _ALWAYS, **more)

    def post_for(
        self, need: Need, path: str, answer: Any, **more: Any
    ) -> Callable[[Function], Function]:
        """Add a route that changes something, and takes a body."""
        return self._add("POST", need, path, answer, (*_ALWAYS, *_WITH_BODY), **more)

    def _add(
        self,
        method: str,
        need: Need,
        path: str,
        answer: Any,
        statuses: tuple[int, ...],
        *,
        responses: dict[int | str, dict[str, Any]] | None = None,
        **more: Any,
    ) -> Callable[[Function], Function]:
        own = responses or {}
        if answer is not None:
            own = {200: {"model": answer, "description": "The answer"}, **own}

        def add(function: Function) -> Function:
            return self.api_route(
                path,
                methods=[method],
                summary=(function.__doc__ or "").partition("\n")[0].rstrip("."),
                response_model=None,
                dependencies=[needs(need)],
                responses={**error_answers(*statuses), **own},
                openapi_extra={"x-stoker-role": need.value, **_security(need)},
                **more,
            )(function)

        return add


def needs(need: Need) -> DependsParam:
    """Return the dependency that lets only callers through whose role is enough."""

    def check(request: Request) -> Caller:
        return require(request, need)

    dependency: DependsParam = Depends(check)
    return dependency


def _security(need: Need) -> dict[str, Any]:
    schemes: list[dict[str, list[str]]] = [{"token": []}, {"session": []}]
    return {"security": schemes if need.role is not None else [{}, *schemes]}


CallerNow = Annotated[Caller, needs(Need.NOTHING)]
