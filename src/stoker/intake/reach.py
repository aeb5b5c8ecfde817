"""What no name may stand for: the whole file system, or a folder in which the project is."""

import os

from stoker.errors import UserError
from stoker.spec.locations import holds


def check_reach(path: str, project_folder: str, *, with_project: bool = False) -> None:
    """Raise UserError if the folder at `path` holds the project, and so its store and results.

    The project's own folder may be named to take the files in it, but `with_project` it may not: as
    an item it would hold what is made of it.
    """
    real, project = os.path.realpath(path), os.path.realpath(project_folder)
    if real == "/":
        raise UserError(f"`{path}` is the whole file system; name the folder or the files you mean")
    if holds(real, project) or (with_project and real == project):
        raise UserError(
            f"`{path}` holds this project, `{project}`, with its store and its results; name the "
            "folders or files in it that you mean"
        )
