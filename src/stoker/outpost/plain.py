"""Values of the model as plain JSON, and back, for what comes from another host.

Nothing is believed: what does not have the shape of its annotation, or is larger than anything that
Stoker itself would write, is a ValueError. Names of files may be any bytes, so that texts may hold
lone surrogates; a library that validates refuses these.
"""

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, cast

_T = TypeVar("_T")
_UNIONS = (typing.Union, types.UnionType)
MOST_INT = (1 << 63) - 1
DEPTH = 32


def to_plain(value: Any) -> Any:
    """Return what JSON can hold: dataclasses as objects without their defaults, bytes in hexadecimal."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if is_dataclass(value) and not isinstance(value, type):
        return {
            one.name: to_plain(getattr(value, one.name))
            for one in fields(value)
            if getattr(value, one.name) != _default(one)
        }
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [to_plain(one) for one in value]
    return value


def from_plain(shape: type[_T], value: Any) -> _T:
    """Return the value in that shape; ValueError, which says where, if it does not have it."""
    return cast("_T", _revive(shape, value, shape.__name__, 0))


def _default(one: Any) -> Any:
    if one.default_factory is not MISSING:
        return one.default_factory()
    return one.default


def _revive(shape: Any, value: Any, where: str, depth: int) -> Any:
    shape = getattr(shape, "__supertype__", shape)  # of a new type
    if depth > DEPTH:
        raise ValueError(f"{where} is nested too deeply")
    if shape is Any:
        return _any(value, where, depth)
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in _UNIONS:
        return _one_of(arguments, value, where, depth)
    if origin is tuple:
        _check(value, list, where)
        return tuple(_revive(arguments[0], one, f"{where}[]", depth + 1) for one in value)
    if origin is Mapping:
        _check(value, dict, where)
        return {
            key: _revive(arguments[1], one, f"{where}.{key[:40]}", depth + 1)
            for key, one in value.items()
        }
    if isinstance(shape, type) and issubclass(shape, tuple):
        return _named_tuple(shape, value, where, depth)
    is_object = is_dataclass(shape)
    return _dataclass(shape, value, where, depth) if is_object else _scalar(shape, value, where)


def _one_of(shapes: tuple[Any, ...], value: Any, where: str, depth: int) -> Any:
    if value is None and types.NoneType in shapes:
        return None
    (shape,) = (one for one in shapes if one is not types.NoneType)
    return _revive(shape, value, where, depth)


def _dataclass(shape: Any, value: Any, where: str, depth: int) -> Any:
    """What it does not know is left out: it may come from a later release."""
    _check(value, dict, where)
    hints = _hints(shape)
    given = {}
    for one in fields(shape):
        if one.name in value:
            at = f"{where}.{one.name}"
            given[one.name] = _revive(hints[one.name], value[one.name], at, depth + 1)
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ValueError(f"{where} has no `{one.name}`")
    return shape(**given)


def _named_tuple(shape: Any, value: Any, where: str, depth: int) -> Any:
    """Return a named tuple; fields that it does not know are left out, as with objects."""
    _check(value, list, where)
    hints = _hints(shape)
    given = [
        _revive(hints[name], one, f"{where}.{name}", depth + 1)
        for name, one in zip(shape._fields, value, strict=False)
    ]
    missing = [one for one in shape._fields[len(given) :] if one not in shape._field_defaults]
    if missing:
        raise ValueError(f"{where} has no `{missing[0]}`")
    return shape(*given)


def _scalar(shape: Any, value: Any, where: str) -> Any:
    if issubclass(shape, Enum):
        try:
            return shape(value)
        except ValueError:
            raise ValueError(f"{where} is none of its words") from None
    if shape is bytes:
        _check(value, str, where)
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise ValueError(f"{where} is not hexadecimal") from None
    if shape is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{where} is no number")
        return float(value)
    _check(value, shape, where)
    if shape is int and not -MOST_INT <= value <= MOST_INT:
        raise ValueError(f"{where} is too large")
    return value


def _any(value: Any, where: str, depth: int) -> Any:
    if depth > DEPTH:
        raise ValueError(f"{where} is nested too deeply")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        _any(one, where, depth + 1)
    return value


def _check(value: Any, kind: type, where: str) -> None:
    is_flag = isinstance(value, bool) and kind is not bool
    if is_flag or not isinstance(value, kind):
        raise ValueError(f"{where} is not {_WORDS.get(kind, kind.__name__)}")


_WORDS = {list: "a list", dict: "an object", str: "a text", int: "a whole number", bool: "a flag"}


@functools.cache
def _hints(shape: Any) -> dict[str, Any]:
    return typing.get_type_hints(shape)
