"""Which module follows which kind of source."""

from typing import TYPE_CHECKING

from stoker.intake.admit_found import AdmittedSource
from stoker.intake.sources.command import CommandSource
from stoker.intake.sources.edited_file import EditedSource
from stoker.intake.sources.files import FolderSource
from stoker.intake.sources.followed_folder import FollowedFolder
from stoker.intake.sources.source import Over, Source
from stoker.intake.sources.subfolders import FoldersSource
from stoker.model.pipeline import ItemKind, Pipeline
from stoker.model.source import Rules
from stoker.model.source import Source as Declared

if TYPE_CHECKING:
    from stoker.store.actor import Actor
    from stoker.store.unit import Store


def make_source(
    store: "Store",
    pipeline: Pipeline,
    declared: Declared,
    *,
    project_folder: str,
    is_staying: bool = True,
    over: Over | None = None,
    actor: "Actor | None" = None,
) -> Source:
    """Return what looks at the declared source; `is_staying` is false for a run, which ends.

    When `over` is set, a look that waits for somebody else's program ends too. Groups are registered
    for `actor`.
    """
    if declared.group is not None:
        from stoker.intake.sources.group import GroupSource

        return GroupSource(store, pipeline, declared, actor=actor, is_staying=is_staying)
    if declared.folder is not None:
        folder = FollowedFolder(
            store, pipeline, declared, project_folder=project_folder, is_staying=is_staying
        )
        of_folders = pipeline.items is ItemKind.FOLDERS
        return FoldersSource(folder) if of_folders else FolderSource(folder)
    source = _of_names(store, pipeline, declared, project_folder, is_staying=is_staying, over=over)
    has_rules = pipeline.rules != Rules() or pipeline.extract is not None
    # With `max_open`, what is known must not be taken for what fills the room there is.
    is_filtered = has_rules or declared.max_open is not None
    return AdmittedSource(store, pipeline, source) if is_filtered else source


def _of_names(
    store: "Store",
    pipeline: Pipeline,
    declared: Declared,
    project_folder: str,
    *,
    is_staying: bool,
    over: Over | None,
) -> Source:
    """Return what finds names, of files or of records, written down somewhere."""
    if declared.command is not None:
        return CommandSource(
            pipeline, declared.name, declared.command, project_folder=project_folder, over=over
        )
    if declared.feed is not None:
        from stoker.intake.sources.feed import (
            FeedSource,  # with an HTTP client, which is slow to load
        )

        return FeedSource(
            store, pipeline, declared.name, declared.feed, project_folder=project_folder
        )
    return EditedSource(pipeline, declared, project_folder=project_folder, is_staying=is_staying)


def make_progress(store: "Store", pipeline: Pipeline, declared: Declared) -> Source | None:
    """Return what writes the progress of a source's items back to where they came from, if any."""
    if declared.feed is None:
        return None
    from stoker.intake.feed_progress import FeedProgress

    return FeedProgress(store, pipeline, declared.name, declared.feed)
