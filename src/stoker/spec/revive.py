"""From JSON back to the dataclasses of the model, by their annotations.

For what Stoker itself wrote, which was checked then. A library that checks again takes longer to
load than a reading command may take.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

_UNIONS = (typing.Union, types.UnionType)


def revive(shape: Any, value: Any) -> Any:
    """Return `value`, as JSON has it, in the shape of an annotation; ValueError if it does not fit.

    What a dataclass does not have is left out: it may come from another release.
    """
    if shape is Any or value is None:
        return value
    if isinstance(shape, type) and is_dataclass(shape):
        return _dataclass(shape, value)
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in _UNIONS:
        return revive(_fitting(arguments, value), value)
    if origin is tuple:
        return tuple(revive(arguments[0], one) for one in _as(list, value))
    if origin is Mapping:
        name, inner = arguments
        return {name(key): revive(inner, one) for key, one in _as(dict, value).items()}
    return _plain(shape, value)


def _plain(shape: Any, value: Any) -> Any:
    if issubclass(shape, Enum):
        return shape(value)
    return shape(_as(_in_json(shape), value))


def _dataclass(shape: type, value: Any) -> Any:
    hints = _hints(shape)
    try:
        given = _as(dict, value).items()
        return shape(**{name: revive(hints[name], one) for name, one in given if name in hints})
    except TypeError as error:
        raise ValueError(f"this is no {shape.__name__}: {error}") from error


def _fitting(shapes: tuple[Any, ...], value: Any) -> Any:
    """Return the one of several shapes that a value can have."""
    for shape in shapes:
        if isinstance(shape, type) and is_dataclass(shape):
            if isinstance(value, dict) and _needed(shape) <= value.keys():
                return shape
        elif isinstance(value, _in_json(shape)):
            return shape
    raise ValueError(f"{value!r} is none of what it may be")


def _in_json(shape: Any) -> Any:
    """Return what JSON has in place of a plain type or a tuple."""
    if typing.get_origin(shape) is tuple:
        return list
    return (int, float) if shape is float else shape


@functools.cache
def _hints(shape: Any) -> dict[str, Any]:
    return typing.get_type_hints(shape)


@functools.cache
def _needed(shape: Any) -> frozenset[str]:
    return frozenset(
        one.name
        for one in fields(shape)
        if one.default is MISSING and one.default_factory is MISSING
    )


def _as(kind: Any, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} has the wrong type")  # noqa: TRY004 - the value is what is wrong
    return value
