"""Which files below a folder a pipeline takes: patterns with `*`, `?`, `[…]` and `**`."""

import os
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from stoker.model.pipeline import Pipeline, Source
from stoker.spec.keys import absolute_path

_OWN_FILES = frozenset({"stoker.toml"})


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
            for name in sorted(files):
                path = os.path.join(at, name)
                if not name.startswith(".") and self._is_taken(path, source):
                    yield path

    def _source_of(self, top: str) -> Source | None:
        """Return the innermost source that the folder lies in."""
        inside = [
            source
            for source in self._sources
            if (top + "/").startswith(os.path.realpath(source.folder or "") + "/")
        ]
        return max(inside, key=lambda source: len(source.folder or ""), default=None)

    def _is_taken(self, path: str, source: Source | None) -> bool:
        name = os.path.basename(path)
        if name in _OWN_FILES and os.path.realpath(os.path.dirname(path)) == self._project_folder:
            return False
        if source is None:
            return True
        real = os.path.join(os.path.realpath(os.path.dirname(absolute_path(path))), name)
        inside = os.path.relpath(real, os.path.realpath(source.folder or ""))
        return matches(inside, source.glob) and not any(
            matches(inside, pattern) for pattern in source.exclude
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
