"""Patterns for relative paths, as `glob` and `exclude` of a source have them."""

import re
from functools import lru_cache

from stoker.model.patterns import Pattern, compiled

_NOTHING = r"[^\x00-\x{10FFFF}]"


def matches(path: str, pattern: str) -> bool:
    """Whether a relative path fits a pattern: `*` and `?` within a name, `**` over folders too."""
    return _compiled(pattern).fits(path)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Pattern:
    made = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            made, at = made + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            made, at = made + ".*", at + 2
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            made, at = made + _one_of(pattern[at + 1 : end]), end + 1
        else:
            one = {"*": "[^/]*", "?": "[^/]"}.get(pattern[at])
            made, at = made + (one or re.escape(pattern[at])), at + 1
    return compiled(made, flags="s")


def _one_of(inner: str) -> str:
    """Return the expression for `[inner]`, which never matches the slash between names."""
    is_negated = inner.startswith(("!", "^")) and len(inner) > 1
    members = inner[1:] if is_negated else inner
    made = ""
    at = 0
    while at < len(members):
        first = last = members[at]
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            last, at = members[at + 2], at + 2
        at += 1
        made += _between(ord(first), ord(last), spares_slash=not is_negated)
    if is_negated:
        return f"[^/{made}]"
    return f"[{made}]" if made else _NOTHING


def _between(first: int, last: int, *, spares_slash: bool) -> str:
    """Return members of a character class; nothing where the first comes after the last."""
    slash = ord("/")
    if spares_slash and first <= slash <= last:
        return _between(first, slash - 1, spares_slash=False) + _between(
            slash + 1, last, spares_slash=False
        )
    return rf"\x{{{first:x}}}-\x{{{last:x}}}" if first <= last else ""
