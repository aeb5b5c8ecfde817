"""The selection of a page: the same words in its address, in its forms and on the command line."""

import shlex
from collections.abc import Iterable, Iterator, Mapping

from starlette.requests import Request

from stoker.errors import UserError
from stoker.model.selection import Selection

_TEXT = {"type": "string", "minLength": 1, "maxLength": 10_000}
_LIST = {"type": "array", "items": _TEXT, "maxItems": 1_000}
QUERY: Mapping[str, Mapping[str, object]] = {
    "key": _LIST,
    "pipeline": _TEXT,
    "step": _LIST,
    "state": _LIST,
    "from_key": _TEXT,
    "to_key": _TEXT,
    "match": _TEXT,
    "where": _TEXT,
    "by": _TEXT,
    "cause": _TEXT,
}
_SEVERAL = {"key": "keys", "step": "steps", "state": "states"}
_LONGEST = 10_000


def selection_of(pairs: Iterable[tuple[str, str]]) -> Selection:
    """Return what the parts of an address or a form select; empty ones select nothing by themselves.

    UserError for a text that no key and no database has.
    """
    single: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in QUERY or value == "":
            continue
        if len(value) > _LONGEST or "\0" in value:
            raise UserError(f"`{name}` is not a text that can be searched for")
        if name in _SEVERAL:
            several.setdefault(_SEVERAL[name], []).append(value)
        else:
            single[name] = value
    lists = {name: tuple(values) for name, values in several.items()}
    return Selection(**single, **lists)  # type: ignore[arg-type]  # texts and lists by their names


def asked(request: Request) -> Selection:
    """Return what the address selects."""
    return selection_of(request.query_params.multi_items())


def parts_of(selection: Selection) -> Iterator[tuple[str, str]]:
    """Yield the selection as parts of an address or a form."""
    for name in QUERY:
        value = getattr(selection, _SEVERAL.get(name, name))
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                yield name, one


def query_of(selection: Selection, **more: str | None) -> dict[str, object]:
    """Return the parts as `link` takes them, with others behind them."""
    found: dict[str, list[str]] = {}
    for name, value in parts_of(selection):
        found.setdefault(name, []).append(value)
    return {**found, **more}


def command_of(verb: str, selection: Selection, **more: str | None) -> str:
    """Return the same on the command line."""
    words = ["stoker", verb]
    options: list[tuple[str, str]] = []
    keys = []
    for name, value in parts_of(selection):
        if name == "key":
            keys.append(value)
        else:
            options.append((f"--{name.replace('_', '-')}", value))
    options += [(f"--{name}", value) for name, value in more.items() if value]
    for option, value in options:
        words += [option, value] if not value.startswith("-") else [f"{option}={value}"]
    if any(key.startswith("-") for key in keys):
        keys.insert(0, "--")
    return shlex.join([*words, *keys])
