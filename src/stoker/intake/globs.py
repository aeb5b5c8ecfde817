"""Which files below a folder a pipeline takes: patterns with `*`, `?`, `[…]` and `**`."""

import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from stoker.intake.fields import Fields
from stoker.intake.report_file import SUFFIX
from stoker.model.globs import matches
from stoker.model.pipeline import Pipeline
from stoker.model.source import Source
from stoker.spec.project_file import files_matching

_NOT_TABLES = (SUFFIX, "~", ".swp", ".tmp", ".part")  # beside tables, ours and the editors'
_OWN_FILES: frozenset[str] = frozenset({"stoker.toml"})
_NO_FILES: frozenset[str] = frozenset()


class PathFilter:
    """Walks folders for one pipeline, sorted, without hidden files, links to folders and our own."""

    def __init__(self, pipeline: Pipeline, project_folder: str) -> None:
        self._sources = [s for s in pipeline.sources if s.folder is not None]
        self._project_folder = os.path.realpath(project_folder)

    def below(self, folder: str, refuse: Callable[[str], None]) -> Iterator[str]:
        """Yield the paths of the files below `folder`; `refuse` what cannot be read."""
        top = os.path.realpath(folder)
        source = self._source_of(top)

        def unreadable(error: OSError) -> None:
            refuse(f"`{error.filename}` cannot be read: {error.strerror}")

        for at, folders, files in os.walk(folder, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            is_taken = self._chooser(at, source)
            for name in sorted(files):
                if not name.startswith(".") and is_taken(name):
                    yield os.path.join(at, name)

    def _source_of(self, top: str) -> Source | None:
        """Return the innermost source that contains the folder."""
        inside = [
            source
            for source in self._sources
            if (top + "/").startswith(os.path.realpath(source.folder or "") + "/")
        ]
        return max(inside, key=lambda source: len(source.folder or ""), default=None)

    def _chooser(self, folder: str, source: Source | None) -> Callable[[str], bool]:
        """Return what decides for a name in `folder`; what its files share is looked up once."""
        real = os.path.realpath(folder)
        own = _OWN_FILES if real == self._project_folder else _NO_FILES
        if source is None:
            return lambda name: name not in own
        inside = os.path.relpath(real, os.path.realpath(source.folder or ""))
        start = "" if inside == "." else inside + "/"
        pattern, exclude = source.glob, source.exclude
        fields = Fields(source)

        def is_taken(name: str) -> bool:
            path = start + name
            return (
                name not in own
                and matches(path, pattern)
                and not any(matches(path, one) for one in exclude)
                and fields.of(path) is not None
            )

        return is_taken


def edited_files(path: str, *, folder: str) -> list[str]:
    """Return the tables or the list at `path`: one file, there or not, or all that fit a pattern.

    What `folder`, in which the pattern was written down, is called itself is no pattern, whatever
    characters it has.
    """
    root = folder.rstrip("/") + "/" if path.startswith(folder.rstrip("/") + "/") else "/"
    pattern = path.removeprefix(root)
    if not glob.has_magic(pattern) or os.path.lexists(path):
        return [path]
    found = [root + name for name in files_matching(pattern, Path(root))]
    return sorted(
        path
        for path in found
        if not path.endswith(_NOT_TABLES)
        and not os.path.basename(path).startswith((".", "~$"))
        and os.path.isfile(path)
    )
