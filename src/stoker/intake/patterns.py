"""Which files below a folder a pipeline takes: patterns with `*`, `?`, `[…]` and `**`."""

import glob
import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from stoker.intake.answer import SUFFIX
from stoker.model.pipeline import Pipeline
from stoker.model.source import Source

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
        """Return the innermost source that the folder lies in."""
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

        def is_taken(name: str) -> bool:
            path = start + name
            return (
                name not in own
                and matches(path, pattern)
                and not any(matches(path, one) for one in exclude)
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
    found = [root + name for name in glob.glob(pattern, root_dir=root, recursive=True)]
    return sorted(
        path
        for path in found
        if not path.endswith(_NOT_TABLES)
        and not os.path.basename(path).startswith((".", "~$"))
        and os.path.isfile(path)
    )


def matches(path: str, pattern: str) -> bool:
    """Whether a relative path fits a pattern: `*` and `?` within a name, `**` over folders too."""
    return _compiled(pattern).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    made = ""
    at = 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            made, at = made + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            made, at = made + ".*", at + 2
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            inner = "^" + inner[1:] if inner.startswith("!") else inner
            made, at = f"{made}(?!/)[{inner}]", end + 1
        else:
            one = {"*": "[^/]*", "?": "[^/]"}.get(pattern[at])
            made, at = made + (one or re.escape(pattern[at])), at + 1
    return re.compile(made, re.DOTALL)
