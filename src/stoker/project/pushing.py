"""Registering what a person names: paths, records, lists and tables."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stoker.errors import NotFound, UserError
from stoker.intake import decoding
from stoker.intake.listed_names import listed_items
from stoker.intake.pushed import Listing
from stoker.intake.table import table_items
from stoker.model.bounds import PRIORITY
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.store.arrivals.counts import Registered
from stoker.store.arrivals.register import register

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store


def push(
    store: "Store",
    pipeline: Pipeline,
    names: Sequence[str],
    actor: "Actor",
    *,
    project_folder: str,
    from_file: str | None = None,
    nul: bool = False,
    table: str | None = None,
    given: Mapping[str, object] | None = None,
    priority: int | None = None,
    dry_run: bool = False,
) -> Registered:
    """Every named item is registered, or counted as known, in conflict or refused.

    Durable when it returns; cut short, the same call does the rest.
    """
    if priority is not None:
        PRIORITY.check("priority", priority)
    done = Registered()
    listing = Listing(
        pipeline,
        project_folder=project_folder,
        refuse=done.refuse,
        given=given,
        priority=pipeline.priority if priority is None else priority,
    )
    items = _items(listing, names, from_file=from_file, nul=nul, table=table)
    return register(store, pipeline.name, items, actor, done=done, dry_run=dry_run)


def _of_table(listing: Listing, table: str) -> Iterator[NewItem]:
    folder = os.getcwd() if table == "-" else os.path.dirname(os.path.abspath(table))
    with _open(table) as file:
        yield from table_items(listing, file, name=table, folder=folder)


def _items(
    listing: Listing,
    names: Sequence[str],
    *,
    from_file: str | None,
    nul: bool,
    table: str | None,
) -> Iterator[NewItem]:
    if names:
        yield from listing.names(names)
    elif from_file is None and table is None:
        if listing.pipeline.items is not ItemKind.RECORDS:
            raise UserError(
                f"nothing to push to `{listing.pipeline.name}`: name paths after it, or `--from` "
                "a list of them, or `--table` a table"
            )
        yield from listing.names([""])
    if from_file is not None:
        read = decoding.nul_separated if nul else decoding.numbered
        with _open(from_file) as file:
            named = read(file, name=from_file)
            yield from listed_items(listing, named, name=from_file, folder="")
    if table is not None:
        yield from _of_table(listing, table)


def _open(name: str) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise NotFound(f"there is no file `{name}` to read items from") from None
    except OSError as error:
        raise UserError(f"`{name}` cannot be read: {error.strerror}") from None
