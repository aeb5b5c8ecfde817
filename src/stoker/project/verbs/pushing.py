"""Registering what a person names: paths, records, lists and tables."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.intake import decoding
from stoker.intake.admit_found import admit_pushed
from stoker.intake.globs import edited_files
from stoker.intake.listed_names import listed_items
from stoker.intake.pushed import Listing
from stoker.intake.table import table_items
from stoker.model.item import NewItem
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.push_request import PushRequest
from stoker.model.source import TableForm
from stoker.project.verbs.input_file import open_input
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
    if pipeline.items is ItemKind.GROUPS:
        followed = ", ".join(f"`{one.group.pipeline}`" for one in pipeline.sources if one.group)
        raise UserError(
            f"the items of `{pipeline.name}` are groups of items of {followed}: push to that "
            "pipeline; a group becomes an item once it is complete"
        )
    done = Registered(keys=[] if request.keeps_keys else None)
    listing = Listing(
        pipeline,
        project_folder=project_folder,
        refuse=done.refuse,
        given=request.params,
        priority=pipeline.priority if request.priority is None else request.priority,
    )
    items = admit_pushed(store, pipeline, _items(listing, request))
    return register(store, pipeline.name, items, actor, done=done, dry_run=request.dry_run)


def _of_table(listing: Listing, table: str) -> Iterator[NewItem]:
    folder = os.getcwd() if table == "-" else os.path.dirname(os.path.abspath(table))
    with open_input(table, missing=f"there is no file `{table}` to read items from") as file:
        form = _form_of(listing.pipeline, table)
        yield from table_items(listing, file, name=table, folder=folder, form=form)


def _form_of(pipeline: Pipeline, table: str) -> TableForm:
    """Return how the table is written: as the source says that reads it, or as the only one says."""
    declared = [source for source in pipeline.sources if source.table is not None]
    path = os.path.abspath(table)
    for source in declared:
        if path in edited_files(source.table or "", folder=pipeline.folder):
            return source.form
    return declared[0].form if len(declared) == 1 else TableForm()


def _items(listing: Listing, request: PushRequest) -> Iterator[NewItem]:
    if request.paths:
        yield from listing.names(request.paths)
    elif request.from_file is None and request.table is None:
        if listing.pipeline.items.has_path:
            raise UserError(
                f"nothing to push to `{listing.pipeline.name}`: name paths after it, or `--from` "
                "a list of them, or `--table` a table"
            )
        yield from listing.names([""])
    if request.from_file is not None:
        read = decoding.nul_separated if request.nul else decoding.numbered
        with open_input(
            request.from_file, missing=f"there is no file `{request.from_file}` to read items from"
        ) as file:
            named = read(file, name=request.from_file)
            yield from listed_items(listing, named, name=request.from_file, folder="")
    if request.table is not None:
        yield from _of_table(listing, request.table)
