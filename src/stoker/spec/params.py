"""Parameters of items: from texts and JSON to checked values."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from stoker.errors import UserError
from stoker.model.bounds import INTEGER
from stoker.model.patterns import compiled
from stoker.model.pipeline import ParamType
from stoker.model.strict_json import read_json
from stoker.spec.locations import absolute
from stoker.spec.problems import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stoker.model.pipeline import Param

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DIGITS = 4_000  # of which Python makes a number at once
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def check_params(
    declared: tuple[Param, ...],
    given: Mapping[str, object],
    *,
    where: str,
    folder: str | None = None,
) -> dict[str, Any]:
    """Return the values of all declared parameters, converted and checked, defaults filled in.

    `given` holds texts (a command line, a cell of a table) or typed values (JSON). `where` names
    what they belong to, for the message. UserError names every mistake at once. With `folder`, paths
    (defaults too) are made absolute against it: a command runs in its scratch, not there.
    """
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    names = [param.name for param in declared]
    for name in given:
        if name not in names:
            hint = suggest(str(name), names)
            mistakes.append(f"there is no parameter `{name}`" + (f"; {hint}" if hint else ""))
    for param in declared:
        value = given.get(param.name)
        if value is None:
            if param.required:
                mistakes.append(f"parameter `{param.name}` is required")
            values[param.name] = param.default
        else:
            try:
                values[param.name] = check_value(param, value)
            except ValueError as error:
                mistakes.append(f"parameter `{param.name}` {error}")
                continue
        if folder is not None and ParamType.PATH in (param.type, param.items):
            values[param.name] = _place_paths(values[param.name], folder)
    if mistakes:
        raise UserError(f"{where}: {'; '.join(mistakes)}")
    return values


def _place_paths(value: Any, folder: str) -> Any:
    if isinstance(value, list):
        return [_place_paths(element, folder) for element in value]
    return absolute(value, folder) if isinstance(value, str) else value


def check_value(param: Param, value: object) -> Any:
    """Return one value of `param`, converted and checked.

    ValueError has the end of a sentence that begins with the parameter's name.
    """
    if param.type is ParamType.LIST:
        return [_check_one(param, param.items, element) for element in _as_elements(value)]
    return _check_one(param, param.type, value)


def _check_one(param: Param, kind: ParamType, value: object) -> Any:
    made = _CONVERSIONS[kind](value)
    if isinstance(made, str):
        _check_text(param, kind, made)
    elif not isinstance(made, bool):
        _check_range(param, made)
    return made


def _check_text(param: Param, kind: ParamType, text: str) -> None:
    if "\0" in text:
        raise ValueError("has a NUL byte, which no program can be given")
    if param.pattern is not None and not compiled(param.pattern).fits(text):
        raise ValueError(f"is `{text}`, which `{param.pattern}` does not match as a whole")
    is_choice = kind is ParamType.CHOICE or param.choices
    if is_choice and text not in param.choices:
        raise ValueError(f"is `{text}`, which is none of its choices; {_choices(param, text)}")


def _choices(param: Param, text: str) -> str:
    return suggest(text, param.choices) or f"there are {len(param.choices)} choices"


def _check_range(param: Param, number: float) -> None:
    if param.minimum is not None and number < param.minimum:
        raise ValueError(f"is {number:g} and must be at least {param.minimum:g}")
    if param.maximum is not None and number > param.maximum:
        raise ValueError(f"is {number:g} and must be at most {param.maximum:g}")


def _as_elements(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if text.startswith("["):
        try:
            made = read_json(text)
        except (ValueError, RecursionError):
            made = None
        if isinstance(made, list):
            return made
    return [part.strip() for part in text.split(",")] if text else []


def _to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    raise ValueError(f"must be a text, not {json.dumps(value, default=str)}")


def _to_integer(value: object) -> int:
    made: object = value
    if isinstance(value, float) and value.is_integer():
        made = int(value)
    elif isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        made = int(value) if len(value) < _DIGITS else math.inf
    if INTEGER.holds(made):
        return made  # type: ignore[return-value]  # `INTEGER` holds whole numbers only
    if made == math.inf or (isinstance(made, int) and not isinstance(made, bool)):
        raise ValueError(
            f"must be between {INTEGER.least} and {INTEGER.most}, as 64 bits hold no more; "
            "a longer number is a `string`"
        )
    raise ValueError(f"must be a whole number, not {json.dumps(value, default=str)}")


def _to_number(value: object) -> float:
    made: float | None = None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            made = float(value)
        except (ValueError, OverflowError):
            made = None
    if made is None or not math.isfinite(made) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"must be a number, not {json.dumps(value, default=str)}")
    return made


def _to_boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, int | str) and word in _TRUTH:
        return _TRUTH[word]
    raise ValueError(f"must be true or false, not {json.dumps(value, default=str)}")


def _to_path(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"must be a path, not {json.dumps(value, default=str)}")


_CONVERSIONS: dict[ParamType, Callable[[object], Any]] = {
    ParamType.STRING: _to_text,
    ParamType.INTEGER: _to_integer,
    ParamType.NUMBER: _to_number,
    ParamType.BOOLEAN: _to_boolean,
    ParamType.PATH: _to_path,
    ParamType.CHOICE: _to_text,
}
