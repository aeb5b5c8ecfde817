"""Inputs of a request as values of parameters: JSON types as they are, and every mistake at once.

The command line and tables bring texts, which `spec.params` converts. A program that sends JSON knows
the types: for it, `"5"` is not a number, and `false` is not 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stoker.model.bounds import INTEGER
from stoker.model.pipeline import ParamType
from stoker.spec.params import BadValue, check_count, check_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from stoker.model.pipeline import Param

Fault = tuple[
    str, object, BadValue
]  # the input, or the place in its list; what was given; the fault


def strict_value(
    param: Param, value: object, faults: list[Fault], *, file: Callable[[str, object], Any]
) -> Any:
    """Return the value of `param`, or of its list's elements; `faults` gets every mistake.

    What names a file goes to `file`, with the name of the input; it returns the file, or raises
    BadValue.
    """
    if param.type is not ParamType.LIST:
        return _guarded(param, param.type, param.name, value, faults, file)
    if not isinstance(value, list):
        kind = _kind(value)
        bad = BadValue(f"must be a JSON array, not {kind}", rule="type", limit="array")
        faults.append((param.name, value, bad))
        return []
    try:
        check_count(param, len(value))
    except BadValue as bad:
        faults.append((param.name, len(value), bad))
        return []
    places = (f"{param.name}[{index}]" for index in range(len(value)))
    return [
        _guarded(param, param.items, place, element, faults, file)
        for place, element in zip(places, value, strict=True)
    ]


def _guarded(
    param: Param,
    kind: ParamType,
    place: str,
    value: object,
    faults: list[Fault],
    file: Callable[[str, object], Any],
) -> Any:
    try:
        if kind is ParamType.PATH:
            return file(place, value)
        made = _of_type(kind, value)
        check_rules(param, kind, made)
    except BadValue as bad:
        faults.append((place, value, bad))
        return None
    return made


def _of_type(kind: ParamType, value: object) -> Any:
    """Return the value in the type that the parameter has; BadValue for any other JSON type."""
    name = _JSON_TYPES.get(kind, "string")
    if not _is_of(kind, value):
        raise BadValue(f"must be a JSON {name}, not {_kind(value)}", rule="type", limit=name)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            message = "has half of a surrogate pair, which is not text"
            raise BadValue(message, rule="type", limit=name) from None
        return value
    if kind is ParamType.INTEGER:
        if not INTEGER.holds(int(value)):  # type: ignore[call-overload]  # it is a number
            message = f"must be between {INTEGER.least} and {INTEGER.most}, as 64 bits hold no more"
            raise BadValue(message, rule="type", limit=name)
        return int(value)  # type: ignore[call-overload]  # as above
    if kind is ParamType.NUMBER:
        try:
            number = float(value)  # type: ignore[arg-type]  # as above
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise BadValue("is too large for a number", rule="type", limit=name)
        return number
    return value


def _is_of(kind: ParamType, value: object) -> bool:
    if isinstance(value, bool) or kind is ParamType.BOOLEAN:
        return isinstance(value, bool) and kind is ParamType.BOOLEAN
    if kind is ParamType.INTEGER:  # 5.0 is an integer in JSON Schema
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind is ParamType.NUMBER:
        return isinstance(value, int | float)
    return isinstance(value, str)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return _KINDS.get(type(value), "null")


_KINDS: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
_JSON_TYPES = {
    ParamType.BOOLEAN: "boolean",
    ParamType.INTEGER: "integer",
    ParamType.NUMBER: "number",
}
