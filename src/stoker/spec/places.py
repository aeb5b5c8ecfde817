"""The kinds of places in a shell text, as bash's grammar names them, and what each allows."""

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
    NUMBER = auto()  # an integer inside `$((…))`; verified for each attempt
    INTEGER = auto()  # an integer as a word that bash calculates; verified for each attempt
    PROGRAM = auto()  # an absolute path where a command's name stands; verified for each attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where a placeholder stands, in bytes of the text, and what is known of its values."""

    start: int
    end: int
    name: str
    arity: Arity
    is_integer: bool
    is_absolute: bool


class Misplaced(Exception):
    """A value cannot stand at this place; carries a message and a hint."""

    def __init__(self, spot: Spot, where: str, hint: str) -> None:
        self.message = f"`{{{spot.name}}}` stands {where}"
        self.hint = hint
        super().__init__(self.message)


ASSIGN = "assign it to a variable first: `x={…}`, then use `$x`"
TYPED = "only parameters of type `integer` may stand there"

SUBSCRIPT = ("in a subscript, which bash would calculate", "use a fixed one")

NEVER = {
    "raw_string": ("inside single quotes", "use double quotes"),
    "ansi_c_string": ("inside `$'…'`", "use double quotes"),
    "translated_string": ('inside `$"…"`', "use double quotes"),
    "comment": ("in a comment", "take it out, or write `{{…}}`"),
    "heredoc_start": ("in the word of a here-document", "use a fixed word"),
    "expansion": ("inside `${…}`", ASSIGN),
    "subscript": SUBSCRIPT,
    "unset_command": ("as the name of a variable", "use a fixed name"),
    "ERROR": ("where the grammar of bash is at a loss", "write that line differently"),
}

FINE = frozenset(
    [
        "program",
        "list",
        "pipeline",
        "redirected_statement",
        "subshell",
        "compound_statement",
        "if_statement",
        "elif_clause",
        "else_clause",
        "while_statement",
        "for_statement",
        "do_group",
        "case_statement",
        "case_item",
        "negated_command",
        "command_substitution",
        "process_substitution",
        "string",
        "concatenation",
        "word",
        "command_name",
        "array",
        "variable_assignments",
        "test_command",
        "parenthesized_expression",
        "heredoc_redirect",
        "heredoc_body",
        "heredoc_content",
        "herestring_redirect",
        "file_redirect",
        "c_style_for_statement",
        "extglob_pattern",
        "regex",
        "string_content",
        "unary_expression",
        "binary_expression",
    ]
)

UNARY = frozenset(f"-{letter}" for letter in "bcdefghkprsuwxGLNOSzn")
BINARY = frozenset(("==", "=", "!=", "=~", "<", ">", "-nt", "-ot", "-ef"))
JOINING = frozenset(("&&", "||", "!"))
REDIRECTS = frozenset(("<", ">", ">>", ">|", "&>", "&>>", "<>"))

# Variables that bash calculates, or whose content it runs.
SPECIAL_VARIABLES = frozenset(
    [
        "RANDOM",
        "SRANDOM",
        "SECONDS",
        "LINENO",
        "OPTIND",
        "HISTCMD",
        "BASHPID",
        "EPOCHSECONDS",
        "PS0",
        "PS1",
        "PS2",
        "PS3",
        "PS4",
        "PROMPT_COMMAND",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "BASH_ALIASES",
        "BASH_CMDS",
    ]
)

NO_ARGUMENT = ("variable_assignment", "file_redirect", "heredoc_redirect", "herestring_redirect")
STATEMENTS = ("pipeline", "list", "command", "redirected_statement", "negated_command")

# What still matters around a `$(…)` that a value stands in.
BEYOND = ("command", "pipeline", "command_substitution", "heredoc_body", "ERROR")
