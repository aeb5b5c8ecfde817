"""Registering what a person names: paths, records, lists and tables."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stoker.errors import NotFound, UserError
from stoker.intake import texts
from stoker.intake.listing import Listing
from stoker.intake.settle import settled
from stoker.intake.table import table_items
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.store.register import Registered, is_known, register

if TYPE_CHECKING:
    from stoker.store.connect import Store


def push(
    store: "Store",
    pipeline: Pipeline,
    names: Sequence[str],
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
    done = Registered()
    listing = Listing(
        pipeline,
        project_folder=project_folder,
        refuse=done.refuse,
        given=given,
        priority=pipeline.priority if priority is None else priority,
    )
    items = _items(listing, names, from_file=from_file, nul=nul, table=table)
    return register(store, pipeline.name, items, done=done, dry_run=dry_run)


def take_sources(
    store: "Store",
    pipeline: Pipeline,
    *,
    project_folder: str,
    on_wait: Callable[[int, float], None] | None = None,
) -> Registered | None:
    """What lies in the pipeline's folders and tables now is registered; None if it has none.

    A file that was changed lately is waited for until it has settled; one that goes on changing is
    refused, and taken by a later call.
    """
    if not pipeline.sources:
        return None
    done = Registered()
    listing = Listing(
        pipeline,
        project_folder=project_folder,
        refuse=done.refuse,
        priority=pipeline.priority,
    )
    items = _of_sources(store, listing, on_wait)
    return register(store, pipeline.name, items, done=done)


def _of_sources(
    store: "Store", listing: Listing, on_wait: Callable[[int, float], None] | None
) -> Iterator[NewItem]:
    def left(path: str) -> None:
        listing.refuse(f"`{path}` is still being written, or gone; the next run looks again")

    quiet = listing.refusing_to(lambda _message: None)  # what is refused is refused once, later

    def known(path: str) -> bool:
        return any(is_known(store, listing.pipeline.name, item) for item in quiet.names([path]))

    for source in listing.pipeline.sources:
        settle_s = source.settle_s
        if source.folder is not None and not os.path.isdir(source.folder):
            listing.refuse(
                f"source `{source.name}`: there is no folder `{source.folder}`; make it, or put "
                "its path right"
            )
        elif source.folder is not None:
            found = listing.below(source.folder)
            names = settled(found, settle_s=settle_s, is_known=known, on_wait=on_wait, on_left=left)
            yield from listing.names(names)
        elif source.table is not None:
            for table in settled([source.table], settle_s=settle_s, on_wait=on_wait, on_left=left):
                yield from _of_table(listing, table)


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
        with _open(from_file) as file:
            yield from listing.names(texts.nul_separated(file) if nul else texts.lines(file))
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
