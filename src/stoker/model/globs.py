"""Patterns for relative paths, as `glob` and `exclude` of a source have them."""

import re
from functools import lru_cache


def matches(path: str, pattern: str) -> bool:
    """Whether a relative path fits a pattern: `*` and `?` within a name, `**` over folders too."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    made = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            made, at = made + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            made, at = made + ".*", at + 2
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            inner = "^" + inner[1:] if inner.startswith("!") else inner
            made, at = f"{made}(?!/)[{inner}]", end + 1
        else:
            one = {"*": "[^/]*", "?": "[^/]"}.get(pattern[at])
            made, at = made + (one or re.escape(pattern[at])), at + 1
    return re.compile(made, re.DOTALL)
