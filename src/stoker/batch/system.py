"""What Stoker asks of a batch system, whichever it is, and what it may answer.

"I could not be asked" and "there is no such job" are different answers everywhere: the first is
`Unavailable`, and changes nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from stoker.batch.runner import Runner
from stoker.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One pilot to be submitted. `script` and `log` are paths that the nodes see, too."""

    name: str
    uid: str
    script: str
    log: str
    cpus: int
    memory_bytes: int | None
    gpus: int
    time_limit_s: int
    options: Sequence[str] = ()
    exclude: Sequence[str] = ()  # hosts


@dataclass(frozen=True, slots=True)
class Submitted:
    """It was taken, and has this id."""

    job: str


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not taken. `is_limit`: as enough jobs are there, and later it may be."""

    text: str
    is_limit: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it was taken."""

    text: str


Answer = Submitted | Refused | Unknown


class Phase(Enum):
    """How a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


class Cause(Enum):
    """What ended a job."""

    EXIT = "exit"  # by itself, with status 0
    ERROR = "error"  # by itself, with another status, or killed for its own doing
    TIME = "time"  # its time limit
    CANCELLED = "cancelled"  # somebody
    LOST = "lost"  # pre-emption, or its node


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job in the batch system's list. `said` is its own word for the state, with the reason.

    `is_stuck`: it waits for something that never comes. `is_passing`: over, but it may come back, as
    one that was pre-empted; only its absence is final.
    """

    name: str
    job: str
    phase: Phase
    said: str
    host: str | None = None
    cause: Cause | None = None
    is_stuck: bool = False
    is_passing: bool = False
    batch_id: str | None = None  # CLUSTER:JOB.RESTART, where the list knows it better


@dataclass(frozen=True, slots=True)
class End:
    """How and where a job ended, by the list or the records of its batch system."""

    cause: Cause | None
    text: str
    host: str | None = None


MAINTENANCE = "Reserved for maintenance"  # in what is said of a job that waits for the end of one

Look = Mapping[str, Sequence[Seen]]  # all jobs of each name, of those asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the batch system says of itself, for `doctor`; None: it does not say."""

    version: str = ""
    kill_wait_s: float | None = None
    max_time_s: float | None = None
    has_accounting: bool | None = None


class System(Protocol):
    """A batch system. Every method may take as long as its commands may (`runner.LIMIT_S`)."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def cluster(self) -> str:
        """The first part of its jobs' batch ids."""

    def words(self, ask: Ask) -> Sequence[str]:
        """Return the command that submits it, for people to read in its script."""

    def submit(self, ask: Ask) -> Answer:
        """Submit the pilot's script."""

    def look(self, names: Sequence[str]) -> Look:
        """Return the jobs with these names; Unavailable if that could not be asked."""

    def ended(self, jobs: Sequence[str]) -> Mapping[str, End]:
        """Return how these jobs ended, as far as records tell; for words, and never to be relied on."""

    def cancel(self, jobs: Iterable[tuple[str, str]]) -> None:
        """End these jobs, each given by name and id, of which both must fit. The next look shows it."""

    def limits(self) -> Limits:
        """Return what there is to know of it; Unavailable if it does not answer."""

    def maintenance_s(self) -> float | None:
        """Return in how many seconds the next announced maintenance begins; None if it does not say.

        Asked only while a pilot waits for the end of one. Unavailable if that could not be asked.
        """

    def own_names(self) -> Sequence[tuple[str, str]]:
        """Return name and id of all jobs of this account; Unavailable if that could not be asked."""


def answer_to(
    runner: Runner,
    words: Sequence[str],
    *,
    job: re.Pattern[str],
    nobody_knows: re.Pattern[str],
    is_limit: Callable[[str], bool],
) -> Answer:
    """Submit by a command that prints an id, and return what its answer means.

    `job` finds the id, which counts whatever else was said; `nobody_knows` the words of a client that
    has not heard from its server; `is_limit` recognises refusals because enough jobs are there.
    """
    try:
        said = runner.run(words)
    except Unavailable as error:
        return Unknown(str(error))
    found = job.findall(said.out)
    if found:
        return Submitted(found[-1])
    text = f"{said.error}\n{said.out}"
    if nobody_knows.search(text) or said.status == 0:
        return Unknown(said.words)
    return Refused(said.words.replace(f"{words[0]}: error: ", ""), is_limit=is_limit(text))
