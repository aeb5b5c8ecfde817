"""Values on their way into texts: what an attempt knows, how a name is looked up, what it becomes.

Templates, targets and shell texts are all made of these; what the names mean stands in `spec.names`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stoker.model.task import Claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an attempt knows when its command is made.

    `out` has a path in scratch for each output that the tool is to write to.
    """

    claimed: Claimed
    scratch: str
    out: Mapping[str, str] = field(default_factory=dict)


class Arity(Enum):
    """How many words a value may be."""

    ONE = 1
    MANY = 2  # a list, known as such beforehand
    ANY = 3  # known when the value is there


@dataclass(frozen=True, slots=True)
class Reference:
    """A resolved name.

    `is_free` marks a value that comes from outside as text, so that it could lead a path astray,
    from one that Stoker made.
    """

    name: str
    get: Callable[[Context], Any]
    arity: Arity = Arity.ONE
    is_integer: bool = False
    is_absolute: bool = False  # an absolute path
    is_free: bool = True
    step: str | None = None  # the predecessor that the value comes from


@dataclass(frozen=True, slots=True)
class Slot:
    """A resolved placeholder in a template; `begins_path` if a `/` follows and nothing stands before."""

    reference: Reference
    separator: str | None
    offset: int
    begins_path: bool = False

    def text(self, context: Context) -> str:
        """Return the value as one text; UserError if it is a list and nothing says how to join."""
        value = self.reference.get(context)
        if self.separator is not None:
            return self.separator.join(to_words(value))
        if (isinstance(value, list) and value) or (isinstance(value, tuple) and len(value) > 1):
            name = self.reference.name
            raise UserError(
                f"`{{{name}}}` has several values where one word stands; join them: `{{{name}:,}}`"
            )
        text = to_text(value)
        if self.begins_path and not text and self.reference.step is not None:
            name = self.reference.name
            raise UserError(
                f"`{{{name}}}` is empty for this item, so the path that begins with it would begin "
                "at `/`; give the step a `when`, or test the value first"
            )
        return text


def is_empty(value: Any) -> bool:
    """Whether a value makes the group of words around it vanish."""
    return value is None or value == "" or (isinstance(value, list | tuple) and not value)


def to_text(value: Any) -> str:
    """Return one value as the text that a command gets; a lone path of several stands for itself."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif value is None:
        text = ""
    elif isinstance(value, int | float):
        text = repr(value)
    elif isinstance(value, tuple) and len(value) < 2:
        text = value[0] if value else ""
    else:
        text = json.dumps(value)
    if "\0" in text:
        raise UserError(f"the value {text[:40]!r} has a NUL byte, which no command can be given")
    return text


def to_words(value: Any) -> list[str]:
    """Return a value as words: a list as many as it has, everything else as one."""
    if isinstance(value, list | tuple):
        return [to_text(element) for element in value]
    return [to_text(value)]
