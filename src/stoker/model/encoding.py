"""The JSON of Stoker's values, the same for the command line, the web service and Python.

Dataclasses become objects of their fields, times are RFC 3339 in UTC to the microsecond, and bytes of
a name that are not UTF-8 stay as escaped surrogates.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


class Answer:
    """A value that a verb returns to programs: a dataclass whose fields are the keys of its JSON."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        """Return what the command of the verb prints with `--json`, as plain values."""
        made: dict[str, Any] = as_plain(self)
        return made


def as_plain(value: Any) -> Any:
    """Return dictionaries, lists, texts, numbers and None in place of dataclasses and times.

    A number that JSON does not have, such as NaN, becomes None.
    """
    if isinstance(value, datetime) or dataclasses.is_dataclass(value):
        value = _shallow(value)
    if isinstance(value, Mapping):
        return {key: as_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def as_text(value: Any) -> str:
    """Return the value as one line of compact JSON; null for a number like NaN."""
    try:
        return _encode(value)
    except ValueError:  # a number that JSON does not have
        return _encode(as_plain(value))


def rfc3339(at: datetime) -> str:
    """Return the time in UTC, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _shallow(value: Any) -> Any:
    """Return what JSON can hold of one value; the values in it stay as they are."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _names(type(value))}
    raise TypeError(f"`{type(value).__name__}` has no JSON")


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


_encode = json.JSONEncoder(  # made once, not for each line
    separators=(",", ":"), default=_shallow, allow_nan=False
).encode
