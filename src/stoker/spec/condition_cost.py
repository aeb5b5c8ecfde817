"""How many steps a condition may take, so that none holds up the worker or the service that decides it.

Lists are gone through by `all`, `exists` and the like, and one within another multiplies. The library that
decides conditions cannot be interrupted, so what may take too long is refused before.
"""

import re
from collections.abc import Mapping
from typing import Any

MOST_STEPS = 4_000_000  # about two seconds

# A string or a comment, whose content is not code. The first that fits, as in CEL itself.
_QUOTED = re.compile(
    r'[bB]?[rR][bB]?(?:"""(?s:.*?)"""|\'\'\'(?s:.*?)\'\'\'|"[^"\n]*"|\'[^\'\n]*\')'
    r'|"""(?s:\\.|.)*?"""|\'\'\'(?s:\\.|.)*?\'\'\''
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*'
)
_MACRO = re.compile(r"\.\s*(all|exists|exists_one|existsOne|filter|map)\s*$")
_LONGEST = 16  # characters of one, with a dot and single blanks around it
# Within a loop: what may itself go through a list, and what may make one that is copied.
_LOOKS_THROUGH = re.compile(r"\bin\b|\+")
_MAKES_LIST = re.compile(r"\b(?:params|meta|values)\b|[\[{]")


def depth_of(text: str) -> int:
    """Return the power of the number of elements that the condition's steps may grow with.

    `filter` and `map` copy what they have made with every element.
    """
    code = " ".join(_QUOTED.sub('""', text).split())
    deepest = 0
    opened: list[tuple[int, str, int]] = []  # the depth outside, the macro, where its body begins
    depth = 0
    for at, sign in enumerate(code):
        if sign == "(":
            macro = _MACRO.search(code, max(at - _LONGEST, 0), at)
            name = macro[1] if macro is not None else ""
            opened.append((depth, name, at + 1))
            depth += {"": 0, "filter": 2, "map": 2}.get(name, 1)
            deepest = max(deepest, depth)
        elif sign == ")" and opened:
            before, name, start = opened.pop()
            body = code[start:at]
            is_more = bool(name) and _LOOKS_THROUGH.search(body) is not None
            is_more |= name in ("filter", "map") and _MAKES_LIST.search(body) is not None
            deepest = max(deepest, depth + is_more)
            depth = before
    return deepest


def most_steps(depth: int, variables: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many elements the variables have in their lists, and how many steps follow."""
    elements = _elements(variables) if depth else 0
    return elements, elements**depth if depth else 0


def _elements(value: Any) -> int:
    match value:
        case Mapping():
            return len(value) + sum(map(_elements, value.values()))
        case list() | tuple():
            return len(value) + sum(map(_elements, value))
        case _:
            return 0
