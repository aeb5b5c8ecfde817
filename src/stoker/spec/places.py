"""The kinds of places in a shell text, as bash's grammar names them, and why some allow no value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stoker.spec.values import Arity


class Form(Enum):
    """How the text refers to a value."""

    WORD = auto()  # one word, quoted
    INNER = auto()  # inside double quotes or a here-document
    WORDS = auto()  # as many words as the list has
    NUMBER = auto()  # an integer inside `$((…))`


@dataclass(frozen=True, slots=True)
class Placed:
    """How the text refers to a value; `is_operand` if bash calculates with it.

    An operand must be an integer, which is verified for each attempt.
    """

    form: Form
    is_operand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a placeholder stands, in bytes of the text, and what is known of its values."""

    start: int
    end: int
    name: str
    arity: Arity
    is_integer: bool


class Misplaced(Exception):
    """A value cannot stand at this place; carries a message and a hint."""

    def __init__(self, spot: Spot, where: str, hint: str) -> None:
        self.message = f"`{{{spot.name}}}` stands {where}"
        self.hint = hint
        super().__init__(self.message)


ASSIGN = "assign it to a variable first: `x={…}`, then use `$x`"
TYPED = "only parameters of type `integer` may stand there"
FIXED_NAME = "use a fixed name"

NEVER = {
    "raw_string": ("inside single quotes", "use double quotes"),
    "ansi_c_string": ("inside `$'…'`", "use double quotes"),
    "translated_string": ('inside `$"…"`', "use double quotes"),
    "comment": ("in a comment", "take it out, or write `{{…}}`"),
    "heredoc_start": ("in the word of a here-document", "use a fixed word"),
    "ERROR": ("where the grammar of bash is at a loss", "write that line differently"),
}

COMPARING = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
