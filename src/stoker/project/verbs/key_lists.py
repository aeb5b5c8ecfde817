"""Selections by a list: keys or paths, one a line, for the verbs that change tasks."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from stoker.errors import UserError
from stoker.intake import decoding
from stoker.model.item import key_from_name
from stoker.model.selection import Selection
from stoker.project.verbs.input_file import open_input
from stoker.store.reports import named_items
from stoker.work.error_folder import REASON, RECORD

if TYPE_CHECKING:
    from stoker.store.unit import Store

AT_ONCE = 500  # keys in a selection
SHOWN = 20
_T = TypeVar("_T")


@dataclass(slots=True)
class Listed:
    """What a list means: the keys by pipeline, and what no item was found for."""

    keys: dict[str, dict[str, None]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    unknown_count: int = 0

    def selections(self, chosen: Selection) -> Iterator[Selection]:
        """Yield `chosen` narrowed to the listed items, some at a time."""
        for pipeline, keys in self.keys.items():
            for some in _batches(keys, AT_ONCE):
                yield replace(chosen, pipeline=pipeline, literal=some)


def read_list(store: "Store", chosen: Selection, *, name: str, nul: bool) -> Listed:
    """Return the items that the list called `name` (`-`: standard input) names.

    Each line is a key, or the path of an item or of an error folder; paths are relative to here. A key
    comes first. UserError for one that is an item of several pipelines, before anything is done.
    """
    if chosen.keys:
        raise UserError("name keys, or a list with `--from`, not both")
    found = Listed()
    read = decoding.nul_separated if nul else decoding.numbered
    with open_input(name, missing=f"there is no list `{name}`") as file:
        for some in _batches(read(file, name=name), named_items.NAMES):
            _find(store, some, found, name=name, pipeline=chosen.pipeline)
    return found


def _find(
    store: "Store",
    lines: tuple[tuple[int, str], ...],
    found: Listed,
    *,
    name: str,
    pipeline: str | None,
) -> None:
    paths = {key_from_name(text): _paths(text) for _, text in lines}
    items = named_items.find(store, list(paths), paths, pipeline=pipeline)
    for number, text in lines:
        key = key_from_name(text)
        named = items.get(key, frozenset())
        if len(named) > 1:
            several = " and of ".join(f"`{one}`" for one, _ in sorted(named))
            raise UserError(
                f"`{name}`, line {number}: `{key}` is an item of {several}; say which with "
                "`--pipeline`"
            )
        for of, own_key in named:
            found.keys.setdefault(of, {})[own_key] = None
        if not named:
            found.unknown_count += 1
            if len(found.unknown) < SHOWN:
                found.unknown.append(f"`{name}`, line {number}: there is no item `{key}`")


def _paths(text: str) -> tuple[str, ...]:
    """Return the absolute paths that a line may mean; of the reason in an error folder, the folder."""
    if "\0" in text:
        return ()
    path = os.path.abspath(text)
    if os.path.basename(path) in (REASON, RECORD):
        path = os.path.dirname(path)
    return tuple(dict.fromkeys((path, os.path.realpath(path))))


def _batches(several: Iterable[_T], most: int) -> Iterator[tuple[_T, ...]]:
    left = iter(several)
    while some := tuple(islice(left, most)):
        yield some
