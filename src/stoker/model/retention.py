"""How long items, attempts, logs and the journal are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stoker.model.bounds import TIME_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what is kept, in seconds, by the words for states; what is not named stays for ever."""

    items: Mapping[str, float] = field(default_factory=dict)
    attempts: Mapping[str, float] = field(default_factory=dict)
    logs: Mapping[str, float] = field(default_factory=dict)
    journal: float | None = None

    def __post_init__(self) -> None:
        """Raise UserError for a time that is none: a negative one would forget everything."""
        for what, ages in (("items", self.items), ("attempts", self.attempts), ("logs", self.logs)):
            for state, age_s in ages.items():
                TIME_S.check(f"{what}.{state}", age_s)
        if self.journal is not None:
            TIME_S.check("journal", self.journal)

    @property
    def is_nothing(self) -> bool:
        """Whether all stays for ever."""
        return not (self.items or self.attempts or self.logs) and self.journal is None
