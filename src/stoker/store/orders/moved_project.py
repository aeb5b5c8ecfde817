"""A project's folder that was moved as a whole: the paths in it follow, in the record too.

What is recorded of a project's own files, its items, outputs and logs, has absolute paths. They are
brought to the new folder in the transaction that takes over the file from there, and the journal
notes it with the version. Paths elsewhere stay as they are.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from stoker.model.id_types import HERE
from stoker.model.saying import mark_of
from stoker.store import tables
from stoker.store.holdings.places import digest_at
from stoker.store.holdings.publications import HEAD_BYTES
from stoker.store.ids import digest_of
from stoker.store.journal import to_json
from stoker.store.unit import Prepared, Unit, param

WINDOW = 2_000  # items at a time

_I, _T, _A = tables.item, tables.task, tables.attempt
_O, _M, _B, _F = tables.output, tables.temporary, tables.publication, tables.folder_part
_E = tables.error_folder
_ITEM = Prepared(
    update(_I)
    .where(_I.c.id == param("row_id"))
    .values(path=param("path"), path_digest=param("path_digest"))
)
_PARAMS = Prepared(
    update(_I)
    .where(_I.c.id == param("row_id"))
    .values(params=param("params"), said=param("said"), fingerprint=param("fingerprint"))
)
_PUBLICATION = Prepared(
    update(_B)
    .where(_B.c.digest == param("old"))
    .values(path=param("path"), digest=param("digest"), head=param("head"))
)
_PARTS = Prepared(update(_F).where(_F.c.digest == param("old")).values(digest=param("digest")))
_ERROR_FOLDER = Prepared(
    update(_E).where(_E.c.attempt == param("of")).values(path=param("path"), digest=param("digest"))
)
_LOGS = Prepared(
    update(_A)
    .where(_A.c.id == param("row_id"))
    .values(stdout_path=param("stdout_path"), stderr_path=param("stderr_path"))
)


def _of_attempt(table: Any) -> Prepared:
    key = (table.c.attempt == param("of"), table.c.name == param("called"))
    return Prepared(
        update(table).where(*key, table.c.position == param("at")).values(path=param("path"))
    )


_FILES = tuple((table, _of_attempt(table)) for table in (_O, _M))


def is_gone(path: bytes | str) -> bool:
    """Whether nothing is at the path any more, so that what was there was moved or deleted.

    What this account may not look at is not gone.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def moved(path: bytes | None, folders: tuple[bytes, bytes]) -> bytes | None:
    """Return where the path is after the first of the folders became the second."""
    old, new = folders
    if path is None or not (path == old or path.startswith(old + b"/")):
        return path
    return new + path[len(old) :]


def move_paths(
    unit: Unit, pipeline_id: int, folders: tuple[bytes, bytes], *, params: Sequence[str] = ()
) -> None:
    """The pipeline's items, outputs and logs in the first folder are recorded in the second.

    So are the paths in `params`, names of parameters. A part of the caller's transaction, which is
    alone.
    """
    last = -1
    while True:
        query = select(_I.c.id, _I.c.path).where(_I.c.pipeline_id == pipeline_id, _I.c.id > last)
        rows = unit.execute(query.order_by(_I.c.id).limit(WINDOW)).fetchall()
        if not rows:
            return
        first, last = rows[0].id, rows[-1].id
        window = (_I.c.pipeline_id == pipeline_id, _I.c.id.between(first, last))
        unit.run_many(
            _ITEM,
            [
                {"row_id": row.id, "path": path, "path_digest": digest_of(path)}
                for row in rows
                if (path := moved(row.path, folders)) is not None and path != row.path
            ],
        )
        if params:
            _move_params(unit, window, folders, params)
        _move_publications(unit, window, folders)
        _move_files(unit, window, folders)
        _move_logs(unit, window, folders)
        _move_error_folders(unit, window, folders)


def _move_params(
    unit: Unit, window: Sequence[Any], folders: tuple[bytes, bytes], names: Sequence[str]
) -> None:
    columns = (_I.c.id, _I.c.params, _I.c.said, _I.c.fingerprint)
    changes = []
    for row in unit.execute(select(*columns).where(*window)).fetchall():
        before = {
            "params": json.loads(row.params),
            "said": json.loads(row.said or "{}"),
            "fingerprint": row.fingerprint,
        }
        after = _with_moved_params(before, folders, names)
        if after != before:
            said = to_json(after["said"]) if after["said"] else None
            changes.append(
                {"row_id": row.id, **after, "params": to_json(after["params"]), "said": said}
            )
    unit.run_many(_PARAMS, changes)


def _with_moved_params(
    item: Mapping[str, Any], folders: tuple[bytes, bytes], names: Sequence[str]
) -> dict[str, Any]:
    """Return params, said and fingerprint of an item with the paths in these parameters moved."""

    def follow(value: Any) -> Any:
        if isinstance(value, list):
            return [follow(one) for one in value]
        found = moved(os.fsencode(value), folders) if isinstance(value, str) else None
        return value if found is None else os.fsdecode(found)

    params, said = dict(item["params"]), dict(item["said"])
    for name in names:
        for values in (params, said):
            if name in values:
                values[name] = follow(values[name])
    fingerprint = item["fingerprint"]
    mark = mark_of(item["params"], item["said"])
    if mark and fingerprint.endswith(mark):
        fingerprint = fingerprint.removesuffix(mark) + mark_of(params, said)
    return {"params": params, "said": said, "fingerprint": fingerprint}


def _move_publications(unit: Unit, window: Sequence[Any], folders: tuple[bytes, bytes]) -> None:
    query = select(_B.c.digest, _B.c.path).join(_T, _T.c.id == _B.c.task_id)
    query = query.join(_I, _I.c.id == _T.c.item_id).where(*window, _B.c.place == HERE)
    rows = unit.execute(query).fetchall()
    changes = [
        {
            "old": bytes(row.digest),
            "path": path,
            "digest": digest_at(path, HERE),
            "head": path[:HEAD_BYTES],
        }
        for row in rows
        if (path := moved(bytes(row.path), folders)) is not None and path != row.path
    ]
    if not changes:
        return
    digests = [change["digest"] for change in changes]
    taken = set(unit.execute(select(_B.c.digest).where(_B.c.digest.in_(digests))).scalars())
    changes = [one for one in changes if one["digest"] not in taken]
    unit.run_many(_PUBLICATION, changes)
    unit.run_many(_PARTS, [{"old": one["old"], "digest": one["digest"]} for one in changes])


def _move_files(unit: Unit, window: Sequence[Any], folders: tuple[bytes, bytes]) -> None:
    for table, statement in _FILES:
        query = select(table.c.attempt, table.c.name, table.c.position, table.c.path)
        query = query.join(_A, _A.c.id == table.c.attempt).join(_T, _T.c.id == _A.c.task_id)
        query = query.join(_I, _I.c.id == _T.c.item_id).where(*window, table.c.place == HERE)
        rows = unit.execute(query).fetchall()
        unit.run_many(
            statement,
            [
                {"of": row.attempt, "called": row.name, "at": row.position, "path": path}
                for row in rows
                if (path := moved(bytes(row.path), folders)) is not None and path != row.path
            ],
        )


def _move_logs(unit: Unit, window: Sequence[Any], folders: tuple[bytes, bytes]) -> None:
    query = select(_A.c.id, _A.c.stdout_path, _A.c.stderr_path).join(_T, _T.c.id == _A.c.task_id)
    rows = unit.execute(query.join(_I, _I.c.id == _T.c.item_id).where(*window)).fetchall()
    changes = []
    for row in rows:
        before = (row.stdout_path, row.stderr_path)
        after = tuple(moved(path, folders) for path in before)
        if after != before:
            changes.append({"row_id": row.id, "stdout_path": after[0], "stderr_path": after[1]})
    unit.run_many(_LOGS, changes)


def _move_error_folders(unit: Unit, window: Sequence[Any], folders: tuple[bytes, bytes]) -> None:
    query = select(_E.c.attempt, _E.c.path).join(_I, _I.c.id == _E.c.item_id)
    rows = unit.execute(query.where(*window, _E.c.path.is_not(None))).fetchall()
    unit.run_many(
        _ERROR_FOLDER,
        [
            {"of": row.attempt, "path": path, "digest": digest_of(path)}
            for row in rows
            if (path := moved(bytes(row.path), folders)) is not None and path != row.path
        ],
    )


def move_in_picture(picture: Any, pipeline: str, said: Mapping[str, Any]) -> None:
    """What a picture of the store says of the pipeline's paths follows, as `move_paths` does it."""
    folders = (os.fsencode(said["from"]), os.fsencode(said["to"]))

    def follow(path: str | None) -> str | None:
        found = moved(None if path is None else os.fsencode(path), folders)
        return None if found is None else os.fsdecode(found)

    for (of, _), item in picture.items.items():
        if of == pipeline:
            item["path"] = follow(item["path"])
            item.update(_with_moved_params(item, folders, said.get("params", ())))
    for attempt in picture.attempts.values():
        if attempt["task"][0] == pipeline and attempt["place"] is None:
            for output in attempt["outputs"]:
                output[1] = follow(output[1])
