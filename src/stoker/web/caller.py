"""The client of a request: the role it has, and the name under which the record has it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from stoker.model.access import Role
from stoker.web.needs import Need
from stoker.web.problems import NO_SUCH_JOB, NO_SUCH_PROCESS, Problem

if TYPE_CHECKING:
    from stoker.model.web import PipelineWeb
    from stoker.store.arrivals.submissions import Client

ANONYMOUS = "anonymous"  # by whom the jobs of strangers are


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a user, or a stranger with an address. `role` is None where nothing was granted.

    `token` is the name of the token, if it was one. `is_ambient`: a browser vouches for the user
    without being asked to, by a cookie or through a proxy; then requests of other sites' pages must be
    distinguished. `session` is the secret of its cookie.
    """

    user: str | None = None
    role: Role | None = None
    address: str = ""
    token: str | None = None
    is_ambient: bool = False
    session: str | None = None

    @property
    def name(self) -> str:
        """The name that items and the journal have."""
        return self.user if self.user is not None else ANONYMOUS

    @property
    def client(self) -> str:
        """The name by which limits are counted: of a token, else a user, else an address."""
        if self.token is not None:
            return f"token:{self.token}"
        return f"user:{self.user}" if self.user is not None else f"address:{self.address}"

    def may(self, need: Need) -> bool:
        """Whether its role is enough."""
        return need.role is None or (self.role is not None and self.role >= need.role)

    def limited_by(self, web: "PipelineWeb") -> "Client":
        """Return it as a client of the pipeline that has these limits."""
        from stoker.store.arrivals.submissions import Client

        return Client(name=self.client, max_open=web.max_open, per_minute=web.per_minute)


def caller_of(request: Request) -> Caller:
    """Return who asks, as `web.access` has found; a stranger where nothing has asked."""
    found = request.scope.get("stoker.caller")
    if isinstance(found, Caller):
        return found
    return Caller(address=request.client.host if request.client else "")


def require(request: Request, need: Need) -> Caller:
    """Return the caller; Problem 401 for a stranger, 403 for somebody whose role is not enough."""
    caller = caller_of(request)
    if caller.may(need):
        return caller
    if caller.user is None:
        headers = {"WWW-Authenticate": 'Bearer realm="stoker"'}
        raise Problem(401, "this needs a token, or a user who has signed in", headers=headers)
    raise Problem(403, f"this needs the role `{need.value}`")


def owns_job(caller: Caller, job: Any) -> bool:
    """Whether the job is the caller's own. A stranger's is everybody's who knows its id."""
    return job.by in (ANONYMOUS, caller.user)


def may_see_job(caller: Caller, job: Any) -> bool:
    """Whether the job is the caller's own, or everybody's jobs are its to see."""
    return caller.may(Need.VIEWER) or owns_job(caller, job)


def may_end_job(caller: Caller, job: Any) -> bool:
    """Whether the caller may give the job up, or remove it: its own, or with the role everybody's."""
    return caller.may(Need.OPERATOR) or owns_job(caller, job)


def no_such_job(key: str) -> Problem:
    """Return the answer for a job that does not exist, or is not the caller's to see."""
    return Problem(404, f"there is no job `{key[:100]}`", type=NO_SUCH_JOB)


def no_such_process(name: str) -> Problem:
    """Return the answer for a pipeline that does not exist, or is not the caller's to see."""
    return Problem(404, f"there is no process `{name[:100]}`", type=NO_SUCH_PROCESS)
