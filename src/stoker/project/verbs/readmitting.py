"""Taking items out of quarantine, once what kept them there has been put right."""

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from stoker.errors import UserError
from stoker.intake.admission import Admission
from stoker.intake.fields import is_of_parts
from stoker.intake.pushed import Listing
from stoker.model.pipeline import ItemKind
from stoker.model.saying import NOTHING
from stoker.store.arrivals.quarantine import Quarantined, is_about, quarantined
from stoker.store.arrivals.register import register
from stoker.store.ends.redo import Changed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stoker.model.item import NewItem
    from stoker.model.pipeline import Pipeline
    from stoker.model.selection import Selection
    from stoker.project.opened import Opened
    from stoker.store.actor import Actor

EXAMPLES = 5


def readmit(
    project: "Opened", selection: "Selection", actor: "Actor", *, dry_run: bool = False
) -> Changed:
    """The selected items in quarantine are taken, as far as they pass now.

    Those that do not stay, with the reason that they have now.
    """
    done = Changed()
    if not is_about(selection):
        return done
    for page in quarantined(project.store, selection):
        for name in sorted({one.pipeline for one in page}):
            items = [one for one in page if one.pipeline == name]
            _readmit(project, project.pipeline(name), items, actor, done, dry_run=dry_run)
    return done


def _readmit(
    project: "Opened",
    pipeline: "Pipeline",
    items: "Sequence[Quarantined]",
    actor: "Actor",
    done: Changed,
    *,
    dry_run: bool,
) -> None:
    admission = Admission(pipeline)
    folder = project.settings.folder
    try:
        admitted = [admission.admit(item) for item in _as_they_are(pipeline, items, folder)]
    finally:
        admission.close()
    found = register(project.store, pipeline.name, admitted, actor, dry_run=dry_run)
    if found.registered:
        done.changed["admit"] = done.changed.get("admit", 0) + found.registered
    left = len(items) - found.registered
    if left:
        done.left["quarantined"] = done.left.get("quarantined", 0) + left
    taken = [f"{pipeline.name}: {item.key}" for item in admitted if item.reason is None]
    done.examples += taken[: max(0, EXAMPLES - len(done.examples))]


def _as_they_are(
    pipeline: "Pipeline", items: "Sequence[Quarantined]", folder: str
) -> "Iterator[NewItem]":
    """Yield the items as their files are now; what was gathered from several stays as it was."""
    for one in items:
        item = replace(one.item, reason=None)
        if item.path is None:
            yield _record(pipeline, item, folder)
            continue
        if pipeline.items is not ItemKind.FILES:
            yield item
            continue
        try:
            found = os.stat(item.path)
        except OSError as error:
            yield replace(item, reason=f"it cannot be read: {error.strerror}")
            continue
        if stat.S_ISREG(found.st_mode) and not is_of_parts(item.fingerprint):
            listing = Listing(
                pipeline, project_folder=folder, refuse=lambda _message: None, given=item.params
            )
            try:
                now = listing.file_at(item.path, found, meta=item.meta)
            except UserError as error:
                yield replace(item, reason=str(error).removeprefix("these items: "))
                continue
            yield replace(now, key=item.key, priority=item.priority, saying=NOTHING)
        else:
            yield item


def _record(pipeline: "Pipeline", item: "NewItem", folder: str) -> "NewItem":
    """Return a record with its parameters checked by the rules that hold now."""
    listing = Listing(pipeline, project_folder=folder, refuse=lambda _message: None)
    try:
        now = listing.row(item.key, item.params, where=f"`{item.key}`", folder=folder)
    except UserError as error:
        return replace(item, reason=str(error).removeprefix(f"`{item.key}`: "))
    return replace(now, key=item.key, meta=item.meta, priority=item.priority)
