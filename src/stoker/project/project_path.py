"""Whether a project can be where it is: a database must be able to store its path."""

from pathlib import Path

from stoker.errors import UserError


def check_name(file: Path) -> None:
    """Raise UserError for a project in a folder that no database can name."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"the project's path `{file}` has bytes that are not UTF-8, and the store could not be "
            "opened there; rename the folder (the names of data files may be anything)"
        ) from None
