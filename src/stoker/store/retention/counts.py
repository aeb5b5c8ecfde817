"""What was forgotten: counts that pruning adds to, a little at a time."""

from dataclasses import dataclass, field

_EXAMPLES = 5


@dataclass(slots=True)
class Pruned:
    """What was forgotten, or would be.

    `attempts` counts those of forgotten items too, `streams` the attempts whose logs were deleted.
    `log_files` and `log_bytes` are of files; short texts are in the store. `journal_rows` were
    deleted, `condensed` of them by telling of an item in one row. Files on other hosts are
    `elsewhere`: a worker there deletes them.
    """

    items: int = 0
    tasks: int = 0
    attempts: int = 0
    streams: int = 0
    log_files: int = 0
    log_bytes: int = 0
    elsewhere: int = 0
    journal_rows: int = 0
    condensed: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether there was nothing to forget."""
        return not (self.items or self.attempts or self.streams or self.journal_rows)

    def example(self, text: str) -> None:
        """Remember one of the first few."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)
