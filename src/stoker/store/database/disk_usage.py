"""How much room the store takes, and what for."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stoker.model.encoding import Answer
from stoker.store.database import copying
from stoker.store.forecasts.freshness import catch_up
from stoker.store.tables import metadata

if TYPE_CHECKING:
    from stoker.store.unit import Store

# What each table is for, for people; `tables` of the rest belong to the store's own bookkeeping.
HOLDS = {
    "item": "items: keys, paths, parameters",
    "task": "tasks: where each stands",
    "attempt": "attempts: times, usage, what they wrote",
    "output": "outputs: paths, sizes, checksums",
    "publication": "whose each published path is",
    "folder_part": "what published folders hold, 8 bytes for each file",
    "journal": "what happened, in order",
    "worker": "workers that ever were",
    "version": "versions of pipelines",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """One table: its rows, its bytes with its indexes (None: the database does not say), its use."""

    name: str
    rows: int
    size_bytes: int | None
    holds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent(Answer):
    """How much room there is taken. `free_bytes` are within the store, for new rows.

    `logs` and `scratch` are of this host.
    """

    url: str
    tables: tuple[TableSize, ...]
    store_bytes: int
    free_bytes: int
    logs_files: int
    logs_bytes: int
    scratch_bytes: int


def extent(store: "Store", *, scratch: str) -> Extent:
    """Return how much room everything takes; it reads the whole of an SQLite file."""
    catch_up(store, fold_s=1.0)
    with store.reading() as unit:
        sizes = store.dialect.room(unit.cursor)
        rows = copying.count_rows(unit)
    free = sizes.pop("free", 0)
    logs_files, logs_bytes = weigh(str(store.folder / "logs"))
    found = [
        TableSize(name=name, rows=rows[name], size_bytes=sizes.get(name), holds=HOLDS.get(name, ""))
        for name in metadata.tables
    ]
    return Extent(
        url=store.url,
        tables=tuple(sorted(found, key=_by_size)),
        store_bytes=sum(sizes.values()) + free,
        free_bytes=free,
        logs_files=logs_files,
        logs_bytes=logs_bytes,
        scratch_bytes=weigh(scratch)[1],
    )


def _by_size(table: TableSize) -> tuple[int, int, str]:
    return -(table.size_bytes or 0), -table.rows, table.name


def file_bytes(store: "Store") -> Mapping[str, int]:
    """Return the bytes of the store's file and of its log of changes; nothing for one on a server."""
    folder = store.dialect.folder(store.engine)
    if folder is None:
        return {}
    found = {}
    for end in ("", "-wal"):
        path = f"{store.engine.url.database}{end}"
        if os.path.exists(path):
            found[os.path.basename(path)] = os.path.getsize(path)
    return found


def weigh(folder: str) -> tuple[int, int]:
    """Return how many files there are below a folder, and their bytes; what vanishes is left out."""
    files = size_bytes = 0
    todo = [folder]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        files += 1
                        size_bytes += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return files, size_bytes
