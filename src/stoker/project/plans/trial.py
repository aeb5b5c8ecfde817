"""A store for saying what would be: the project's own where it knows enough, else a passing one."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stoker.errors import NotFound
from stoker.store.catalog import catalog
from stoker.store.database.connect import open_store
from stoker.store.orders.versions import apply_version

if TYPE_CHECKING:
    from stoker.model.pipeline import Pipeline
    from stoker.project.opened import Opened
    from stoker.store.unit import Store


def store_if_there(project: "Opened") -> "Store | None":
    """Return the project's store; None where there is none yet. Makes nothing."""
    try:
        return project.store
    except NotFound:
        return None


def knows(store: "Store", pipeline: str) -> bool:
    """Whether the store has a pipeline of that name."""
    with store.reading() as unit:
        return bool(catalog(unit).of_pipeline(pipeline))


@contextmanager
def passing_store(*pipelines: "Pipeline", site: str | None = None) -> Iterator["Store"]:
    """Yield a store in a temporary folder that knows these pipelines and no item; then it is gone."""
    with TemporaryDirectory(prefix="stoker-trial-") as folder:
        store = open_store(
            f"sqlite:///{folder}/stoker.db", site_name=site or "trial", folder=folder
        )
        try:
            for pipeline in pipelines:
                sites = {step.site for step in pipeline.steps if step.site is not None}
                apply_version(store, pipeline, host=store.host, path=folder, outposts=sites)
            yield store
        finally:
            store.close()
