"""What a project leaves open to others: the folder with its record, and a password."""

from pathlib import Path
from typing import TYPE_CHECKING

from stoker.rights import ACCESS, OWN_FOLDER, more_open

if TYPE_CHECKING:
    from stoker.model.settings import Settings

_REMEDY = (
    f"`chmod -R go= {OWN_FOLDER}` closes it; if you share it on purpose, write "
    '`access = "group"` under `[store]`'
)


def left_open(settings: "Settings") -> list[tuple[str, str]]:
    """Return what is open, and the remedy, of each thing that others can read and should not."""
    from stoker.spec.address import embedded_password

    found = []
    if embedded_password(settings.store_url):
        found.append(
            (
                "`[store] url` holds a password in clear, for everybody who can read `stoker.toml`",
                "set it in the environment and write `${NAME}` in its place, or use `password_file`",
            )
        )
    rights = ACCESS[settings.store_access]
    for folder in _folders(settings):
        who = more_open(folder, rights)
        if who is not None:
            found.append((f"{who} can get at parameters, values and logs in `{folder}`", _REMEDY))
    return found


def _folders(settings: "Settings") -> list[Path]:
    folders = [Path(settings.folder, OWN_FOLDER)]
    scheme, _, path = settings.store_url.partition(":///")
    if scheme == "sqlite" and Path(path).parent != folders[0]:
        folders.append(Path(path).parent)
    return folders
