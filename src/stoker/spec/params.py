"""Parameters of items: from texts and JSON to checked values."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

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


class BadValue(ValueError):
    """A value that breaks a rule of its parameter.

    The text is the end of a sentence that begins with the parameter's name. `rule` is the key of
    `stoker.toml` that it breaks, `limit` what that key says.
    """

    def __init__(self, message: str, *, rule: str, limit: object = None) -> None:
        super().__init__(message)
        self.rule = rule
        self.limit = limit


class Places(NamedTuple):
    """The folders that paths in parameters are relative to: where the values and defaults are written."""

    given: str
    defaults: str


_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DIGITS = 4_000  # of which Python makes a number at once
_SHOWN = 200  # characters of a value in a message
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def check_params(
    declared: tuple[Param, ...],
    given: Mapping[str, object],
    *,
    where: str,
    places: Places | None = None,
) -> dict[str, Any]:
    """Return the values of all declared parameters, converted and checked, defaults filled in.

    `given` holds texts (a command line, a cell of a table) or typed values (JSON). `where` names
    what they belong to, for the message. UserError names every mistake at once. With `places`, paths
    are absolute, and it is a mistake if there is no file or folder at one of them.
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
        if places is not None and is_path(param):
            folder = places.defaults if value is None else places.given
            placed = place_paths(values[param.name], folder)
            what = "is by default" if value is None else "is"
            mistakes += [
                f"parameter `{param.name}` {what} `{_cut(path)}`, where there is no file or folder"
                for path in (placed if isinstance(placed, list) else [placed])
                if path is not None and not os.path.exists(path)
            ]
            values[param.name] = placed
    if mistakes:
        raise UserError(f"{where}: {'; '.join(mistakes)}")
    return values


def is_path(param: Param) -> bool:
    """Whether the values of a parameter are paths, or lists of them."""
    return ParamType.PATH in (param.type, param.items)


def place_given(
    declared: tuple[Param, ...], given: Mapping[str, object], folder: str
) -> dict[str, object]:
    """Return `given` with its paths made absolute against `folder`; bad values stay as they are."""
    placed = dict(given)
    for param in declared:
        value = given.get(param.name)
        if value is not None and is_path(param):
            with contextlib.suppress(BadValue):  # `check_params` reports it
                placed[param.name] = place_paths(check_value(param, value), folder)
    return placed


def place_paths(value: Any, folder: str) -> Any:
    """Return a path, or a list of them, made absolute against `folder`; anything else as it is."""
    if isinstance(value, list):
        return [place_paths(element, folder) for element in value]
    return absolute(value, folder) if isinstance(value, str) else value


def check_value(param: Param, value: object) -> Any:
    """Return one value of `param`, converted and checked.

    BadValue has the end of a sentence that begins with the parameter's name.
    """
    if param.type is not ParamType.LIST:
        return check_one(param, param.type, value)
    elements = _as_elements(value)
    check_count(param, len(elements))
    return [check_one(param, param.items, element) for element in elements]


def check_one(param: Param, kind: ParamType, value: object) -> Any:
    """Return a value of `param`, or one element of its list, as `check_value` does."""
    made = _CONVERSIONS[kind](value)
    check_rules(param, kind, made)
    return made


def check_rules(param: Param, kind: ParamType, made: str | float) -> None:
    """BadValue unless a converted value, or an element of a list, keeps the rules of `param`."""
    if isinstance(made, str):
        _check_text(param, kind, made)
    elif not isinstance(made, bool):
        _check_range(param, made)


def check_count(param: Param, n: int) -> None:
    """BadValue unless a list of `param` may have that many elements."""
    if param.min_items is not None and n < param.min_items:
        message = f"has {n:,} elements and needs at least {param.min_items:,}"
        raise BadValue(message, rule="min_items", limit=param.min_items)
    if param.max_items is not None and n > param.max_items:
        message = f"has {n:,} elements and may have {param.max_items:,}"
        raise BadValue(message, rule="max_items", limit=param.max_items)


def _check_text(param: Param, kind: ParamType, text: str) -> None:
    if "\0" in text:
        message = "has a NUL byte, which no program can be given"
        raise BadValue(message, rule="type", limit=kind.value)
    if param.max_length is not None and len(text) > param.max_length:
        message = f"has {len(text):,} characters and may have {param.max_length:,}"
        raise BadValue(message, rule="max_length", limit=param.max_length)
    if param.pattern is not None and not compiled(param.pattern).fits(text):
        message = f"is `{_cut(text)}`, which `{param.pattern}` does not match as a whole"
        raise BadValue(message, rule="pattern", limit=param.pattern)
    is_choice = kind is ParamType.CHOICE or param.choices
    if is_choice and text not in param.choices:
        message = f"is `{_cut(text)}`, which is none of its choices; {_choices(param, text)}"
        raise BadValue(message, rule="choices", limit=list(param.choices))


def _choices(param: Param, text: str) -> str:
    return suggest(text, param.choices) or f"there are {len(param.choices)} choices"


def _check_range(param: Param, number: float) -> None:
    if param.minimum is not None and number < param.minimum:
        message = f"is {number:g} and must be at least {param.minimum:g}"
        raise BadValue(message, rule="minimum", limit=_plain(param.minimum))
    if param.maximum is not None and number > param.maximum:
        message = f"is {number:g} and must be at most {param.maximum:g}"
        raise BadValue(message, rule="maximum", limit=_plain(param.maximum))


def _plain(bound: float) -> float:
    """Return a whole number as the file has it."""
    return int(bound) if float(bound).is_integer() else bound


def _as_elements(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if text.startswith("["):
        try:
            made = read_json(text)
        except ValueError:
            made = None
        if isinstance(made, list):
            return made
    return [part.strip() for part in text.split(",")] if text else []


def _said(value: object) -> str:
    return _cut(json.dumps(value, default=str))


def _cut(text: str) -> str:
    """Return a value as a message has it: what comes from outside may be megabytes long."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _wrong_type(message: str, kind: str) -> BadValue:
    return BadValue(message, rule="type", limit=kind)


def _to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    raise _wrong_type(f"must be a text, not {_said(value)}", "string")


def _to_integer(value: object) -> int:
    made: object = value
    if isinstance(value, float) and value.is_integer():
        made = int(value)
    elif isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        made = int(value) if len(value) < _DIGITS else math.inf
    if INTEGER.holds(made):
        return made  # type: ignore[return-value]  # `INTEGER` holds whole numbers only
    if made == math.inf or (isinstance(made, int) and not isinstance(made, bool)):
        raise BadValue(
            f"must be between {INTEGER.least} and {INTEGER.most}, as 64 bits hold no more; "
            "a longer number is a `string`",
            rule="type",
            limit="integer",
        )
    raise _wrong_type(f"must be a whole number, not {_said(value)}", "integer")


def _to_number(value: object) -> float:
    made: float | None = None
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            made = float(value)
        except (ValueError, OverflowError):
            made = None
    if made is None or not math.isfinite(made) or (isinstance(value, str) and "_" in value):
        raise _wrong_type(f"must be a number, not {_said(value)}", "number")
    return made


def _to_boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, int | str) and word in _TRUTH:
        return _TRUTH[word]
    raise _wrong_type(f"must be true or false, not {_said(value)}", "boolean")


def _to_path(value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise _wrong_type(f"must be a path, not {_said(value)}", "path")


_CONVERSIONS: dict[ParamType, Callable[[object], Any]] = {
    ParamType.STRING: _to_text,
    ParamType.INTEGER: _to_integer,
    ParamType.NUMBER: _to_number,
    ParamType.BOOLEAN: _to_boolean,
    ParamType.PATH: _to_path,
    ParamType.CHOICE: _to_text,
}
