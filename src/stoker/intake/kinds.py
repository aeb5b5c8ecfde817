"""Which module follows which kind of source."""

from typing import TYPE_CHECKING

from stoker.intake.edited import EditedSource
from stoker.intake.folder import FolderSource
from stoker.intake.source import Source
from stoker.model.pipeline import Pipeline
from stoker.model.source import Source as Declared

if TYPE_CHECKING:
    from stoker.store.connect import Store


def make_source(
    store: "Store",
    pipeline: Pipeline,
    declared: Declared,
    *,
    project_folder: str,
    is_staying: bool = True,
) -> Source:
    """Return what looks at the declared source; `is_staying` is false for a run, which ends."""
    if declared.folder is not None:
        return FolderSource(
            store, pipeline, declared, project_folder=project_folder, is_staying=is_staying
        )
    return EditedSource(pipeline, declared, project_folder=project_folder)
