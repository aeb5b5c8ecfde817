"""Commands that run their words as code, and which of their words those are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Verdict:
    """What must hold for a value among a command's words.

    `needs_program` that it is an absolute path, since it names what is run; `refusal` that it
    cannot stand there, where and what else.
    """

    needs_program: bool = False
    refusal: tuple[str, str] | None = None


_FINE = Verdict()

_SHELLS = frozenset(
    ["bash", "sh", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "fish", "csh", "tcsh", "busybox"]
)
# Commands that run the command after them, with the letters of their options that take a word.
_WRAPPERS = {
    "command": "",
    "builtin": "",
    "exec": "a",
    "time": "of",
    "coproc": "",
    "env": "uSC",
    "nice": "n",
    "ionice": "cnp",
    "nohup": "",
    "setsid": "",
    "stdbuf": "ioe",
    "sudo": "ughpCDRTUrt",
    "xargs": "IinPLdaEs",
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=", re.ASCII)
_RUN_WORDS = frozenset(
    ["eval", "trap", "let", "alias", "compgen", "complete", "bind", "fc", "enable"]
)
_NAME_WORDS = frozenset(
    ["read", "mapfile", "readarray", "getopts", "unset", "wait", "local", "declare", "typeset"]
)
_HAND_ON = frozenset(["ssh", "rsh", "su", "watch", "parallel"])
_CLOSING = ("]", "]]")
_TEST_UNARY = frozenset(f"-{letter}" for letter in "bcdefghkprsuwxGLNOSzn")
_TEST_BINARY = frozenset(
    ["=", "==", "!=", "<", ">", "-nt", "-ot", "-ef", "-eq", "-ne", "-lt", "-le", "-gt", "-ge"]
)


def check_words(words: Sequence[str], at: int) -> Verdict:
    """Return what holds for a value in word `at` of a simple command.

    A word such as `$x` or `"${a[@]}"` may come to nothing, so that the value moves forward: what
    holds without such words holds too.
    """
    sure = [word for word in words[:at] if not _may_vanish(word)]
    verdicts = [_check_words(words, at), _check_words([*sure, *words[at:]], len(sure))]
    refusals = [verdict.refusal for verdict in verdicts if verdict.refusal]
    return Verdict(
        needs_program=any(verdict.needs_program for verdict in verdicts),
        refusal=refusals[0] if refusals else None,
    )


def _may_vanish(word: str) -> bool:
    is_quoted = word.startswith('"') and word.endswith('"')
    return "@" in word if is_quoted else "$" in word or "`" in word


def _check_words(words: Sequence[str], at: int) -> Verdict:
    words = [_plain(word) for word in words]
    start = _skip_wrappers(words)
    if at < start and _ASSIGNMENT.match(words[at]):
        return _FINE
    if at <= start:
        return Verdict(needs_program=True)
    name = _base(words[start])
    if name in _RUN_WORDS:
        hint = "call the command itself, without it"
        return Verdict(refusal=(f"in a word that `{name}` would run as code", hint))
    if name in _NAME_WORDS:
        hint = "use fixed names; give values to it by `<<<`"
        return Verdict(refusal=(f"in a word that `{name}` takes for the name of a variable", hint))
    handing = [word for word in map(_base, words[start:at]) if word in _HAND_ON]
    if handing:
        name = handing[0]
        hint = f"quote it yourself: `q=$(printf %q {{…}})`, then `{name} … $q`"
        return Verdict(refusal=(f"in a word that `{name}` would hand to another shell", hint))
    return _check_special(name, words, start, at)


def reads_code(words: Sequence[str]) -> bool:
    """Whether a simple command runs its standard input as code."""
    words = [_plain(word) for word in words]
    for position, word in enumerate(words):
        rest = words[position + 1 :]
        operands = [other for other in rest if not other.startswith(("-", "+"))]
        if _base(word) in _SHELLS:
            options = "".join(other for other in rest if other not in operands)
            return not operands or ("s" in options and "c" not in options)
        if _base(word) in _HAND_ON:
            return _base(word) not in ("ssh", "rsh") or len(operands) < 2
    return False


def _plain(word: str) -> str:
    """Return a word without quotes and backslashes, which do not change what it is to bash."""
    plain = word.translate({ord(mark): None for mark in "\"'\\"})
    return "sh" if plain in ("$SHELL", "${SHELL}", "$BASH", "${BASH}") else plain


def _base(word: str) -> str:
    return word.rpartition("/")[2]


def _check_special(name: str, words: Sequence[str], start: int, at: int) -> Verdict:
    if name in ("source", "."):
        return Verdict(needs_program=at == start + 1)
    if name == "printf":
        return _check_printf(words, start, at)
    if name in ("test", "[", "[["):
        return _check_test(
            [word for word in words[start + 1 :] if word not in _CLOSING], at - start - 1
        )
    for position in range(start, at):
        if _base(words[position]) in _SHELLS:
            return _check_shell(words, position, at)
    return _FINE


def _skip_wrappers(words: Sequence[str]) -> int:
    """Return the position of the word that names the command, past `exec` and its like."""
    position = 0
    while position < len(words) - 1 and _base(words[position]) in _WRAPPERS:
        letters = _WRAPPERS[_base(words[position])]
        position += 1
        while position < len(words) - 1 and _is_option(words[position]):
            option = words[position]
            takes_next = len(option) == 2 and option[0] == "-" and option[1] in letters
            position = min(position + 1 + takes_next, len(words) - 1)
    return position


def _is_option(word: str) -> bool:
    return word.startswith("-") or _ASSIGNMENT.match(word) is not None


def _check_printf(words: Sequence[str], start: int, at: int) -> Verdict:
    if at == start + 1 or words[start + 1].startswith("-v"):
        hint = "write `printf '%s' {…}`"
        return Verdict(refusal=("as the format of `printf`, or the name it writes to", hint))
    return _FINE


def _check_test(words: Sequence[str], at: int) -> Verdict:
    if words and words[0] == "!":
        words, at = words[1:], at - 1
    is_unary = len(words) == 2 and at == 1 and words[0] in _TEST_UNARY
    is_binary = len(words) == 3 and at in (0, 2) and words[1] in _TEST_BINARY
    if is_unary or is_binary:
        return _FINE
    return Verdict(refusal=("in a `test` whose operators are not fixed", "use `[[ … ]]`"))


def _check_shell(words: Sequence[str], shell: int, at: int) -> Verdict:
    """What follows a shell's `-c` is code; its first word without one is a file; then arguments."""
    takes_code = False
    for position in range(shell + 1, at + 1):
        word = words[position]
        if position == at:
            if takes_code:
                hint = "give it as an argument: `bash -c '… \"$1\"' bash {…}`"
                return Verdict(refusal=("in the code of another shell", hint))
            return Verdict(needs_program=True)
        if word == "--" and not takes_code:
            return Verdict(needs_program=at == position + 1)
        if not word.startswith(("-", "+")):
            return _FINE
        takes_code = takes_code or ("c" in word and not word.startswith("--"))
    return _FINE
