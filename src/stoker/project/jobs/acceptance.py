"""Requests for jobs: checked, their files placed, and registered; one, or many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.project.jobs.job_files import JobFiles
from stoker.project.jobs.validation import (
    Budget,
    Checked,
    FindFile,
    InputError,
    InvalidRequest,
    check_request,
    no_file,
    validator_environment,
)
from stoker.project.jobs.verbs import MOST_JOBS, NewJob, new_job_id

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.project.project import Project
    from stoker.store.arrivals.submissions import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A job that a client asks for. `meta` is kept with it as it is, and is not the client's.

    `errors` are mistakes of its inputs that were found before, where files were fetched.
    """

    inputs: Mapping[str, object]
    priority: int | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[InputError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a job that was asked for: its key, or all mistakes of its request."""

    key: str | None = None
    errors: tuple[InputError, ...] = ()


class Acceptance:
    """Accepts jobs of one pipeline for one client. `find_file` returns the files that inputs name."""

    def __init__(
        self,
        project: "Project",
        pipeline: "Pipeline",
        *,
        client: "Client | None" = None,
        find_file: FindFile = no_file,
    ) -> None:
        self._project = project
        self._pipeline = pipeline
        self._client = client
        self._find_file = find_file
        self._files = JobFiles(project.settings, project.store)
        self._budget = Budget(environment=validator_environment(project.settings.all_secrets))

    def one(self, wanted: Wanted) -> str:
        """The job is registered, durable when this returns; return its key.

        InvalidRequest has every mistake. LimitReached if the client may not submit now.
        """
        key = new_job_id()
        self._register([(key, wanted, self._check(key, wanted))])
        return key

    def many(self, wanted: Sequence[Wanted], *, atomic: bool = False) -> list[Outcome]:
        """Those without a mistake are registered, at once; with `atomic` only if all are.

        Return what became of each. LimitReached, with none registered, if they are too many.
        """
        if len(wanted) > MOST_JOBS:
            raise UserError(
                f"a request has at most {MOST_JOBS:,} items, and this has {len(wanted):,}"
            )
        good: list[tuple[str, Wanted, Checked]] = []
        outcomes = []
        for one in wanted:
            key = new_job_id()
            try:
                good.append((key, one, self._check(key, one)))
            except InvalidRequest as invalid:
                outcomes.append(Outcome(errors=invalid.errors))
            else:
                outcomes.append(Outcome(key=key))
        if atomic and len(good) < len(wanted):
            return [Outcome(errors=one.errors) for one in outcomes]
        if good:
            self._register(good)
        return outcomes

    def _check(self, key: str, wanted: Wanted) -> Checked:
        try:
            checked = check_request(
                self._pipeline,
                wanted.inputs,
                key=key,
                find_file=self._find_file,
                budget=self._budget,
            )
        except InvalidRequest as invalid:
            known = {one.input for one in wanted.errors}
            rest = [one for one in invalid.errors if one.input not in known]
            raise InvalidRequest((*wanted.errors, *rest)) from None
        if wanted.errors:
            raise InvalidRequest(wanted.errors)
        return checked

    def _register(self, good: Sequence[tuple[str, Wanted, Checked]]) -> None:
        """All are registered, or none, and then nothing of their files is left."""
        done = False
        try:
            self._project.jobs.submit_all(
                self._pipeline, [self._new_job(*one) for one in good], client=self._client
            )
            done = True
        finally:
            if not done:
                for key, _wanted, _checked in good:
                    self._files.remove(key)

    def _new_job(self, key: str, wanted: Wanted, checked: Checked) -> NewJob:
        placed = self._files.place(key, checked)
        return NewJob(
            key=key,
            params=placed.params,
            path=placed.path,
            meta=wanted.meta,
            priority=wanted.priority,
        )
