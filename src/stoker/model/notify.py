"""Messages: who gets them, and what has happened since the last one, put into words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stoker.model.hours import Hours

ADDRESS = re.compile(r"[^\s@<>,;:\"\x00-\x1f]{1,64}@[^\s@<>,;:\"\x00-\x1f]{1,190}")
MOST_CAUSES = 10
MOST_TROUBLES = 20
MOST_KEYS = 50
OTHERS = "other causes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """One entry of `[notify]`. Exactly one of `to` and `command` is not empty."""

    name: str
    to: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    on: frozenset[str] = frozenset({"done", "failed", "trouble"})
    every_s: float = 900.0
    hours: Hours | None = None
    pipelines: tuple[str, ...] = ()  # empty: all

    @property
    def variable(self) -> str | None:
        """`by` or `params.x`, where the recipient depends on the item; else None."""
        found = re.fullmatch(r"\{(by|params\.\w+)\}", self.to[0]) if len(self.to) == 1 else None
        return found[1] if found else None

    @property
    def shown(self) -> list[str]:
        """Who gets messages, for people: of a URL the scheme alone, as the rest may be a secret."""
        if self.command:
            return [self.command[0]]
        return [f"{to.partition('://')[0]}://…" if "://" in to else to for to in self.to]

    def is_about(self, pipeline: str | None) -> bool:
        """Whether what happens in the pipeline (None: outside of all) concerns it."""
        return not self.pipelines or pipeline in self.pipelines


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The server that takes mail, and what it wants to know."""

    host: str = "localhost"
    port: int = 25
    sender: str | None = None
    user: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """All that the file says of messages."""

    notify: tuple[Notify, ...] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    mail: Mail = Mail()


@dataclass(slots=True)
class OfPipeline:
    """What has happened in one pipeline: items done, tasks failed and why, whether nothing is left."""

    done: int = 0
    failed: int = 0
    causes: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    is_drained: bool = False

    def fail(self, cause: str) -> None:
        """A task has failed for good."""
        self.failed += 1
        known = cause if cause in self.causes or len(self.causes) < MOST_CAUSES else OTHERS
        self.causes[known] = self.causes.get(known, 0) + 1


@dataclass(slots=True)
class Digest:
    """What has happened for one recipient since the last message; as JSON in the store."""

    since_us: int = 0
    pipelines: dict[str, OfPipeline] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Digest":
        """Return the digest that `as_plain` gave."""
        pipelines = {name: OfPipeline(**one) for name, one in plain.get("pipelines", {}).items()}
        return cls(plain.get("since_us", 0), pipelines, list(plain.get("troubles", ())))

    def as_plain(self) -> dict[str, Any]:
        """Return the digest as JSON has it."""
        names = ("done", "failed", "causes", "keys", "is_drained")
        return {
            "since_us": self.since_us,
            "pipelines": {
                name: {field_: getattr(one, field_) for field_ in names}
                for name, one in self.pipelines.items()
            },
            "troubles": self.troubles,
        }

    def pipeline(self, name: str) -> OfPipeline:
        """Return what has happened in that pipeline."""
        return self.pipelines.setdefault(name, OfPipeline())

    def add_trouble(self, text: str) -> None:
        """Somebody has to look at this."""
        if text not in self.troubles and len(self.troubles) < MOST_TROUBLES:
            self.troubles.append(text)

    @property
    def count(self) -> int:
        """How much there is to say."""
        return len(self.troubles) + sum(one.done + one.failed for one in self.pipelines.values())

    def is_news(self, on: frozenset[str]) -> bool:
        """Whether something has happened that this is a reason to write for."""
        return bool(
            ("trouble" in on and self.troubles)
            or ("failed" in on and any(one.failed for one in self.pipelines.values()))
            or ("done" in on and any(one.is_drained for one in self.pipelines.values()))
        )

    def subject(self, project: str) -> str:
        """Return the message's title."""
        done = sum(one.done for one in self.pipelines.values())
        failed = sum(one.failed for one in self.pipelines.values())
        parts = [f"{done:,} done"] if done else []
        parts += [f"{failed:,} failed"] if failed else []
        parts += ["trouble"] if self.troubles else []
        return f"[{_line(project)}] {', '.join(parts) or 'nothing new'}"

    def text(self, left: Mapping[str, str]) -> str:
        """Return the message; `left` says of each pipeline what is still to do."""
        lines = [*map(_line, self.troubles)]
        if lines:
            lines = ["In trouble:", *(f"  {line}" for line in lines), ""]
        for name, one in self.pipelines.items():
            rest = "nothing left to do" if one.is_drained else left.get(name, "")
            said = [
                f"{one.done:,} done" if one.done else "",
                f"{one.failed:,} failed" if one.failed else "",
            ]
            lines.append(f"{name}: {', '.join(filter(None, said))}" + (f"; {rest}" if rest else ""))
            lines += [
                f"  {n:,} x {_line(cause)}"
                for cause, n in sorted(one.causes.items(), key=lambda pair: -pair[1])
            ]
            if one.failed:
                lines.append(f"  `stoker failures --pipeline {name}` says more")
        return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """Return the text as a part of one line."""
    return " ".join(text.split())[:300]


def is_address(text: str) -> bool:
    """Whether this can be a mail address: nothing in it begins another header or recipient."""
    return ADDRESS.fullmatch(text) is not None
