"""What became of items that were to be registered: counts that each transaction adds to."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stoker.model.item import NewItem

EXAMPLES = 20  # conflicts that are kept as text


@dataclass(slots=True)
class Registered:
    """What a registration did, with up to twenty messages of what could not be taken.

    `quarantined` are on record with the reason why they cannot be taken; those in conflict and those
    refused are not.
    """

    registered: int = 0
    known: int = 0
    failed: int = 0  # of the known ones, those that have failed, as far as the journal is folded
    noted: int = 0  # of the known ones, those whose own step changed them
    changed: int = 0
    quarantined: int = 0
    conflicts: int = 0
    refused: int = 0
    messages: list[str] = field(default_factory=list)
    keys: list[str] | None = None  # of the registered ones, where they are kept
    most: int = EXAMPLES  # messages that are kept
    is_full: bool = False  # there was more, and no room for it
    pipeline: str | None = None  # whose items these are, where somebody has to be told

    @property
    def opened(self) -> int:
        """How many items have something to do that had not before."""
        return self.registered + self.changed

    @property
    def touched(self) -> int:
        """How many items the record says something new of."""
        return self.registered + self.changed + self.quarantined

    @property
    def is_news(self) -> bool:
        """Whether there is anything to report beside items that were known."""
        return bool(self.touched or self.conflicts or self.refused or self.noted or self.messages)

    @property
    def untold(self) -> int:
        """How many there are of which no message was kept."""
        told = self.conflicts + self.refused + self.quarantined + self.noted
        return max(0, told - len(self.messages))

    def keep(self, keys: "Iterable[str]") -> None:
        """Keep the keys of items that were registered, if they are to be reported."""
        if self.keys is not None:
            self.keys.extend(keys)

    def note(self, message: str) -> None:
        """Count a known item of which there is something to say."""
        self.known += 1
        self.noted += 1
        self.say(message)

    def refuse(self, message: str) -> None:
        """Count an item that could not be taken, for this reason."""
        self.refused += 1
        self.say(message)

    def quarantine(self, item: "NewItem") -> None:
        """Count an item that is on record now as one that cannot be taken."""
        self.quarantined += 1
        self.say(f"`{item.key}` is quarantined: {item.reason}")

    def conflict(self, message: str) -> None:
        """Count an item that contradicts a known one."""
        self.conflicts += 1
        self.say(message)

    def add(self, other: "Registered") -> None:
        """Count what another transaction did too."""
        self.registered += other.registered
        self.known += other.known
        self.failed += other.failed
        self.noted += other.noted
        self.is_full = self.is_full or other.is_full
        self.changed += other.changed
        self.quarantined += other.quarantined
        self.conflicts += other.conflicts
        self.refused += other.refused
        self.keep(other.keys or ())
        for message in other.messages:
            self.say(message)

    def say(self, message: str) -> None:
        """Keep a message, unless there are `most` already; nothing is counted."""
        if len(self.messages) < self.most:
            self.messages.append(message)
