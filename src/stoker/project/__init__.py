"""The composition root: opens `stoker.toml` and hands out the verbs of the system.

`Project` is what the command line and notebooks use. Its verbs bring together the file, the store,
intake and the worker; none of it knows how anything is shown.
"""

from stoker.project.project import Project, open_project

__all__ = ["Project", "open_project"]
