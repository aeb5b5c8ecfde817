r"""Regular expressions that people write, matched in a time that is linear in the text.

The engine is RE2: whatever the pattern and the text are, no worker, source or command is held up.
RE2 has neither look-around nor references back to groups, and `\w`, `\d`, `\s` and `\b` know ASCII only.
No other module compiles what a person wrote.
"""

import re
from functools import lru_cache
from typing import Any

_IN_WORDS = (
    (
        re.compile(r"\(\?<?[=!]"),
        "look-around `{}` is not supported",
        "say what is to match instead",
    ),
    (re.compile(r"\(\?P"), "references to groups are not supported", "repeat the text"),
    (re.compile(r"\\[1-9]"), "`{}`, a reference to a group, is not supported", "repeat the text"),
    (re.compile(r"\(\?>"), "atomic groups are not supported", "write `(?:`; nothing is slow here"),
    (re.compile(r"[*+?}]\+"), "`{}` is not supported", "leave the second sign out"),
    (re.compile(r"\\Z"), "`\\Z` is not supported", "write `\\z` or `$`"),
    (re.compile(r"\\[uUN]"), "`{}` is not supported", "write the character itself, or `\\x{{…}}`"),
    (re.compile(r"\(\?[#axLu]"), "`{}` is not supported", "leave it out"),
)


class BadPattern(ValueError):
    """The text is not a regular expression of this engine; the message says where and why."""


class Pattern:
    """A compiled regular expression. Texts may hold bytes that are not UTF-8, as file names do."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def finds(self, text: str | bytes) -> bool:
        """Whether some part of the text matches."""
        return self._compiled.search(_encoded(text)) is not None

    def fits(self, text: str | bytes) -> bool:
        """Whether the text matches as a whole."""
        return self._compiled.fullmatch(_encoded(text)) is not None

    def fields(self, text: str | bytes) -> dict[str, str] | None:
        """Return the named groups in their order, if the text matches as a whole and they are kept."""
        found = self._compiled.fullmatch(_encoded(text))
        if found is None:
            return None
        places = sorted((at, name) for name, at in self._compiled.groupindex.items())
        return {
            name.decode(): found.group(at).decode("utf-8", "surrogatepass")
            for at, name in places
            if found.group(at) is not None
        }


@lru_cache(maxsize=1024)
def compiled(pattern: str, *, flags: str = "", keeps_groups: bool = False) -> Pattern:
    """Return the compiled pattern; BadPattern if it is none.

    `flags` are letters of the engine: `m` for `^` and `$` at each line, `s` for `.` at line ends too.
    """
    import re2  # type: ignore[import-untyped]  # it ships no types

    options = re2.Options()
    options.log_errors = False
    options.never_capture = not keeps_groups
    text = f"(?{flags}){pattern}" if flags else pattern
    try:
        return Pattern(re2.compile(_encoded(text), options))
    except re2.error as error:
        raise BadPattern(_in_words(pattern, error)) from None


def fault(pattern: str) -> str:
    """Return what is wrong with a regular expression, and where; empty if nothing is."""
    try:
        compiled(pattern)
    except BadPattern as problem:
        return str(problem)
    return ""


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _in_words(pattern: str, error: Exception) -> str:
    """Return the engine's complaint in words, with the place that it is about."""
    complaint, _, about = _text_of(error).partition(": ")
    for shape, words, remedy in _IN_WORDS:
        found = shape.search(about)
        if found is not None:
            at = pattern.find(found[0])
            return f"{words.format(found[0])} (at character {at + 1}); {remedy.format()}"
    at = pattern.find(about) if about else -1
    where = f" (at character {at + 1})" if at > 0 else ""
    return f"{complaint}: `{about}`{where}" if about else complaint


def _text_of(error: Exception) -> str:
    said = error.args[0] if error.args else str(error)
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
