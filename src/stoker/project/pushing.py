"""Registering what a person names: paths, records, lists and tables."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stoker.errors import NotFound, UserError
from stoker.intake import decoding
from stoker.intake.listed_names import listed_items
from stoker.intake.pushed import Listing
from stoker.intake.table import table_items
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.push_request import PushRequest
from stoker.store.arrivals.counts import Registered
from stoker.store.arrivals.register import register

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store


def push(
    store: "Store",
    pipeline: Pipeline,
    request: PushRequest,
    actor: "Actor",
    *,
    project_folder: str,
) -> Registered:
    """Every item that is asked for is registered, or counted as known, in conflict or refused.

    Durable when it returns; cut short, the same call does the rest.
    """
    done = Registered()
    listing = Listing(
        pipeline,
        project_folder=project_folder,
        refuse=done.refuse,
        given=request.params,
        priority=pipeline.priority if request.priority is None else request.priority,
    )
    items = _items(listing, request)
    return register(store, pipeline.name, items, actor, done=done, dry_run=request.dry_run)


def _of_table(listing: Listing, table: str) -> Iterator[NewItem]:
    folder = os.getcwd() if table == "-" else os.path.dirname(os.path.abspath(table))
    with _open(table) as file:
        yield from table_items(listing, file, name=table, folder=folder)


def _items(listing: Listing, request: PushRequest) -> Iterator[NewItem]:
    if request.paths:
        yield from listing.names(request.paths)
    elif request.from_file is None and request.table is None:
        if listing.pipeline.items is not ItemKind.RECORDS:
            raise UserError(
                f"nothing to push to `{listing.pipeline.name}`: name paths after it, or `--from` "
                "a list of them, or `--table` a table"
            )
        yield from listing.names([""])
    if request.from_file is not None:
        read = decoding.nul_separated if request.nul else decoding.numbered
        with _open(request.from_file) as file:
            named = read(file, name=request.from_file)
            yield from listed_items(listing, named, name=request.from_file, folder="")
    if request.table is not None:
        yield from _of_table(listing, request.table)


def _open(name: str) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(name).open("rb")
    except FileNotFoundError:
        raise NotFound(f"there is no file `{name}` to read items from") from None
    except OSError as error:
        raise UserError(f"`{name}` cannot be read: {error.strerror}") from None
