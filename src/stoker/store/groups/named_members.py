"""The members of a group against those that a list names."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from stoker.model.item import key_from_name
from stoker.store import tables

if TYPE_CHECKING:
    from stoker.store.unit import Store

_M, _I = tables.member, tables.item
_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMembers:
    """How many members the list at `path` does not name, and how many that it names are not there."""

    path: str
    strangers_n: int
    missing_n: int
    example: str


def compare(store: "Store", group_id: int, names: Sequence[str], *, path: str) -> NamedMembers:
    """Return how the members of the group compare with these names.

    A name is a member's key, the name of its file or folder, or that of one of its parts.
    """
    left = set(names)
    wanted = frozenset(left)
    strangers: list[str] = []
    n = 0
    columns = (_I.c.key, _I.c.path, _I.c.meta)
    query = select(*columns).join(_M, _M.c.item_id == _I.c.id).where(_M.c.group_id == group_id)
    with store.reading() as unit:
        for row in unit.execute(query.order_by(_I.c.key)):
            known = wanted.intersection(_names_of(row))
            left -= known
            if not known:
                n += 1
                strangers += [row.key] if len(strangers) < _EXAMPLES else []
    few = strangers or sorted(left)[:_EXAMPLES]
    more = (n if strangers else len(left)) - len(few)
    example = ", ".join(f"`{one}`" for one in few) + (f" and {more:,} more" if more else "")
    return NamedMembers(path=path, strangers_n=n, missing_n=len(left), example=example)


def _names_of(row: Any) -> Iterator[str]:
    yield row.key
    yield row.key.rpartition("/")[2]
    if row.path is not None:
        path = os.fsdecode(row.path)
        yield key_from_name(path)
        yield key_from_name(path.rpartition("/")[2])
    if row.meta != "{}":
        for value in json.loads(row.meta).values():  # the parts of an item are there
            if isinstance(value, str) and value.startswith("/"):
                yield key_from_name(value)
                yield key_from_name(value.rpartition("/")[2])
