"""Errors as HTTP answers: the one place where status codes are chosen (RFC 9457)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from stoker.errors import (
    Conflict,
    LimitReached,
    NotFound,
    Refused,
    SpecError,
    StokerError,
    Unavailable,
    UserError,
)
from stoker.project.jobs.uploads import NoRoom, TooLarge
from stoker.project.jobs.validation import InputError, InvalidRequest

PROBLEM, PLAIN = "application/problem+json", "application/json"
EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
NO_SUCH_PROCESS = f"{EXCEPTIONS}/no-such-process"
NO_SUCH_JOB = f"{EXCEPTIONS}/no-such-job"
RESULT_NOT_READY = f"{EXCEPTIONS}/result-not-ready"
RETRY_AFTER_S = 5

# The first class that an error is an instance of decides.
_STATUS: tuple[tuple[type[StokerError], int], ...] = (
    (SpecError, 500),  # of the project's file, which the client cannot put right
    (TooLarge, 413),
    (UserError, 400),
    (NotFound, 404),
    (Conflict, 409),
    (LimitReached, 429),
    (NoRoom, 507),
    (Unavailable, 503),
    (Refused, 403),
)


@dataclass
class Problem(Exception):
    """An answer with an error status. `errors` are all mistakes of the request."""

    status: int
    detail: str
    type: str = "about:blank"
    errors: Sequence[InputError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the members of the problem document."""
        made: dict[str, Any] = {
            "type": self.type,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            made["errors"] = [
                {
                    name: value
                    for name in ("input", "rule", "limit", "value", "detail")
                    if (value := getattr(one, name)) is not None
                }
                for one in self.errors
            ]
        return made


def problem_of(error: Exception) -> Problem:
    """Return the answer to a request that failed with this error.

    The text of an error that is a bug, or of the project's own file, stays inside.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, InvalidRequest):
        return invalid(error.errors)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            if status >= 500 and status not in (503, 507):
                break
            headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
            if isinstance(error, LimitReached):
                headers = {"Retry-After": str(max(1, math.ceil(error.after_s)))}
            return Problem(status, str(error), headers=headers)
    return Problem(500, "this is a bug in Stoker, or in its project's file; the log has more")


def invalid(errors: Sequence[InputError], *, status: int = 400) -> Problem:
    """Return the answer to a request with these mistakes."""
    return Problem(status, "; ".join(one.detail for one in errors), errors=tuple(errors))


__all__ = [
    "EXCEPTIONS",
    "NO_SUCH_JOB",
    "NO_SUCH_PROCESS",
    "PLAIN",
    "PROBLEM",
    "RESULT_NOT_READY",
    "RETRY_AFTER_S",
    "InputError",
    "Problem",
    "invalid",
    "problem_of",
]
