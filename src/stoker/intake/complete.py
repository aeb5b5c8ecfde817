"""What else must be there before a file that has settled is taken: a companion, a manifest's word."""

import os
import re
from functools import lru_cache

from stoker.intake.names import companion_of
from stoker.model.globs import matches
from stoker.model.source import Source

_SUM = re.compile(r"([0-9a-fA-F]{16,128})[ \t]+[ *]?(.+)")
_MOST_BYTES = 64 << 20  # of a manifest


class Completeness:
    """Asks, for the files of one source, whether those who wrote them say that they are complete."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.is_asked = source.complete_when is not None or source.manifest is not None
        self.is_elsewhere = "/" in (source.complete_when or "").removeprefix("{item}/")

    def lack(self, path: str) -> str | None:
        """Return what is missing before the item at `path` can be taken; None if nothing is."""
        template = self._source.complete_when
        if template is not None:
            companion = companion_of(template, path)
            if not os.path.exists(companion):
                return f"`{companion}` is not there"
        if self._source.manifest is not None:
            folder, name = os.path.split(path)
            if name not in self._listed(folder):
                return f"no `{self._source.manifest}` in `{folder}` lists it"
        return None

    def declared_sum(self, path: str) -> str | None:
        """Return the checksum that a manifest has for the file, if it has one."""
        if self._source.manifest is None:
            return None
        folder, name = os.path.split(path)
        return self._listed(folder).get(name)

    def _listed(self, folder: str) -> dict[str, str | None]:
        """Return what the manifests in a folder list, with checksums where they have them."""
        pattern = self._source.manifest or ""
        found: dict[str, str | None] = {}
        try:
            names = [entry.name for entry in os.scandir(folder) if matches(entry.name, pattern)]
        except OSError:
            return found
        for name in sorted(names):
            path = os.path.join(folder, name)
            try:
                seen = os.stat(path)
                found |= _read_manifest(path, seen.st_size, seen.st_mtime_ns)
            except OSError:
                continue
        return found


@lru_cache(maxsize=16)
def _read_manifest(path: str, size_bytes: int, mtime_ns: int) -> dict[str, str | None]:  # noqa: ARG001 - they tell one content from another
    """Return what a manifest lists: names, or names after checksums. A line without an end is none."""
    with open(path, "rb") as file:
        *lines, _unfinished = file.read(_MOST_BYTES).split(b"\n")
    found: dict[str, str | None] = {}
    for line in lines:
        text = os.fsdecode(line.strip())
        if not text or text.startswith("#"):
            continue
        with_sum = _SUM.fullmatch(text)
        name = with_sum[2] if with_sum else text
        found[name.removeprefix("./")] = with_sum[1].lower() if with_sum else None
    return found
