"""Any other batch system, by three commands that read one JSON object and write one.

The contract is in the how-to page on other batch systems. A command whose answer is not as it says
has not answered.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from stoker.batch.runner import Runner, Said
from stoker.batch.system import (
    Answer,
    Ask,
    Cause,
    End,
    Limits,
    Look,
    Phase,
    Refused,
    Seen,
    Submitted,
    Unknown,
)
from stoker.errors import Unavailable

_VERSION = 1
_MOST_ID = 150  # characters


class Commands:
    """The batch system behind the commands of an entry."""

    def __init__(self, name: str, commands: Mapping[str, Sequence[str]], runner: Runner) -> None:
        self.title = name
        self.cluster = name
        self._commands = commands
        self._runner = runner

    def words(self, ask: Ask) -> Sequence[str]:  # noqa: ARG002 - all of it is on its standard input
        """Return the command that submits it."""
        return self._commands["submit"]

    def submit(self, ask: Ask) -> Answer:
        """Submit it: `{"id": …}` or `{"refused": …}` is the answer."""
        asked = {
            "name": ask.name,
            "script": ask.script,
            "log": ask.log,
            "cpus": ask.cpus,
            "memory_bytes": ask.memory_bytes,
            "gpus": ask.gpus,
            "time_limit_s": ask.time_limit_s,
            "options": list(ask.options),
            "exclude": list(ask.exclude),
        }
        try:
            said = self._ask("submit", asked)
            answer = _answer("submit", said)
        except Unavailable as error:
            return Unknown(str(error))
        job, refused = answer.get("id"), answer.get("refused")
        if isinstance(job, str | int) and not isinstance(job, bool) and str(job).strip():
            if len(str(job)) > _MOST_ID:
                return Unknown(f"`submit` gives an id of more than {_MOST_ID} characters")
            return Submitted(str(job))
        if isinstance(refused, str):
            return Refused(refused or "refused", is_limit=answer.get("limit") is True)
        return Unknown(f"`submit` gives neither `id` nor `refused`: {said.words}")

    def look(self, names: Sequence[str]) -> Look:
        """Return the jobs of these names: `{"jobs": [{"name", "id", "state", …}]}` is the answer."""
        answer = _answer("status", self._ask("status", {"names": list(names)}))
        jobs = answer.get("jobs")
        if not isinstance(jobs, list):
            raise Unavailable("`status` gives no list `jobs`")
        found: dict[str, list[Seen]] = {}
        for job in jobs:
            one = _seen(job)
            if one is not None:
                found.setdefault(one.name, []).append(one)
        return found

    def ended(self, jobs: Sequence[str]) -> Mapping[str, End]:  # noqa: ARG002 - the look has reported all
        """Return nothing: there are no other records."""
        return {}

    def cancel(self, jobs: Iterable[tuple[str, str]]) -> None:
        """End these jobs; whatever is answered, the next look shows it."""
        listed = [{"name": name, "id": job} for name, job in jobs]
        if listed:
            with suppress(Unavailable):
                self._ask("cancel", {"jobs": listed})

    def limits(self) -> Limits:
        """Return that it answers."""
        self.look([])
        return Limits(version=f"`{' '.join(self._commands['status'])}`")

    def maintenance_s(self) -> float | None:
        """Return nothing: it announces none."""
        return None

    def own_names(self) -> Sequence[tuple[str, str]]:
        """Return nothing: the commands are asked by name only."""
        return []

    def _ask(self, verb: str, given: Mapping[str, Any]) -> Said:
        words = self._commands[verb]
        return self._runner.run(words, stdin=json.dumps({"v": _VERSION, **given}) + "\n")


def _answer(verb: str, said: Said) -> Mapping[str, Any]:
    if said.status != 0:
        raise Unavailable(f"`{verb}` ended with exit status {said.status}: {said.words}")
    try:
        answer = json.loads(said.out)
    except (ValueError, RecursionError):
        raise Unavailable(f"`{verb}` does not answer in JSON: {said.words}") from None
    if not isinstance(answer, dict):
        raise Unavailable(f"the answer of `{verb}` is not a JSON object")
    return answer


def _seen(job: object) -> Seen | None:
    """Return a job of the list; None for what is none, which says nothing of any pilot."""
    if not isinstance(job, dict):
        return None
    name, id_, state = job.get("name"), job.get("id"), job.get("state")
    is_job = isinstance(name, str) and isinstance(id_, str | int) and not isinstance(id_, bool)
    if not is_job or state not in {one.value for one in Phase}:
        return None
    cause, host, reason = job.get("cause"), job.get("host"), job.get("reason")
    return Seen(
        name=str(name),
        job=str(id_)[:_MOST_ID],
        phase=Phase(state),
        said=reason if isinstance(reason, str) and reason else str(state),
        host=host if isinstance(host, str) and host else None,
        cause=Cause(cause) if cause in {one.value for one in Cause} else None,
        is_stuck=job.get("stuck") is True,
    )
