"""Programs that run some of their words, or their standard input, as code, and which words these are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stoker.spec.evaluation import SHELLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Commands that run the command after them.
FRONT = (
    "command", "builtin", "exec", "time", "nohup", "env", "nice", "ionice", "setsid", "stdbuf",
    "sudo", "timeout", "xargs",
)  # fmt: skip
# Commands that take no options, or none that does harm.
NO_OPTIONS = (":", "[", "echo", "exit", "export", "false", "return", "shift", "test", "true")

# Programs whose words are handed to a shell, or split again.
_HANDS_ON = ("parallel", "rsh", "ssh", "su", "watch")
_HOST_FIRST = ("rsh", "ssh")
_SSH_TAKES = re.compile(r"-[BbcDEeFIiJLlmOopQRSWw]")  # options of ssh that take the next word

_PERL = re.compile(r"-\w*[eE]")
_PYTHON = re.compile(r"-\w*c")
_EVAL = re.compile(r"-e|-E|-p|--eval|--print|-r|-batch")
_SQL = re.compile(r"-c|--command|-e|--execute|-cmd")
_SED = re.compile(r"-\w*e|--expression")
# Programs of which the word after such an option is code.
CODE_OPTIONS: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(SHELLS, re.compile(r"[-+](?!-)\w*c\w*")),
    **dict.fromkeys(("perl", "ruby"), _PERL),
    **dict.fromkeys(("python", "python2", "python3"), _PYTHON),
    **dict.fromkeys(("R", "Rscript", "gnuplot", "julia", "lua", "matlab", "node", "octave"), _EVAL),
    "php": re.compile(r"-r"),
    **dict.fromkeys(("mariadb", "mysql", "psql", "sqlite3"), _SQL),
    "sed": _SED,
}
# Programs of which the first word that is no option is code, unless one of these options is there;
# and their options that take the next word.
CODE_FIRST: dict[str, tuple[re.Pattern[str], re.Pattern[str]]] = {
    **dict.fromkeys(
        ("awk", "gawk", "mawk", "nawk"), (re.compile(r"-\w*f.*|--file.*"), re.compile(r"-[vF]"))
    ),
    "sed": (re.compile(r"-\w*[ef]|--(?:expression|file).*"), re.compile(r"-l")),
    "jq": (re.compile(r"-f|--from-file"), re.compile(r"--(?:indent|tab)")),
}
_SHELL_VARIABLES = ("$SHELL", "${SHELL}", "$BASH", "${BASH}")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)


def base(word: str) -> str:
    """Return the name of a program without its folder; `$SHELL` is a shell."""
    return "sh" if word in _SHELL_VARIABLES else word.rpartition("/")[2]


def without_front(words: Sequence[str]) -> int:
    """Return the position of the word that names the command, past `exec` and its like."""
    at = 0
    while at < len(words) - 1 and base(words[at]) in FRONT:
        at += 1
        while at < len(words) - 1 and (
            words[at].startswith("-") or _ASSIGNMENT.match(words[at]) or words[at].isdigit()
        ):
            at += 1
    return at


def code_positions(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the positions of words that are code to a program among `words`, and that program.

    It may stand behind others that start it, as in `find . -exec sh -c …`.
    """
    for at, word in enumerate(words):
        program = base(word)
        options = CODE_OPTIONS.get(program)
        if options is not None:
            for later in range(at + 1, len(words) - 1):
                if options.fullmatch(words[later]):
                    yield later + 1, program
                    break
        if program in CODE_FIRST:
            yield from (
                (later, program) for later in _first_operand(words, at, *CODE_FIRST[program])
            )
        if program in _HANDS_ON:
            first = _after_host(words, at) if program in _HOST_FIRST else at + 1
            yield from ((later, program) for later in range(first, len(words)))


def is_argument_of_code(words: Sequence[str], at: int) -> bool:
    """Whether word `at` follows the code of a shell or of Python, which look for no option there."""
    last = (*SHELLS, "python", "python2", "python3")
    return any(code < at and program in last for code, program in code_positions(words))


def _first_operand(
    words: Sequence[str], at: int, elsewhere: re.Pattern[str], takes_next: re.Pattern[str]
) -> Iterator[int]:
    later = at + 1
    while later < len(words):
        word = words[later]
        if elsewhere.fullmatch(word):
            return
        if takes_next.fullmatch(word):
            later += 1
        elif not word.startswith("-"):
            yield later
            return
        later += 1


def _after_host(words: Sequence[str], at: int) -> int:
    later = at + 1
    while later < len(words) and words[later].startswith("-"):
        later += 2 if _SSH_TAKES.fullmatch(words[later]) else 1
    return later + 1


def reads_code(words: Sequence[str]) -> bool:
    """Whether a command runs its standard input as code, hands it to a shell, or splits it."""
    for at, word in enumerate(words):
        program, rest = base(word), words[at + 1 :]
        operands = [other for other in rest if not other.startswith(("-", "+"))]
        if program in SHELLS:
            return not operands or "-s" in rest
        if program == "xargs":
            return not any(re.fullmatch(r"-\w*0.*|--null|-d.*|--delimiter.*", one) for one in rest)
        if program in _HOST_FIRST:
            return _after_host(words, at) >= len(words)
        if program in ("parallel", "su"):
            return True
        if program in CODE_OPTIONS and program != "sed" and at == 0:
            return not operands or operands[0] == "-" or rest[:1] == ["-"]
    return False
