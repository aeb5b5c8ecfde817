"""Problems as pages, for people who follow a link that leads to one."""

from starlette.requests import Request
from starlette.responses import Response

from stoker.web.answers import HTML
from stoker.web.links import JSON
from stoker.web.negotiation import preferred
from stoker.web.problems import PROBLEM, Problem
from stoker.web.rendering import page


def wants_page(request: Request) -> bool:
    """Whether the client prefers a page to a document."""
    found = preferred(request.headers.getlist("accept"), (PROBLEM, JSON, HTML))
    return found == HTML


def problem_page(request: Request, problem: Problem) -> Response:
    """Return the problem as a page, with its status and its headers."""
    title = problem.body()["title"]
    answer = page(request, "problem.html", status=problem.status, title=title, problem=problem)
    for name, value in problem.headers.items():
        answer.headers[name] = value
    return answer
