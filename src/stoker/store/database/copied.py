"""A project that was copied with its SQLite store: both stores claim the results of the original."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from stoker.errors import Refused
from stoker.store import tables

if TYPE_CHECKING:
    from stoker.store.unit import Store

_P, _V = tables.pipeline, tables.version


def refuse_copy(store: "Store", folder: str) -> None:
    """Raise Refused if the store in the project's `folder` is a copy, and the original is in its place.

    The record has the paths of the original's results, which work on the copy would replace.
    """
    file = store.engine.url.database
    if store.engine.dialect.name != "sqlite" or not file:
        return
    inside = os.path.relpath(os.path.realpath(file), os.path.realpath(folder))
    if inside.startswith(".."):
        return
    query = select(_V.c.set_by_path).join(_P, _P.c.version_id == _V.c.id)
    with store.reading() as unit:
        files = unit.execute(query.where(_V.c.set_by_host == store.host).distinct()).scalars().all()
    for one in map(os.fsdecode, files):
        original = Path(one).parent / inside
        if _is_other(original, file) and _uid_of(original) == store.identity.uid:
            raise Refused(
                f"`{file}` is a copy of the store `{original}`, and work on it would replace the "
                f"results of that project; delete `{file}` and let `stoker adopt` take over the results "
                "that are here, or put the original out of the way"
            )


def _is_other(original: Path, file: str) -> bool:
    try:
        return not os.path.samefile(original, file)
    except OSError:  # nothing is there, as where the project was moved
        return False


def _uid_of(file: Path) -> str | None:
    """Return the id of another store; None if it is none that can be read."""
    import sqlite3  # by here the store is in SQLite; a worker on a server does without it

    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=1)) as driver:
            row = driver.execute("SELECT uid FROM site WHERE id = 1").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])
