"""The errors of Stoker, split by who must act.

    StokerError
    ├── UserError          2    the caller wrote something wrong and can put it right
    │   └── SpecError           `stoker.toml` has problems; carries all of them
    ├── NotFound           3    the named thing is not in the store
    ├── Conflict           4    the thing is there, but not as the caller assumed
    │   ├── WrongState          a task is not in a state that the transition leaves from
    │   ├── StaleAttempt        the task has been given to another attempt since
    │   ├── OutputConflict      a published path belongs to somebody else
    │   └── VersionConflict     another host or path set the pipeline last
    ├── Unavailable        5    the store or a service does not answer; trying again is right
    │   └── LimitReached        a client has submitted too much; trying again later is right
    ├── Refused            6    Stoker could, and will not, because a promise would break
    │   ├── Foreign             the step belongs to another site, which alone changes its tasks
    │   └── StoreGone           the store was moved, deleted or replaced while it was open
    └── Bug               70    an invariant of Stoker's own does not hold

A message names the thing in backticks, says what is wrong, and what to do. The command line turns
`exit_code` into the process's exit code and prints the message; nothing else looks at the class.
"""

from collections.abc import Sequence
from typing import ClassVar


class StokerError(Exception):
    """Every error that Stoker raises on purpose. `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 70


class UserError(StokerError):
    """The caller wrote something wrong and can put it right."""

    exit_code = 2


class SpecError(UserError):
    """`stoker.toml` cannot be used; `problems` holds every problem found, as printable lines."""

    def __init__(self, message: str, problems: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class NotFound(StokerError):
    """The named project, pipeline, item, step or attempt is not there."""

    exit_code = 3


class Conflict(StokerError):
    """The thing is there, but not as the caller assumed; nothing was changed."""

    exit_code = 4


class WrongState(Conflict):
    """A task was not in a state that the transition may leave; nothing was changed."""


class StaleAttempt(Conflict):
    """The task carries another attempt, or none, by now: what this attempt says no longer counts."""


class OutputConflict(Conflict):
    """A path to publish belongs to another task, or to nobody that Stoker knows."""


class VersionConflict(Conflict):
    """The pipeline was last set from another host or path; `stoker apply` takes it over."""


class Unavailable(StokerError):
    """The store or a service does not answer. Nothing is known to have changed; try again."""

    exit_code = 5


class LimitReached(Unavailable):
    """A client may not submit more just now. Nothing was taken; it may try again `after_s`."""

    def __init__(self, message: str, *, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class Refused(StokerError):
    """Stoker will not do this, because it would break a promise. The message names the remedy."""

    exit_code = 6


class Foreign(Refused):
    """The task's step belongs to another site, which alone changes it; nothing was changed here."""


class StoreGone(Refused):
    """The store that this process opened was moved, deleted or replaced: it records nothing more."""


class Bug(StokerError):
    """An invariant of Stoker's own does not hold. Please report it with the message."""
