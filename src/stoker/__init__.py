"""Stoker keeps machines fed with data: every item once, with a record of everything.

import stoker

with stoker.open("path/to/project") as project:
    project.push("spikes", ["a.dat", "b.dat"])
    print(project.run())
    frame = pandas.DataFrame(project.tasks(state="failed"))
"""

from typing import TYPE_CHECKING, Any

from stoker.errors import (
    Bug,
    Conflict,
    NotFound,
    OutputConflict,
    Refused,
    SpecError,
    StaleAttempt,
    StokerError,
    Unavailable,
    UserError,
    VersionConflict,
    WrongState,
)

if TYPE_CHECKING:
    from stoker.model.selection import Selection
    from stoker.project import Project
    from stoker.project import open_project as open  # noqa: A004 - `stoker.open` reads well

__version__ = "0.1.0"

__all__ = [
    "Bug",
    "Conflict",
    "NotFound",
    "OutputConflict",
    "Project",
    "Refused",
    "Selection",
    "SpecError",
    "StaleAttempt",
    "StokerError",
    "Unavailable",
    "UserError",
    "VersionConflict",
    "WrongState",
    "__version__",
    "open",
]

_LATER = {
    "Project": ("stoker.project", "Project"),
    "Selection": ("stoker.model.selection", "Selection"),
    "open": ("stoker.project", "open_project"),
}


def __getattr__(name: str) -> Any:
    """Import the rest of the public names when they are used, so that the version is quick."""
    if name not in _LATER:
        raise AttributeError(f"module `stoker` has no `{name}`")
    import importlib

    module, attribute = _LATER[name]
    return getattr(importlib.import_module(module), attribute)
