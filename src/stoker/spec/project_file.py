"""Which file is a project's, and which files it includes; nothing here reads one."""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR

from stoker.errors import NotFound
from stoker.spec.locations import absolute_file

FILE_NAME = "stoker.toml"


def find_project(start: Path) -> Path:
    """Return the `stoker.toml` in folder `start` or the nearest folder above; NotFound if none."""
    folder = absolute_file(start)
    for candidate in (folder, *folder.parents):
        if (candidate / FILE_NAME).is_file():
            return candidate / FILE_NAME
    raise NotFound(
        f"there is no `{FILE_NAME}` in `{folder}` or above it; `stoker init` writes one, "
        "`--project` names another place"
    )


def files_matching(pattern: str, folder: Path) -> list[str]:
    """Return what a pattern matches, relative to the folder where it was written down.

    `**` stands for any folders, also behind links; each folder is gone through once, so that links
    that lead in a circle end.
    """
    if "\0" in pattern:
        return []  # which is a problem of the file
    import glob

    parts = pattern.split("/")
    if "**" not in parts:
        return sorted(glob.glob(pattern, root_dir=folder))
    at = parts.index("**")
    head = "/".join(parts[:at]) or ("/" if pattern.startswith("/") else "")
    rest = parts[at + 1 :]
    while rest[:1] == ["**"]:
        rest = rest[1:]
    tail = "/".join(rest) or "*"
    tops = glob.glob(head, root_dir=folder) if head else [""]
    found = {
        os.path.join(below, name)
        for top in tops
        for below in _folders_below(folder, top)
        for name in files_matching(tail, folder / below)
    }
    return sorted(found)


def _folders_below(folder: Path, top: str) -> Iterator[str]:
    """Yield the folder `top` and all below it that are not hidden, relative to `folder`, each once."""
    seen: set[tuple[int, int]] = set()
    todo = [top]
    while todo:
        below = todo.pop()
        try:
            known = os.stat(folder / below)
            if not S_ISDIR(known.st_mode) or (known.st_dev, known.st_ino) in seen:
                continue
            seen.add((known.st_dev, known.st_ino))
            with os.scandir(folder / below) as entries:
                names = [one.name for one in entries if os.path.isdir(one.path)]
        except OSError:
            continue  # gone, or not ours to read
        yield below
        todo += [os.path.join(below, name) for name in names if not name.startswith(".")]
