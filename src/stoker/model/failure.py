"""What an error folder says of a failure, for people and for programs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stoker.model.encoding import Answer
from stoker.model.pipeline import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Answer):
    """An attempt after which its task has failed for good: the keys of `reason.json`.

    `say` and `do` are those of the entry of `causes` that it matches. `left_out` counts the files that
    the error folder lacks.
    """

    pipeline: str
    item: str
    step: str
    attempt: str
    number: int
    state: str
    reason: str | None
    cause: str | None
    say: str | None = None
    do: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    command: str | None = None
    path: str | None = None  # the item's own
    params: dict[str, Any] | None = None
    host: str | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    left_out: int = 0

    @property
    def as_text(self) -> str:
        """What `REASON.txt` holds: the reason in the first line, then what to do about it."""
        reason = self.reason or self.cause or "no reason was recorded"
        is_said = self.say is None or self.say in reason
        lines = [f"{self.step}: {reason if is_said else f'{self.say} ({reason})'}"]
        if self.do:
            lines.append(f"do: {self.do}")
        return "".join(f"{' '.join(line.split())}\n" for line in lines)


def remedy(step: Step | None, cause: str | None) -> tuple[str | None, str | None]:
    """Return what the step's `causes` say of this cause, and what to do; None for an unknown one."""
    for known in step.causes if step is not None else ():
        if known.say == cause:
            return known.say, known.do or None
    return None, None
