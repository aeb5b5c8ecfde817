"""Checksums of what was taken, so that an item that was only touched is not taken for a changed one.

Files are read one after another, long after they were taken, and for a tenth of the time at most: what
reads them to work on them comes first. Until then a new time counts as a change.
"""

import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import xxhash

from stoker.errors import StoreGone, Unavailable
from stoker.intake.fields import content_of, is_of_parts
from stoker.intake.found import measure_folder
from stoker.model.saying import has_content
from stoker.store.arrivals import sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stoker.intake.sources.source import Over
    from stoker.model.item import NewItem
    from stoker.model.pipeline import Pipeline
    from stoker.store.unit import Store

IDLE_S = 30.0  # between looks for items that have no checksum
_SHARE = 9  # times as long as reading took, nothing is read
_STRETCH_S = 0.05  # of reading between rests
_BLOCK = 1 << 20


class Ended(Exception):
    """The end came before a checksum was made."""


def checksum_if_touched(
    store: "Store", pipeline_id: int, item: "NewItem", paths: "Sequence[str]"
) -> str | None:
    """Return the checksum of a known item that may only have been touched; else None.

    Its files, or its folder, are at `paths`. Only what has the size that is known is read.
    """
    if not sources.may_be_touched(store, pipeline_id, item):
        return None
    try:
        return _checksum_of(paths)
    except OSError:
        return None


class Contents:
    """Reads the files of these pipelines' items; `follow` is one thread's work until the end."""

    def __init__(self, store: "Store", pipelines: "Sequence[Pipeline]") -> None:
        self._store = store
        self._pipelines = pipelines
        self._last = {pipeline.name: 0 for pipeline in pipelines}

    def follow(self, over: "Over") -> None:
        """Read what has no checksum, until the end has come. A store that is away is waited for."""
        while not over:
            try:
                read = [self._read_some(pipeline, over) for pipeline in self._pipelines]
            except StoreGone:
                return
            except Unavailable:
                read = []
            if not any(read):
                over.rest(IDLE_S)

    def _read_some(self, pipeline: "Pipeline", over: "Over") -> bool:
        """Read some more files; return whether there were any."""
        leisure = _Leisure(over)
        found = sources.unread(self._store, pipeline.name, after=self._last[pipeline.name])
        self._last[pipeline.name] = found[-1].id if found else 0
        read = []
        with suppress(Ended):
            for one in found:
                checksum = _if_unchanged(pipeline, one, leisure)
                if checksum is not None:
                    read.append((one, checksum))
                leisure.rest()
        if read:
            sources.note_checksums(self._store, read)
        if found:
            with suppress(Ended):
                leisure.rest()
        return bool(found)


def _if_unchanged(pipeline: "Pipeline", one: sources.Unread, leisure: "_Leisure") -> str | None:
    """Return the checksum of what was taken; None if something else is there by now."""
    try:
        paths = _as_taken(pipeline, one)
        if not paths:
            return None
        checksum = _checksum_of(paths, leisure)
        return checksum if _as_taken(pipeline, one) == paths else None
    except (OSError, ValueError):  # what a header says may stand in the place of a part's path
        return None


class _Leisure:
    """Rests nine times as long as was worked since the last rest. Ended once the end has come."""

    def __init__(self, over: "Over") -> None:
        self._over = over
        self._since_s = time.monotonic()

    def rest(self, after_s: float = 0.0) -> None:
        """Rest, if the last rest is so long ago."""
        worked_s = time.monotonic() - self._since_s
        if worked_s >= after_s:
            self._over.rest(_SHARE * worked_s)
            self._since_s = time.monotonic()
        if self._over:
            raise Ended


def _as_taken(pipeline: "Pipeline", one: sources.Unread) -> list[str]:
    """Return where the item's files are, or its folder is; nothing if they are not as they were."""
    if is_of_parts(one.fingerprint):
        return _parts_as_taken(pipeline, one)
    return [one.path] if has_content(one.fingerprint, _content_at(one.path)) else []


def _parts_as_taken(pipeline: "Pipeline", one: sources.Unread) -> list[str]:
    """Return where the parts of an item are, by whichever source it is of that they are like."""
    for source in pipeline.sources:
        paths = [str(one.meta[name]) for name in source.parts if name in one.meta]
        if paths and os.path.realpath(paths[0]) == one.path:
            parts = [(os.path.realpath(path), _content_at(path)) for path in paths]
            if has_content(one.fingerprint, content_of(parts)):
                return paths
    return []


def _content_at(path: str) -> str:
    """Return what a listing makes of what is there, whatever the parameters."""
    found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        return f"{found.st_size}:{found.st_mtime_ns}"
    return measure_folder(path).content


def _checksum_of(paths: "Sequence[str]", leisure: "_Leisure | None" = None) -> str:
    """Return the checksum of a file's content; of a folder, or of several files, with their names."""
    top, *more = paths
    if not more and not os.path.isdir(top):
        return f"xxh3:{_read(top, leisure).hex()}"
    made = xxhash.xxh3_128()
    for path in paths if more else _within(top):
        name = os.path.basename(path) if more else os.path.relpath(path, top)
        content = _read(path, leisure) if more else _stands_for(path, leisure)
        made.update(os.fsencode(name) + b"\0" + content + b"\0")
    return f"xxh3:{made.hexdigest()}"


def _within(top: str) -> "Iterator[str]":
    """Yield the path of all in a folder, in an order that is always the same. OSError as it comes."""
    for folder, folders, files in os.walk(top, onerror=_raise):
        folders.sort()
        for name in sorted((*folders, *files)):
            yield os.path.join(folder, name)


def _stands_for(path: str, leisure: "_Leisure | None") -> bytes:
    """Return the kind of what is within a folder, and what is in it if it is a file or a link."""
    mode = os.lstat(path).st_mode
    kind = f"{stat.S_IFMT(mode):o}".encode()
    if stat.S_ISLNK(mode):
        return kind + os.fsencode(os.readlink(path))
    return kind + _read(path, leisure) if stat.S_ISREG(mode) else kind


def _raise(error: OSError) -> None:
    raise error


def _read(path: str, leisure: "_Leisure | None") -> bytes:
    """Return the checksum of a file's content. OSError if it cannot be read."""
    made = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            made.update(block)
            if leisure is not None:
                leisure.rest(after_s=_STRETCH_S)
    return made.digest()
