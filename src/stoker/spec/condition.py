"""Conditions in CEL, the Common Expression Language: `when` of a step, `--where` of a selection.

The library is slow to load, so that happens with the first condition.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.spec.condition_cost import MOST_STEPS, depth_of, most_steps
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

ROOTS = ("params", "meta", "values", "item", "key")
_BOUND = re.compile(r"\.(?:all|exists|exists_one|filter|map)\(\s*([A-Za-z_]\w*)\s*,", re.ASCII)
_FIELD = re.compile(r"\b(params|values)\.([A-Za-z_]\w*)", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'')


class Condition:
    """A compiled condition; `ValueError` at once if the text is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._program = _cel().compile(_utf8(text))
        except (ValueError, RuntimeError, TypeError) as error:
            raise ValueError(_first_line(str(error))) from None
        self._depth = depth_of(text)

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that the condition looks at, without those bound by `exists` and so on."""
        bound = set(_BOUND.findall(self.text))
        return tuple(name for name in self._program.variables() if name not in bound)

    def holds(
        self,
        *,
        params: Mapping[str, Any],
        meta: Mapping[str, Any],
        values: Mapping[str, Mapping[str, Any]] | None = None,
        key: str = "",
        item: str | None = None,
        **more: Any,
    ) -> bool:
        """Return whether the condition is true for this item; UserError names what it misses.

        `values` has the values of each predecessor by its name; `more` are further variables. Bytes
        that are no UTF-8 come to the condition as replacement characters, in its own text too.
        """
        variables = {
            "params": _utf8(params),
            "meta": _utf8(meta),
            "values": _utf8(values or {}),
            "key": _utf8(key),
            "item": _utf8(item),
            **more,
        }
        self._check_cost(variables, key)
        try:
            result = self._program.execute(variables)
        except KeyError as error:
            raise UserError(self._missing(str(error.args[0]), key)) from None
        except (ValueError, TypeError, RuntimeError, OverflowError, ArithmeticError) as error:
            reason = _first_line(str(error))
            raise UserError(
                f"the condition `{self.text}` cannot be decided for `{key}`: {reason}"
            ) from None
        if not isinstance(result, bool):
            raise UserError(
                f"the condition `{self.text}` gives {result!r} for `{key}`, neither true nor false"
            )
        return result

    def _check_cost(self, variables: Mapping[str, Any], key: str) -> None:
        """UserError if deciding it could take so long that others would wait for it."""
        if not self._depth:
            return
        asked = {name: variables[name] for name in self.names if name in variables}
        elements, steps = most_steps(self._depth, asked)
        if steps > MOST_STEPS:
            raise UserError(
                f"the condition `{self.text}` may take {elements:,}^{self._depth} steps for `{key}`, whose "
                f"lists have {elements:,} elements; {MOST_STEPS:,} are allowed: go through fewer, or through "
                "one list inside another less deeply"
            )

    def _missing(self, name: str, key: str) -> str:
        found = re.search(rf"\b((?:[A-Za-z_]\w*\.)+){re.escape(name)}\b", self.text)
        whole = f"{found[1]}{name}" if found else name
        return (
            f"the condition `{self.text}` looks at `{whole}`, which `{key}` does not have; "
            f"write `has({whole}) && …` if it may be missing"
        )


def _utf8(value: Any) -> Any:
    """Return the value with a replacement character for each surrogate, which CEL cannot have."""
    match value:
        case str():
            return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
        case Mapping():
            return {_utf8(name): _utf8(one) for name, one in value.items()}
        case list() | tuple():
            return [_utf8(one) for one in value]
        case _:
            return value


def find_faults(
    text: str,
    *,
    params: Sequence[str],
    steps: Sequence[str],
    word: str = "when",
    roots: Sequence[str] = ROOTS,
) -> Iterator[tuple[str, str]]:
    """Yield message and hint for each mistake in the condition `word`, `params` being declared."""
    try:
        condition = Condition(text)
    except ValueError as error:
        yield f"`{word}` is not a condition: {error}", ""
        return
    for name in condition.names:
        if name not in roots:
            yield f"`{word}` has no name `{name}`", suggest(name, roots)
    for root, name in dict.fromkeys(_FIELD.findall(_STRING.sub('""', text))):
        known = params if root == "params" else steps
        if root in roots and name not in known:
            what = "parameter" if root == "params" else "other step"
            yield f"`{root}.{name}`: there is no {what} `{name}`", suggest(name, known)


@functools.cache
def _cel() -> ModuleType:
    """Return the library's compiled module.

    Its package as a whole also loads the library's command line, with an editor and a highlighter:
    half a second, where the module alone takes a few milliseconds.
    """
    name = "cel.cel"
    package = importlib.util.find_spec("cel")
    locations = None if package is None else package.submodule_search_locations
    found = importlib.machinery.PathFinder.find_spec(name, locations)
    if name in sys.modules or found is None or found.loader is None:
        return importlib.import_module("cel")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return re.sub(r"^.*ERROR: <input>:\d+:(\d+): ", r"at column \1: ", line)
