"""Shell constructs through which bash may run the text of a variable as code.

Bash evaluates a variable's text wherever it calculates, takes a subscript, or finds the name of a
variable in it, and no analysis can follow a value through functions, `read`, pipes and exported
variables. Every way from there to a command needs a command or process substitution. So nothing is
followed: an attempt fails before it starts if its step's text contains one of these constructs and
one of its values contains a character that a substitution needs.

The constructs are found by patterns over the text, and too many is fine: what is found wrongly only
refuses values with these characters. How the list was found, and what it does not promise:
docs/explanation/decisions/0009-values-in-shell-texts.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Construct:
    """What bash evaluates, and the characters that a value must not contain beside it."""

    name: str
    forbidden: str


SUBSTITUTION = "$`<>"
_PROMPT = SUBSTITUTION + "\\"  # a prompt decodes `\044` to `$` before it is expanded

WORDS = (
    "let",
    "declare",
    "typeset",
    "local",
    "readonly",
    "read",
    "unset",
    "mapfile",
    "readarray",
    "compgen",
    "complete",
    "source",
)
# Assigning to them calculates; `for NAME in …` and `${NAME:=…}` assign as well.
CALCULATED_VARIABLES = ("OPTIND", "RANDOM", "SRANDOM", "HISTCMD")
# Their content is expanded when bash shows a prompt, traces a command or starts.
PROMPTS = ("PS0", "PS1", "PS2", "PS3", "PS4", "PROMPT_COMMAND")
START_FILES = ("BASH_ENV", "ENV")

# Programs that run a text as bash does.
SHELLS = frozenset(
    ["bash", "sh", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "fish", "csh", "tcsh", "busybox"]
)

_ASSIGNED = r"(?:\+?=|:=|\s+in\s)"
_LITERAL_INDEX = r"(?:-?\d+|[@*])\]"
_COMMAND_POSITION = (
    r"(?:^|[;&|(){`!]|(?<!\S)(?:then|do|else|if|elif|while|until|time|command|builtin)(?=\s))"
    r"[ \t]*(?:\w+=\S*[ \t]+)*"
)

# A word of a `test` that stays one word: quoted, plain, or a number that bash keeps.
_ONE_WORD = (
    r"""(?:"(?:[^"$`]|\$\w+|\$\{\w+\}|\$\{#\w+(?:\[@\])?\}|\$\{\w+[-#%/:+=^,][^{}"$`]*\}"""
    r"""|\$\([^()`]*\))*"|'[^']*'|\$[?#$!]|\$\{#\w+(?:\[@\])?\}|[^\s"'$`\\;&|()<>\[\]*?{}])+"""
)
# Of three words, the second decides.
_BINARY = r"(?:==?|!=|\\[<>]|-(?:eq|ne|lt|le|gt|ge|nt|ot|ef|a|o))"
_TEST_WORDS = (
    rf"(?:!\s+)?(?:-[A-Za-uw-z]\s+{_ONE_WORD}|{_ONE_WORD}\s+{_BINARY}\s+{_ONE_WORD}|{_ONE_WORD})"
)
_PLAIN_TEST = re.compile(
    rf"(?<!\S)(?:\[\s+{_TEST_WORDS}\s+\](?=[\s;&|)]|$)|test\s+{_TEST_WORDS}(?=\s*(?:[;&|)\n]|$)))"
)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII | re.MULTILINE)


_PATTERNS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    *((name, _pattern(rf"(?<![\w.]){name}{_ASSIGNED}"), _PROMPT) for name in PROMPTS),
    ("${…@P}", _pattern(r"@P\}"), _PROMPT),
    ("((", _pattern(r"\(\("), SUBSTITUTION),
    ("$[", _pattern(r"\$\["), SUBSTITUTION),
    ("[[", _pattern(r"(?<![\w$\[])\[\[(?=\s)"), SUBSTITUTION),
    *((word, _pattern(rf"(?<![\w./-]){word}(?![\w./=-])"), SUBSTITUTION) for word in WORDS),
    *(
        (name, _pattern(rf"(?<![\w.]){name}{_ASSIGNED}"), SUBSTITUTION)
        for name in (*CALCULATED_VARIABLES, *START_FILES)
    ),
    (".", _pattern(rf"{_COMMAND_POSITION}[\\'\"]?\.['\"]?[ \t]"), SUBSTITUTION),
    ("a[…]", _pattern(rf"(?<!\w)[A-Za-z_]\w*\[(?!{_LITERAL_INDEX})"), SUBSTITUTION),
    ("${!…}", _pattern(r"\$\{!"), SUBSTITUTION),
    (
        "${…:…}",
        _pattern(
            r"\$\{(?:\w+|[@*#?$!-])(?:\[[^\]]*\])?:(?![-=+?])(?!\s*-?\d+\s*(?::\s*-?\d+\s*)?\})"
        ),
        SUBSTITUTION,
    ),
    ("wait", _pattern(r"""(?<![\w./-])wait[ \t]+[^;&|)\n]*(?:[$"'`]|-p)"""), SUBSTITUTION),
    (
        "printf",  # unless its format is written there, or follows `--`
        _pattern(
            r"""(?<![\w./-])printf(?![\w./=(-])(?!\s+--\s)"""
            r"""(?!\s+(?:"[^-$`"]|'[^-']|[^\s"'$`\\{~;|&)-]))"""
        ),
        SUBSTITUTION,
    ),
    (
        ">&",
        _pattern(r""">&[ \t]*(?:"[^"$`\n]*"|'[^'\n]*'|[^\s;|&()<>"'$`])*(?:"[^"$`\n]*)?[$`]"""),
        SUBSTITUTION,
    ),
)
_ELEMENT = re.compile(r"\[(?!-?\d+\]).*?\]\+?=", re.DOTALL)
_OPEN_TEST = re.compile(r"(?<![\w./$-])(?:\[\s[^$`]*[$`]|test[ \t][^$`\n]*[$`])")
_TEST = re.compile(r"(?<![\w./$-])(?:\[|test)(?=\s)")
_TEST_VARIABLE = re.compile(r"(?<!\S)['\"]?-v(?!\w)")


def find_construct(text: str) -> Construct | None:
    """Return a construct in a shell text that makes bash evaluate a variable's text; None if none is.

    Of several, one that forbids the most characters. References to values must stand in the text as
    bash gets them, since quotes decide what a `[ … ]` does.
    """
    joined = text.replace("\\\n", "")
    for name, pattern, forbidden in _PATTERNS:
        if pattern.search(joined):
            return Construct(name, forbidden)
    if "=(" in joined and "]" in joined and _ELEMENT.search(joined):
        return Construct("a=([…]=…)", SUBSTITUTION)
    if _TEST.search(joined) and _TEST_VARIABLE.search(joined):
        return Construct("-v", SUBSTITUTION)
    if _OPEN_TEST.search(_PLAIN_TEST.sub(" ", joined)):
        return Construct("[", SUBSTITUTION)
    return None
