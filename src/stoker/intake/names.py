"""What names in a source's folder mean: an item's file, something that belongs to one, or nothing."""

import os
import re
from collections.abc import Callable
from functools import lru_cache

from stoker.model.globs import matches
from stoker.model.patterns import Pattern, compiled
from stoker.model.source import Source
from stoker.spec.names import split_suffix

OWN_FILES = frozenset({"stoker.toml"})
_OF_COPY = re.compile(
    r"\..+\.(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{5,}"
)  # as rsync names it: `.b.fq.X7s8dQ`
_VARIABLE = re.compile(r"\{[^{}]*\}")


class Names:
    """Decides which names in the folders of one source are those of items.

    Hidden files are none, nor those with a temporary suffix, companions (`complete_when`, the files
    with checksums), manifests, and the project's own file.
    """

    def __init__(self, source: Source, *, checksum: str | None, project_folder: str) -> None:
        self._source = source
        self._root = os.path.realpath(source.folder or "")
        self._project_folder = os.path.realpath(project_folder)
        self._temporary = source.temporary
        templates = [one for one in (source.complete_when, checksum) if one is not None]
        self._companions = [_companion_pattern(template) for template in templates]

    def chooser(self, folder: str) -> Callable[[str], bool]:
        """Return a test of names in `folder`, a path within the root: whether it is an item's."""
        real = os.path.join(self._root, folder) if folder else self._root
        is_projects = real == self._project_folder
        start = f"{folder}/" if folder else ""
        glob, exclude = self._source.glob, self._source.exclude
        takes_all = glob == "**/*"

        def takes(name: str) -> bool:
            if name.startswith(".") or name.endswith(self._temporary) or self.belongs(name):
                return False
            path = start + name
            return (
                (takes_all or matches(path, glob))
                and not any(matches(path, pattern) for pattern in exclude)
                and not (is_projects and name in OWN_FILES)
            )

        return takes

    def unfinished_in(self, folder: str) -> str | None:
        """Return in words a name in a folder, at any depth, under which something is still written."""
        for at, folders, files in os.walk(folder):
            for name in (*folders, *files):
                if name.endswith(self._temporary) or _OF_COPY.fullmatch(name):
                    inside = os.path.relpath(os.path.join(at, name), folder)
                    return f"`{inside}` in it has the name of a file that is still being written"
        return None

    def belongs(self, name: str) -> bool:
        """Whether a file of that name says something about others: a companion or a manifest."""
        manifest = self._source.manifest
        if manifest is not None and matches(name, manifest):
            return True
        return any(pattern is not None and pattern.fits(name) for pattern in self._companions)


@lru_cache(maxsize=64)
def _companion_pattern(template: str) -> Pattern | None:
    """Return what the names of companions look like; None if like those of items."""
    made = ""
    for at, text in enumerate(_VARIABLE.split(template.rpartition("/")[2])):
        made += (".+" if at else "") + re.escape(text)
    if made == ".+":  # in another folder, under the item's own name
        return None
    return compiled(made, flags="s")


def values_of(path: str) -> dict[str, str]:
    """Return what may stand in braces where the item at `path` is spoken of."""
    folder, name = os.path.split(path)
    return {"item": path, "name": name, "stem": split_suffix(name)[0], "dir": folder}


def companion_of(template: str, path: str) -> str:
    """Return where the companion of the file or folder at `path` is to be."""
    values = values_of(path)
    made = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], template)
    return os.path.join(values["dir"], made)
