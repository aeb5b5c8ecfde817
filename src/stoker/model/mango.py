"""Which documents fit a selector, as CouchDB's `_find` decides it, for its commonest operators.

A selector's fields must all fit; `a.b` and `{a: {b: …}}` are the field `b` in the object `a`. A
field that is missing fits nothing but `$exists: false`. Values of different kinds are never equal
and in no order.
"""

from collections.abc import Callable, Mapping
from typing import Any

from stoker.model.patterns import compiled

MISSING = object()


def field_of(document: Any, path: str) -> Any:
    """Return what the document has at a path such as `run.number`, or `MISSING`."""
    if isinstance(document, Mapping) and path in document:
        return document[path]
    found = document
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return MISSING
        found = found[name]
    return found


def fits(selector: Mapping[str, Any], document: Any) -> bool:
    """Whether the document fits all of the selector. ValueError for an operator that is not known."""
    return all(_fits_one(name, wanted, document) for name, wanted in selector.items())


def _fits_one(name: str, wanted: Any, document: Any) -> bool:
    if name in _COMBINATIONS:
        return _COMBINATIONS[name](wanted, document)
    if name in _TESTS:
        return _test(name, wanted, document)
    if name.startswith("$"):
        raise ValueError(f"a selector has no `{name}`")
    return _fits_value(wanted, field_of(document, name))


def _fits_value(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        return fits(wanted, found)
    return _test("$eq", wanted, found)


def _test(name: str, wanted: Any, found: Any) -> bool:
    if name == "$exists":
        return (found is not MISSING) == bool(wanted)
    return found is not MISSING and _TESTS[name](found, wanted)


def _is_equal(found: Any, wanted: Any) -> bool:
    return _kind(found) == _kind(wanted) and bool(found == wanted)


def _is_one_of(found: Any, wanted: Any) -> bool:
    return any(_is_equal(found, one) for one in wanted)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def test(found: Any, wanted: Any) -> bool:
        return _kind(found) == _kind(wanted) in ("number", "text") and compare(found, wanted)

    return test


def _matches(found: Any, wanted: Any) -> bool:
    return isinstance(found, str) and compiled(wanted).finds(found)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    return type(value).__name__


_COMBINATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "$and": lambda parts, document: all(fits(part, document) for part in parts),
    "$or": lambda parts, document: any(fits(part, document) for part in parts),
    "$nor": lambda parts, document: not any(fits(part, document) for part in parts),
    "$not": lambda part, document: not _fits_value(part, document),
}
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _is_equal,
    "$ne": lambda found, wanted: not _is_equal(found, wanted),
    "$gt": _ordered(lambda found, wanted: bool(found > wanted)),
    "$gte": _ordered(lambda found, wanted: bool(found >= wanted)),
    "$lt": _ordered(lambda found, wanted: bool(found < wanted)),
    "$lte": _ordered(lambda found, wanted: bool(found <= wanted)),
    "$in": _is_one_of,
    "$nin": lambda found, wanted: not _is_one_of(found, wanted),
    "$regex": _matches,
    "$exists": lambda found, _: found is not MISSING,
}
OPERATORS = (*_COMBINATIONS, *_TESTS)
